"""The digest of what a definition is written in, and who may run it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genloss.errors import ExperimentError
from genloss.registry import code, trust

Write = Callable[..., Path]

PACKAGE = {
    "__init__.py": "from .a import loss, other",
    "a.py": "from .parts import scale\nfrom acme_code.values import VALUE\nloss = other = None",
    "b.py": "from . import values",
    "parts/__init__.py": "",
    "parts/scale.py": "import acme_code.parts.deep as deep",
    "parts/deep.py": "from acme_code.parts import *",
    "values.py": "VALUE = 1",
}


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write) -> Callable[..., str]:
    """The digest of `acme_code.a`, with some of the package's files changed."""

    def digest(**changed: str) -> str:
        folder = f"site-{len(list(tmp_path.iterdir()))}"
        for name, source in PACKAGE.items():
            write(source, f"{folder}/acme_code/{name}")
        for name, source in changed.items():
            path = tmp_path / folder / "acme_code" / f"{name.replace('__', '/')}.py"
            path = path.with_name("__init__.py") if name == "init" else path
            with path.open("a") as file:
                file.write(f"\n{source}")
        with monkeypatch.context() as patched:
            patched.syspath_prepend(tmp_path / folder)
            for name in [name for name in sys.modules if name.partition(".")[0] == "acme_code"]:
                del sys.modules[name]
            importlib.import_module("acme_code")
            return code.of_module("acme_code.a", listing="acme_code")

    return digest


def test_it_is_of_the_module_and_of_what_that_imports_from_its_distribution(
    digest: Callable[..., str],
) -> None:
    first = digest()
    assert len(first) == code.SHOWN
    assert digest() == first
    for name in ("a", "values", "parts__scale", "parts__deep"):
        assert digest(**{name: "# more"}) != first, name
    # Neither another module, nor the list of what the plugin offers.
    assert digest(b="# more", init="# more") == first


def test_a_single_module(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write("import os", "acme_single.py")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("acme_single")
    assert len(code.of_module("acme_single", listing="acme_single")) == code.SHOWN


def test_a_file_alone_has_the_digest_of_its_content(write: Write) -> None:
    import hashlib

    path = write("import json\n", "mine.py")
    assert code.read(path).digest == hashlib.sha256(b"import json\n").hexdigest()


def test_a_file_in_another_encoding(write: Write, tmp_path: Path) -> None:
    write("", "beside.py")
    path = tmp_path / "latin.py"
    path.write_bytes("# -*- coding: latin-1 -*-\nimport beside  # für\n".encode("latin-1"))
    assert list(code.read(path).files) == ["latin.py", "beside.py"]


@pytest.mark.parametrize("source", ["def", "x = '\0'", "(" * 500 + ")" * 500])
def test_what_is_no_python_is_read_all_the_same(write: Write, source: str) -> None:
    assert list(code.read(write(source, "mine.py")).files) == ["mine.py"]


def test_neighbours_that_import_each_other(write: Write) -> None:
    write("import two", "one.py")
    write("import one\nimport mine", "two.py")
    assert sorted(code.read(write("import one", "mine.py")).files) == ["mine.py", "one.py", "two.py"]


@pytest.mark.parametrize("name", ["missing.py", "."])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExperimentError, match="there is no plugin file"):
        code.read(tmp_path / name)


def test_code_is_known_by_its_content_alone(
    write: Write, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    first, second = write("# some code\n", "a/mine.py"), write("# some code\n", "b/yours.py")
    assert not trust.knows(code.read(first))
    trust.remember([code.read(first)])
    monkeypatch.setattr(trust, "_named", set())
    assert trust.knows(code.read(second))
    write("# some code \n", "b/yours.py")
    assert not trust.knows(code.read(second))
    assert (state / "genloss" / "code").stat().st_mode & 0o777 == 0o700


def test_where_nothing_can_be_kept_a_process_remembers(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    own = code.read(write("# some other code\n", "mine.py"))
    assert not trust.knows(own)
    trust.remember([own])
    assert trust.knows(own)
