"""`genloss show` of a model whose offers cannot be told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Said

Genloss = Callable[..., Said]
BUGS = Path(__file__).parents[1] / "planning" / "bugs.py"
DEFAULT = '] = "none",\n        pretrained'


@pytest.mark.parametrize(
    ("bug", "text", "said"),
    [
        ("typo", "nn.Liner(2, 2)", "AttributeError: module 'torch.nn' has no attribute 'Liner'"),
        ("turns", '"network": NoTurn', "NameError: name 'NoTurn' is not defined"),
    ],
)
def test_why_a_model_cannot_be_built_is_told(
    genloss: Genloss, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: str, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source = BUGS.read_text()
    assert DEFAULT in source
    Path("mine.py").write_text(source.replace(DEFAULT, DEFAULT.replace("none", bug)))
    (line,) = [number for number, line in enumerate(source.splitlines(), 1) if text in line]
    (facts,) = json.loads(genloss("show", "line", "--plugin", "mine.py", "--json").out)
    assert facts["offers"] == (
        f"unknown, since it cannot be built with its default options (mine.py:{line}): {said}"
    )


def test_what_it_offers_is_told(genloss: Genloss) -> None:
    (facts,) = json.loads(genloss("show", "line", "--plugin", BUGS, "--json").out)
    assert facts["offers to network"]["x_hat"] == "[batch *event]  The reconstruction."
    assert "offers" not in facts
