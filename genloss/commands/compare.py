"""`genloss compare`: which objective is better, and how certain that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genloss.commands.options import as_json

if TYPE_CHECKING:
    from genloss.api.compare import Gathered
    from genloss.comparison.comparison import Comparison


@click.command("compare")
@click.argument("what", metavar="[EXPERIMENT | STUDY]...", nargs=-1)
@click.option("--metric", metavar="NAME", help="What the answer is about. [default: the evaluation's first]")
@click.option(
    "--baseline", metavar="OBJECTIVE", help="What the others are compared with. [default: the file's]"
)
@click.option("--pairs", is_flag=True, help="Compare all pairs of objectives, not only with the baseline.")
@as_json
@click.option("--csv", "csv_", is_flag=True, help="Print CSV: one row per metric and objective.")
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report there: one page, with curves and samples.",
)
@click.option(
    "--tracking-uri",
    metavar="URI",
    help="Read all of it from there. [default: records here, else MLflow's own]",
)
@click.option(
    "--allow-differences",
    is_flag=True,
    help="Compare runs whose data, model, training or evaluation differ, and name what does.",
)
def command(
    what: tuple[str, ...],
    metric: str | None,
    baseline: str | None,
    pairs: bool,
    json_: bool,
    csv_: bool,
    html: Path | None,
    tracking_uri: str | None,
    allow_differences: bool,
) -> int:
    """Compare the objectives of a STUDY, by default of the latest one here, over seeds.

    A study that is here is read from its records. Any other one, and all studies of an EXPERIMENT, are read
    from MLflow. Objectives of several studies that have the same name and configuration are joined, and their
    seeds united; studies that were not trained and judged alike are refused, and it is said what differs.

    For each metric: mean and 95% confidence interval over the seeds, the paired differences to the baseline
    with their p-values (sign-flip test, Holm's correction), the chance to be better, and how many seeds it
    would take to decide. Values of different losses are never compared.

    --json has all of it, under the keys name, description, studies, objectives, baseline, metric, answer,
    best, metrics, summaries, differences, pairs, costs, runs, allowed and notes. What cannot be said is null,
    in CSV empty; what is infinite is the text Infinity or -Infinity, as seeds needed that are more than
    1,000. Only a search has best trials.

    \b
    Examples:
      genloss compare
      genloss compare gan-losses-20250131-093000 --metric recall --baseline hinge
      genloss compare gan-losses --tracking-uri http://localhost:5000 --html report.html
      genloss compare monday tuesday --pairs --csv > differences.csv
    """
    from genloss.commands.terminal import print_json, stderr
    from genloss.errors import RequestError

    if json_ and csv_:
        raise RequestError("`--json` and `--csv` are two forms of the same", hint="leave one out")
    if html is not None and not html.name:
        raise RequestError("`--html` has no name of a file", hint="as in `--html report.html`")
    with stderr().status("reading the runs"):
        from genloss.api.compare import gather
        from genloss.tracking import fail_fast

        fail_fast()
        gathered = gather(*what, tracking_uri=tracking_uri)
        found = gathered.compare(
            metric=metric, baseline=baseline, pairs=pairs, allow_differences=allow_differences
        )
    if html is not None:
        _write(gathered, found, html)
    if json_:
        from genloss.comparison.export import to_json

        print_json(to_json(found))
    elif csv_:
        from genloss.comparison.export import to_csv

        click.echo(to_csv(found), nl=False)
    else:
        _print(found)
        if html is not None:
            click.echo(str(html))
    return 0


def _write(gathered: Gathered, comparison: Comparison, path: Path) -> None:
    from genloss.commands.terminal import stderr
    from genloss.comparison.report import render
    from genloss.errors import RequestError
    from genloss.record.files import publish

    with stderr().status("drawing the report"):
        page = render(comparison, gathered.artifacts(comparison.runs))
    try:
        publish(path, page.encode())
    except OSError as error:
        raise RequestError(f"`{path}` cannot be written: {error.strerror or error}") from error


def _print(comparison: Comparison) -> None:
    """The table, all of each metric, what each objective cost, what did not finish, and the answer."""
    from genloss.commands.numbers import print_numbers
    from genloss.commands.results import print_answer, print_failures, print_table_of_numbers
    from genloss.commands.terminal import warn
    from genloss.comparison import table

    print_table_of_numbers(table.overview(comparison))
    legend: dict[str, None] = {}
    for metric in () if comparison.is_search else comparison.metrics:
        tables = [table.details(comparison, metric)]
        if comparison.pairs:
            tables.append(table.pairs(comparison, metric))
        for each in tables:
            _title(each.legend[0])
            print_numbers(each.columns, each.rows)
            legend |= dict.fromkeys(each.legend[1:])
    _print_legend(legend)
    _title("what one run used: medians over the seeds")
    print_numbers(*_costs(comparison))
    print_failures(comparison)
    for alike in comparison.missing():
        message = f": {alike[0].message}" if alike[0].message else ""
        warn(f"{comparison.named(alike)}: {alike[0].status}{message}")
    click.echo()
    print_answer(comparison)


def _title(text: str) -> None:
    from genloss.commands.terminal import printable, stdout

    click.echo()
    stdout().print(printable(text), style="dim", markup=False)


def _print_legend(lines: Iterable[str]) -> None:
    from genloss.commands.terminal import printable, stderr

    for line in lines:
        stderr().print(printable(line), style="dim", markup=False)


def _costs(comparison: Comparison) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Headings and rows: what one run of each objective used."""
    from genloss.text import NONE, duration, memory

    costs = {objective: comparison.cost(objective) for objective in comparison.objectives}
    players = list(dict.fromkeys(player for cost in costs.values() for player in cost.updates))
    rows = [
        [
            objective,
            f"{cost.steps:,}",
            *(f"{cost.updates[player]:,}" if player in cost.updates else NONE for player in players),
            duration(cost.seconds),
            memory(cost.peak_memory),
            cost.device or NONE,
        ]
        for objective, cost in costs.items()
    ]
    updates = [f"{player} updates" for player in players]
    return ["objective", "steps", *updates, "time", "memory", "device"], rows
