"""The options that commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from genloss.errors import RequestError, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])


class OneOf(click.Choice[str]):
    """A choice whose mistakes are answered with what may have been meant."""

    def __init__(self, what: str, choices: Sequence[str]) -> None:
        super().__init__(choices)
        self._what = what

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            raise RequestError(f"there is no {self._what} `{value}`", hint=did_you_mean(value, self.choices))
        return super().convert(value, param, ctx)


class ExperimentCommand(click.Command):
    """A command about an experiment, which tells where a value belongs that was given as an argument."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        super().parse_args(ctx, args)
        if ctx.args:
            given = ctx.args[0]
            hint = f"`{ctx.command_path} --help` shows what it takes"
            if "=" in given:
                hint = f"a value is set by `--set {given}`"
            elif given.endswith(".py"):
                hint = f"a plugin file is named by `--plugin {given}`"
            raise RequestError(f"unexpected argument `{given}`", hint=hint)
        return ctx.args


def plugin_files(function: F) -> F:
    """`--plugin FILE`."""
    return click.option(
        "--plugin",
        "plugins",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="A plugin file besides the installed ones; may be given several times.",
    )(function)


def experiment(function: F) -> F:
    """What says which experiment is meant: the file, and what it is changed to."""
    for decorate in (
        click.option(
            "--objective",
            "objectives",
            multiple=True,
            metavar="NAME",
            help="Only this objective, or this point of one; may be given several times.",
        ),
        plugin_files,
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="A value instead of the file's, such as training.steps=50.",
        ),
        click.argument("file", type=click.Path(path_type=Path)),
    ):
        function = decorate(function)
    return function


def as_json(function: F) -> F:
    """`--json`."""
    return click.option("--json", "json_", is_flag=True, help="Print JSON, for programs.")(function)
