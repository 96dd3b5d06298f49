"""All files are UTF-8, whatever the locale: no call leaves the encoding to it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [file for folder in ("genloss", "plugins") for file in sorted((ROOT / folder).rglob("*.py"))]
PROCESSES = ("run", "Popen", "check_output")
OTHERS = ("os", "Image", "webbrowser", "tracker", "_opener")
"""Whose `open` opens no text."""


def without_encoding(source: str) -> Iterator[int]:
    """The lines of calls that take the locale's encoding."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or any(word.arg == "encoding" for word in call.keywords):
            continue
        function = call.func
        name = getattr(function, "attr", getattr(function, "id", ""))
        owner = getattr(function, "value", None)
        owned_by = getattr(owner, "attr", getattr(owner, "id", ""))
        modes = [
            arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        modes += [getattr(word.value, "value", "b") for word in call.keywords if word.arg == "mode"]
        binary = any("b" in str(mode) for mode in modes)
        if (
            name in ("read_text", "write_text", "TextIOWrapper")
            or (name in ("open", "fdopen") and not binary and (owned_by not in OTHERS or name == "fdopen"))
            or (name.endswith("TemporaryFile") and modes and not binary)
            or (
                name in PROCESSES
                and any(word.arg in ("text", "universal_newlines") for word in call.keywords)
            )
        ):
            yield call.lineno


def test_every_call_names_its_encoding() -> None:
    assert len(FILES) > 200
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in FILES
        for line in without_encoding(file.read_text(encoding="utf-8"))
    ]
    assert not found, found


@pytest.mark.parametrize(
    "call",
    [
        "path.read_text()",
        "path.write_text('a')",
        "open(path)",
        "path.open()",
        "(folder / 'a').open('w')",
        "os.fdopen(3, 'w')",
        "gzip.open(path, mode='rt')",
        "tempfile.NamedTemporaryFile('w')",
        "subprocess.run(command, text=True)",
        "io.TextIOWrapper(stream)",
    ],
)
def test_what_is_found(call: str) -> None:
    assert list(without_encoding(call)) == [1]
    assert not list(without_encoding(f"{call[:-1]}{'' if call.endswith('()') else ', '}encoding='utf-8')"))


@pytest.mark.parametrize(
    "call", ["path.open('rb')", "os.open(path, 0)", "NamedTemporaryFile()", "run(command)"]
)
def test_what_is_bytes(call: str) -> None:
    assert not list(without_encoding(call))


def test_an_experiment_is_read_in_a_locale_of_ascii(tmp_path: Path) -> None:
    (tmp_path / "owls.txt").write_text("grüne Eulen 🦉\n" * 40, encoding="utf-8")
    (tmp_path / "plugin.py").write_text('"""Größen."""\nNAME = "Größe"\n', encoding="utf-8")
    (tmp_path / "experiment.yaml").write_text(
        "name: ascii\ndescription: Größenwahn\nplugins: [plugin.py]\n"
        "data: {name: text, path: owls.txt, length: 8}\nmodel: language\n"
        "objectives: {plain: {network: categorical_nll}}\n"
        "training: {steps: 2, batch_size: 4}\nseeds: 1\ndevices: cpu\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "genloss", "plan", "experiment.yaml", "--json"],
        cwd=tmp_path,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b'"data"' in done.stdout
