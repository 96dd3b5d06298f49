"""`genloss new`: create a plugin."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from genloss.commands import options
from genloss.registry.kinds import KINDS, singular

EXPERIMENT = "experiment"


@click.command("new")
@click.argument("kind", type=options.OneOf("kind", [*map(singular, KINDS), EXPERIMENT]))
@click.argument("name")
@click.option(
    "--into",
    "folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where it is written. [default: a package in NAME, with dashes; an experiment here]",
)
def command(kind: str, name: str, folder: Path | None) -> None:
    """Write a package that offers a new loss, model, dataset or metric (KIND), or an experiment.

    A package has its tests. What is written works at once, so that what is changed in it can be tried;
    nothing is overwritten.

    \b
    Examples:
      genloss new experiment my-gan
      genloss new loss cauchy_nll
      genloss new model tiny_vae --into plugins/tiny-vae
    """
    from genloss import scaffold
    from genloss.commands.terminal import show_plugin_warnings
    from genloss.registry.catalogue import catalogue

    show_plugin_warnings()
    if kind == EXPERIMENT:
        path = (folder or Path()) / f"{name}.yaml"
        scaffold.write_experiment(name, path)
        click.echo(f"{path}\n\nTrain it:\n\n  genloss run {shlex.quote(str(path))}")
        return
    (plural,) = (each for each in KINDS if singular(each) == kind)
    scaffold.check_name(name, getattr(catalogue(), plural))
    distribution = name.replace("_", "-")
    folder = folder or Path(distribution)
    for path in scaffold.write(kind, name, folder):
        click.echo(path)
    click.echo(
        f"\nThe {kind} is in {folder / 'src' / name / f'{kind}.py'}. Install it, check it, train with it:\n\n"
        f"  cd {shlex.quote(str(folder))}\n"
        "  python -m pip install -e '.[dev]'\n"
        f"  genloss check {distribution}\n"
        "  genloss run experiment.yaml"
    )
