"""`genloss run`: train an experiment and record it."""

from __future__ import annotations

from pathlib import Path

import click

from genloss.commands import options


@click.command("run", cls=options.ExperimentCommand)
@options.experiment
def command(
    file: Path, overrides: tuple[str, ...], plugins: tuple[Path, ...], objectives: tuple[str, ...]
) -> int:
    """Train every objective of an experiment with every seed, and record all of it in MLflow.

    Ends with a table of the results on stdout. A run that fails fails alone. Ctrl-C lets each run end after
    its step, with a checkpoint; once more ends them at once. `genloss resume` finishes what is missing.

    Exit code: 0 if all runs finished, 1 if one failed, 2 if the request was wrong, 130 and 143 after Ctrl-C
    and SIGTERM.

    \b
    Examples:
      genloss run experiments/gan.yaml
      genloss run experiments/gan.yaml --set training.steps=200 --set seeds=2
      genloss run experiments/vae.yaml --plugin my_losses.py --objective beta_4
    """
    from genloss.commands.display import for_terminal
    from genloss.commands.results import print_results
    from genloss.commands.terminal import remark, show_plugin_warnings, stderr
    from genloss.launch.forkserver import ForkServers
    from genloss.planning.plan import plan

    show_plugin_warnings()
    with ForkServers() as servers:
        with stderr().status("reading the experiment"):
            planned = plan(
                file, plugins=plugins, overrides=overrides, objectives=objectives, once_read=servers.expect
            )
        remark(planned.remarks)

        from genloss.launch.run import launch  # imports torch, as the workers do by now

        result = launch(planned, for_terminal(), servers)
    print_results(result)
    return result.exit_code
