"""`genloss plan`: check an experiment and show its runs."""

from __future__ import annotations

from pathlib import Path

import click

from genloss.commands import options


@click.command("plan")
@options.experiment
@options.as_json
def command(
    file: Path,
    overrides: tuple[str, ...],
    plugins: tuple[Path, ...],
    objectives: tuple[str, ...],
    json_: bool,
) -> None:
    """Check everything in an experiment that can be checked without training, and print its runs.

    \b
    Examples:
      genloss plan experiments/gan.yaml
      genloss plan experiments/gan.yaml --set seeds=2 --json
    """
    from rich.text import Text

    from genloss.commands.terminal import print_json, print_table, show_plugin_warnings, stdout
    from genloss.experiment.plan import plan, runs
    from genloss.experiment.schema import Term

    show_plugin_warnings()
    planned = plan(file, plugins=plugins, overrides=overrides, objectives=objectives)
    experiment, data = planned.experiment, planned.data
    todo = runs(planned, experiment.name)
    if json_:
        print_json(
            {
                "experiment": experiment.model_dump(mode="json", by_alias=True, exclude={"text"}),
                "devices": [vars(device) for device in planned.devices],
                "runs": [
                    {
                        "name": run.name,
                        "objective": run.objective.name,
                        "seed": run.seed,
                        "device": run.device,
                    }
                    for run in todo
                ],
            }
        )
        return

    def term(term: Term) -> str:
        if term.weight == 1.0:
            return term.name
        weight = f"{term.weight:g}" if isinstance(term.weight, float) else "scheduled"
        return f"{weight}·{term.name}"

    console = stdout()
    shape = "×".join(map(str, data.spec.event_shape))
    console.print(Text.assemble((experiment.name, "bold"), f"  {experiment.description}"))
    size = f"{data.spec.size:,} training examples"
    console.print(f"data    {experiment.data.name}: {size}, {data.spec.kind} of shape {shape}")
    console.print(f"model   {experiment.objectives[0].model.name}")
    for device in planned.devices:
        console.print(f"{device}")
    console.print()
    players = list(experiment.objectives[0].players)
    print_table(
        ["objective", *players, "steps"],
        [
            [
                objective.name + (" (baseline)" if objective.name == experiment.baseline else ""),
                *(" + ".join(map(term, objective.players[player])) for player in players),
                f"{objective.training.steps:,}",
            ]
            for objective in experiment.objectives
        ],
    )
    console.print()
    console.print(
        f"{len(todo)} runs: {len(experiment.objectives)} objectives × {len(experiment.seeds)} seeds "
        f"({', '.join(map(str, experiment.seeds))}); nothing was trained"
    )
