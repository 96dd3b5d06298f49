"""A plugin file that imports what lies beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import genloss
from genloss.errors import DefinitionError
from genloss.registry import code
from genloss.registry.origin import culprit
from tests.fake_plugins import HEAD

Write = Callable[..., Path]

PLUGIN = (
    HEAD
    + """
{imports}

@loss
def scaled(x: Values) -> Values:
    {within}
    return factor() * x

@genloss.hookimpl
def genloss_losses():
    yield scaled
"""
)


def plugin(imports: str = "", within: str = "pass") -> str:
    return PLUGIN.format(imports=imports, within=within)


def scaled(path: Path) -> float:
    """What the plugin's loss makes of 1."""
    return float(genloss.catalogue(path).losses["scaled"](torch.ones(1)))


@pytest.mark.parametrize(
    ("imports", "within"),
    [
        ("from mine.deep.factors import factor", "pass"),
        ("import mine.deep.factors\nfactor = mine.deep.factors.factor", "pass"),
        ("import mine.deep.factors as f\nfactor = f.factor", "pass"),
        ("from mine.deep import factors\nfactor = factors.factor", "pass"),
        ("from mine.deep import *", "pass"),
        ("", "from mine import deep; factor = deep.factor"),
        ("", "import mine.deep; factor = mine.deep.factor"),
    ],
)
def test_all_ways_to_write_it(write: Write, imports: str, within: str) -> None:
    write("from . import deep", "mine/__init__.py")
    write("from .factors import factor", "mine/deep/__init__.py")
    write(
        "from ..value import VALUE\nimport plain\ndef factor(): return VALUE + plain.ONE",
        "mine/deep/factors.py",
    )
    write("VALUE = 2.0", "mine/value.py")
    write("ONE = 1.0", "plain.py")
    write("raise RuntimeError('nobody imports this')", "mine/other.py")
    path = write(plugin(imports, within))
    before = list(sys.path)
    assert scaled(path) == 3.0
    assert sys.path == before
    assert not {"mine", "plain"} & sys.modules.keys()
    assert sorted(code.read(path).files) == [
        "mine/__init__.py",
        "mine/deep/__init__.py",
        "mine/deep/factors.py",
        "mine/value.py",
        "my_losses.py",
        "plain.py",
    ]


def test_two_plugins_with_neighbours_of_one_name(write: Write) -> None:
    paths = []
    for name, value in (("a", 2), ("b", 5)):
        write(f"def factor(): return {value}", f"{name}/utils.py")
        paths.append(write(plugin(within="from utils import factor"), f"{name}/losses_{name}.py"))
    known = [genloss.catalogue(path).losses["scaled"] for path in paths]
    assert [float(loss(torch.ones(1))) for loss in known] == [2.0, 5.0]
    assert "utils" not in sys.modules


def test_a_folder_without_an_init(write: Write) -> None:
    write("def factor(): return 4", "mymodels/mlp.py")
    assert scaled(write(plugin("from mymodels.mlp import factor"))) == 4.0


def test_it_is_read_again_once_a_neighbour_has_changed(write: Write) -> None:
    write("def factor(): return 4", "utils.py")
    path = write(plugin("from utils import factor"))
    first = genloss.catalogue(path).losses.provider("scaled").version
    assert scaled(path) == 4.0
    write("def factor(): return 5", "utils.py")
    assert scaled(path) == 5.0
    second = genloss.catalogue(path).losses.provider("scaled").version
    write("raise RuntimeError", "other.py")
    assert first != second == genloss.catalogue(path).losses.provider("scaled").version


@pytest.mark.parametrize("name", ["random", "genloss", "torch"])
def test_what_a_neighbour_does_not_stand_for(write: Write, name: str) -> None:
    """Python's own modules, genloss, and a library that is installed where only a folder bears its name."""
    write("", f"{name}/notes.txt")
    if name != "torch":
        write("raise RuntimeError('of no use')", f"{name}.py")
    path = write(plugin(f"import {name}\nfactor = lambda: 1"))
    assert scaled(path) == 1.0
    assert list(code.read(path).files) == ["my_losses.py"]


def test_a_file_that_bears_the_name_of_the_library_it_wraps(write: Write) -> None:
    path = write(
        plugin("import safetensors\nfactor = lambda: 1 if safetensors.__version__ else 2"), "safetensors.py"
    )
    assert scaled(path) == 1.0


def test_what_is_missing_is_named_as_it_was_written(write: Write) -> None:
    write("", "mine/__init__.py")
    with pytest.raises(DefinitionError, match=r"ModuleNotFoundError: No module named 'mine\.nothing' in"):
        genloss.catalogue(write(plugin("import mine.nothing")))


def test_what_no_import_statement_names_is_refused(write: Write) -> None:
    write("", "mine/__init__.py")
    write("", "mine/other.py")
    imports = "import mine\nimport importlib\nimportlib.import_module('.other', mine.__name__)"
    with pytest.raises(DefinitionError, match=r"no `import` statement names 'mine\.other'"):
        genloss.catalogue(write(plugin(imports)))


def test_an_error_in_a_neighbour_is_told_with_its_line(write: Write) -> None:
    write("\n\ndef factor(): raise ValueError('planted')", "utils.py")
    loss = genloss.catalogue(write(plugin("from utils import factor"))).losses["scaled"]
    with pytest.raises(ValueError, match="planted") as caught:
        loss(torch.ones(1))
    found = culprit(caught.value, [loss])
    assert found is not None
    assert found.place.endswith("utils.py:3")


@pytest.mark.slow
def test_torch_compiles_what_lies_beside(write: Write) -> None:
    write("import torch\ndef factor(): return torch.tensor(4.0)", "utils.py")
    loss = genloss.catalogue(write(plugin("from utils import factor"))).losses["scaled"]
    compiled = torch.compile(lambda x: loss._implementation(x), backend="aot_eager", fullgraph=True)
    assert compiled(torch.ones(1)).tolist() == [4.0]
