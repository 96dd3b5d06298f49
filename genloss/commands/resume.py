"""`genloss resume`: finish a study."""

from __future__ import annotations

from pathlib import Path

import click

from genloss.commands.options import plugin_files


@click.command("resume")
@click.argument("study", required=False)
@click.option(
    "--allow-drift",
    is_flag=True,
    help="Go on though the configuration, a plugin, a package or the device has changed since.",
)
@click.option(
    "--tracking-uri",
    metavar="URI",
    help="Record there. [default: where it was recorded, if a setting or its file says so]",
)
@plugin_files
def command(study: str | None, allow_drift: bool, tracking_uri: str | None, plugins: tuple[Path, ...]) -> int:
    """Finish what is missing of STUDY, or of the latest study here.

    Runs that have finished are kept. Those that were interrupted, that failed, or whose process was killed go
    on from their newest checkpoint, under the same MLflow runs, and end with the bits that they would have
    ended with. What was computed before is compared, not recorded twice. The experiment's file is not needed.

    If what decides the numbers has changed since the study began, says what, and trains nothing. Exit codes
    are those of `genloss run`.

    A project may have been moved. A plugin file is run if it is what you have run before; `--plugin` allows
    it otherwise, as for a study that somebody else began, and names one that lies elsewhere now.

    \b
    Examples:
      genloss resume
      genloss resume gan-losses-20250131-093000
      genloss resume gan-losses-20250131-093000 --allow-drift
    """
    from genloss.commands.display import for_terminal
    from genloss.commands.results import print_results
    from genloss.commands.terminal import show_plugin_warnings, stderr

    show_plugin_warnings()
    with stderr().status("reading the study"):
        from genloss.launch.resume import find, go_on

        folder = find(study)
    result = go_on(
        folder, for_terminal(), plugins=plugins, allow_drift=allow_drift, tracking_uri=tracking_uri
    )
    print_results(result)
    return result.exit_code
