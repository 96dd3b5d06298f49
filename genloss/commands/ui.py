"""`genloss ui`: open a study in MLflow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from genloss.record.folder import StudyFolder


@click.command("ui")
@click.argument("study", required=False)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Serve there. [default: 5000, or any that is free]"
)
@click.option(
    "--open/--no-open", "open_", default=None, help="Open the page in a browser. [default: on a terminal]"
)
@click.option(
    "--tracking-uri",
    metavar="URI",
    help="Where MLflow has it. [default: where it was recorded, if a setting or its file says so]",
)
def command(study: str | None, port: int | None, open_: bool | None, tracking_uri: str | None) -> int:
    """Open the comparison of STUDY, or of the latest study here, in MLflow's UI.

    Starts MLflow's UI on this machine, for this machine alone, until Ctrl-C; a study that was recorded on a
    server is shown there. Prints the page's address on stdout.

    \b
    Examples:
      genloss ui
      genloss ui gan-losses-20250131-093000 --port 8080
      genloss ui --no-open
    """
    import sys

    from genloss.commands.terminal import stderr

    folder = _find(study)
    with stderr().status("opening MLflow"):
        from genloss.tracking import address, allowed, fail_fast, server, views

        fail_fast()
        content = folder.read()
        uri = address.absolute(allowed.store_of(folder, content, tracking_uri), folder.working_folder)
        experiment_id = views.find(uri, content)
    show = sys.stdout.isatty() if open_ is None else open_
    if address.is_server(uri):
        _present(views.page(uri, experiment_id, folder.name), show and not _is_remote())
        return 0
    _end_on_signals()
    free = server.free_port(port)
    with stderr().status("starting MLflow's server") as status, server.serving(uri, free) as process:
        status.stop()
        local = f"http://{server.HOST}:{free}"
        _present(views.page(local, experiment_id, folder.name), show and not _is_remote())
        if _is_remote():
            _tell_of_a_tunnel(server.HOST, free)
        stderr().print("Ctrl-C ends the server", style="dim")
        process.wait()
    stderr().print("MLflow's server has ended")
    return 1


def _find(name: str | None) -> StudyFolder:
    from genloss.errors import RequestError
    from genloss.record.folder import StudyFolder, latest_study

    if name is None:
        latest = latest_study()
        if latest is None:
            raise RequestError(
                "there is no study in this folder",
                hint="`genloss run EXPERIMENT` makes one; `genloss ui` wants the folder that it was run in",
            )
        return latest
    return StudyFolder.find(name)


def _present(page: str, show: bool) -> None:
    from genloss.commands.terminal import say

    say(page)
    if show:
        import webbrowser

        webbrowser.open(page)


def _is_remote() -> bool:
    """Return whether this is a remote login without a display, where only a text browser would open."""
    shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return bool(os.environ.get("SSH_CONNECTION")) and not shown


def _tell_of_a_tunnel(host: str, port: int) -> None:
    """Print the line that brings the page to the machine that one sits at."""
    import getpass
    import platform

    from genloss.commands.terminal import hint

    # The address by which this machine was reached: its name may mean nothing there.
    address = [*os.environ["SSH_CONNECTION"].split(), "", ""][2] or platform.node()
    line = f"ssh -N -L {port}:{host}:{port} {getpass.getuser()}@{address}"
    hint(f"on your own machine, `{line}`; then open the page there")


def _end_on_signals() -> None:
    """Let the server be ended first, once."""
    import signal

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end(number: int, _: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in numbers:
        signal.signal(number, end)
