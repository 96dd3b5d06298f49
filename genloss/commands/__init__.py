"""The command line: one file per command, imported when it is used."""

from __future__ import annotations

import codecs
import gc
import importlib
import io
import os
import sys

import click

from genloss import output
from genloss.errors import GenlossError, RequestError, did_you_mean
from genloss.version import __version__

NAMES = (
    *("run", "resume", "compare", "plan", "list", "show", "check"),
    *("plugins", "new", "schema", "ui", "sync", "clean"),
)


class Commands(click.Group):
    """The group, whose commands live in the modules of their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*NAMES]  # `list` is a command, once it has been imported

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NAMES:
            return None
        command: click.Command = importlib.import_module(f"genloss.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and args[0] not in NAMES:
            raise RequestError(f"there is no command `{args[0]}`", hint=did_you_mean(args[0], NAMES))
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: genloss new experiment my-gan && genloss run my-gan.yaml",
    invoke_without_command=True,
)
@click.version_option(__version__, message="genloss %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Which loss should I use for my generative model, and what does it change?

    genloss trains one model under several objectives with several seeds, records every loss value in
    MLflow, and opens there a comparison that can be believed.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """The entry point: runs a command, and says what went wrong in one message."""
    _open_standard_streams()
    output.protect()
    _print_plainly()
    code = _run()
    if error := output.unwritten():
        from genloss.commands.terminal import complain

        complain(GenlossError(f"the output could not be written: {error.strerror}"))
        code = code or 1
    gc.freeze()  # else Python looks through all that was imported when it ends: half a second, with torch
    sys.exit(code)


def _open_standard_streams() -> None:
    """Open those that are closed: else other files get their numbers, and what a library prints there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


PLAIN = {
    "±": "+-",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "×": "x",
    "·": "*",
    "▲": "^",
    "▼": "v",
    "↑": "^",
    "↓": "v",
} | {"…": "...", "–": "-", "—": "-", "−": "-", "“": '"', "”": '"', "’": "'", "ä": "ae", "ö": "oe", "ü": "ue"}
"""What is printed where the encoding of the output has not the character."""


def _print_plainly() -> None:
    """Let output in another encoding than UTF-8, such as ASCII, have plain characters in place of ours."""

    def plain(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        missing = error.object[error.start : error.end]
        return "".join(PLAIN.get(character, "?") for character in missing), error.end

    codecs.register_error("genloss.plain", plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="genloss.plain")


def _run() -> int:
    try:
        result = cli.main(prog_name="genloss", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        from genloss.commands.terminal import complain

        hint = None
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f"`{error.ctx.command_path} --help` shows what it takes"
        complain(GenlossError(error.format_message().rstrip("."), hint=hint))
        return 2
    except GenlossError as error:
        from genloss.commands.terminal import complain

        complain(error)
        return 2 if isinstance(error, RequestError) else 1
    except (KeyboardInterrupt, click.Abort):
        return 130
