"""`genloss plan`: check an experiment and show its runs."""

from __future__ import annotations

from pathlib import Path

import click

from genloss.commands import options


@click.command("plan", cls=options.ExperimentCommand)
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

    A few examples go through its losses, models and metrics, too.

    \b
    Examples:
      genloss plan experiments/gan.yaml
      genloss plan experiments/gan.yaml --set seeds=2 --json
    """
    from genloss.commands.planned import print_plan
    from genloss.commands.terminal import print_json, remark, show_plugin_warnings
    from genloss.experiment.search import with_trials
    from genloss.planning.plan import plan, runs

    show_plugin_warnings()
    planned = plan(file, plugins=plugins, overrides=overrides, objectives=objectives)
    remark(planned.remarks)
    if not json_:
        print_plan(planned)
        return
    experiment = with_trials(planned.experiment)
    print_json(
        {
            "experiment": experiment.model_dump(mode="json", by_alias=True, exclude={"text"}),
            "devices": [vars(device) for device in planned.devices],
            "sizes": {name: size.told() for name, size in planned.sizes.items()},
            "runs": [
                {"name": run.name, "objective": run.objective.name, "seed": run.seed, "device": run.device}
                for run in runs(planned, experiment.name)
            ],
            "remarks": [str(each) for each in planned.remarks],
        }
    )
