"""New plugin packages, as `genloss new` writes them: templates, one folder a kind, and their writer.

`package` has what packages of all kinds share. In a template, `$name` and its like stand for what differs;
see `string.Template`.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from genloss.contracts.definition import RESERVED_NAMES
from genloss.errors import RequestError
from genloss.registry.kinds import singular
from genloss.version import __version__

if TYPE_CHECKING:
    from genloss.registry.catalogue import Definitions

TEMPLATES = Path(__file__).parent
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
EXPERIMENT_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
LONGEST = 40
"""Characters of a name with which the templates' lines are not too long."""


def check_name(name: str, definitions: Definitions[Any]) -> None:
    """Raise unless a new package and what it offers can be called so.

    Args:
        name: of both.
        definitions: what there is of its kind.

    Raises:
        RequestError: with a name that would do, or the reason why none of that sort does.
    """
    kind = singular(definitions.kind)
    reason = ""
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        hint = f"names have lower-case letters, digits and `_`, at most {LONGEST} of them"
        if near := _nearest(name):
            hint = f"did you mean `{near}`? {hint[0].upper()}{hint[1:]}"
        raise RequestError(f"`{name}` cannot be the name of a {kind}", hint=hint)
    if kind == "model" and _snake_case(class_name(name)) != name:
        hint = f"a model's name is its class's in snake case: `{_snake_case(class_name(name))}` would do"
        raise RequestError(f"`{name}` cannot be the name of a model", hint=hint)
    if name in definitions:
        reason = f"`{definitions.provider(name)}` offers a {kind} of that name"
    elif keyword.iskeyword(name):
        reason = "it is a word of Python's"
    elif kind == "loss" and name in RESERVED_NAMES:
        reason = "it stands for something else in a record"
    elif name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        reason = "a Python module of that name is there already"
    if reason:
        hint = f"choose another, such as `{name}_{kind}` or `my_{name}`"
        raise RequestError(f"`{name}` cannot be the name of a new {kind}: {reason}", hint=hint)


def write(kind: str, name: str, folder: Path) -> list[Path]:
    """Write a package that offers one definition; returns its files.

    Args:
        kind: `loss`, `model`, `dataset` or `metric`.
        name: of the definition, and of the package.
        folder: where it is written; made if it is not there.

    Raises:
        RequestError: there is something in the folder already, or it cannot be written.
    """
    words = {
        "kind": kind,
        "name": name,
        "class_name": class_name(name),
        "distribution": name.replace("_", "-"),
        "version": __version__,
    }
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RequestError(
                f"`{folder}` exists already",
                hint="nothing is overwritten: `--into FOLDER` writes to another place",
            )
        written = []
        for target, template in _templates(kind, name).items():
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (TEMPLATES / f"{template}.tmpl").read_text(encoding="utf-8") if template else ""
            path.write_text(Template(text).substitute(words), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise RequestError(f"`{folder}` cannot be written: {error.strerror}") from error
    return written


def write_experiment(name: str, path: Path) -> None:
    """Write an experiment to begin with.

    Args:
        name: the experiment's.
        path: the file.

    Raises:
        RequestError: the name cannot be one, there is such a file already, or it cannot be written.
    """
    if not re.fullmatch(EXPERIMENT_NAME, name):
        raise RequestError(
            f"`{name}` cannot be the name of an experiment",
            hint="names have letters, digits, `.`, `_` and `-`, as in `genloss new experiment my-gan`",
        )
    text = (TEMPLATES / "experiment" / "experiment.yaml.tmpl").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(Template(text).substitute(name=name))
    except FileExistsError:
        raise RequestError(
            f"`{path}` exists already",
            hint="nothing is overwritten: `--into FOLDER` writes to another place",
        ) from None
    except OSError as error:
        raise RequestError(f"`{path}` cannot be written: {error.strerror}") from error


def class_name(name: str) -> str:
    """`tiny_vae` → `TinyVae`."""
    return "".join(word.capitalize() for word in name.split("_"))


def _templates(kind: str, name: str) -> dict[str, str]:
    """The files of a package, and the templates that they are made from."""
    return {
        ".gitignore": "package/gitignore",
        "README.md": "package/README.md",
        "pyproject.toml": "package/pyproject.toml",
        "experiment.yaml": f"{kind}/experiment.yaml",
        f"src/{name}/__init__.py": f"{kind}/__init__.py",
        f"src/{name}/{kind}.py": f"{kind}/{kind}.py",
        f"src/{name}/py.typed": "",
        f"tests/test_{name}.py": f"{kind}/test.py",
    }


def _nearest(name: str) -> str | None:
    """A name that would do, as near as may be."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", _snake_case(name)).strip("_").lower()
    near = re.sub(r"^[0-9_]+", "", words)[:LONGEST].rstrip("_")
    return near if NAME.fullmatch(near) else None


def _snake_case(name: str) -> str:
    from genloss.contracts.definition import snake_case

    return snake_case(name)
