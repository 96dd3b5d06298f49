"""CONTRIBUTING's map and the layers of import-linter name every module of the package, in one order."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = {
    path.stem
    for path in (ROOT / "genloss").iterdir()
    if (path / "__init__.py").exists() or (path.suffix == ".py" and path.stem != "__init__")
}
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def contract(kind: str, name: str = "") -> dict[str, list[str]]:
    (found,) = [each for each in CONTRACTS if each["type"] == kind and name in each["name"]]
    return found


def layers() -> list[list[str]]:
    return [re.split(r" [|:] ", layer) for layer in contract("layers")["layers"]]


def rows() -> dict[str, str]:
    """The modules of CONTRIBUTING's table, each with the file to read first."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return dict(re.findall(r"^\| `genloss\.(\w+)` \| [^|]+ \|(?: `([^`]+)`)? \|$", text, re.MULTILINE))


def test_the_layers_name_every_module() -> None:
    assert sorted(module for layer in layers() for module in layer) == sorted(PACKAGE)


def test_the_map_names_every_module_in_the_order_of_the_layers() -> None:
    assert set(rows()) == PACKAGE - {"__main__"}
    rank = {module: index for index, layer in enumerate(layers()) for module in layer}
    assert [rank[module] for module in rows()] == sorted(rank[module] for module in rows())


def test_what_is_to_be_read_first_is_there() -> None:
    for module, file in rows().items():
        assert not file or (ROOT / "genloss" / module / file).exists(), (module, file)


def test_every_module_but_tracking_is_kept_from_mlflow() -> None:
    known = {f"genloss.{module}" for module in PACKAGE - {"tracking"}} | {"genloss_builtin"}
    assert set(contract("forbidden", "Only tracking")["source_modules"]) == known
