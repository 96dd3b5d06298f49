"""Whatever is done to an experiment's text, it is planned or refused; nothing else happens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloss.errors import RequestError
from genloss.planning.plan import plan, runs

from .conftest import VALID

LINES = VALID.splitlines()
FRAGMENTS = [
    *"[]{}:,-?&*!|>'\"%@`#~<=.+ \t\n\r\0\x85é𝛼",
    *(": ", "- ", "<<: ", "*a", "&a ", "!!str ", "---\n", "...", "null", "true", "on", "0", "-1", "1e-3"),
    *(
        "1e400",
        ".nan",
        "0x1F",
        "[]",
        "{}",
        '""',
        "../x",
        "\\ud800",
        "9" * 400,
        "a" * 200,
        "with: {model: vae}",
    ),
    *(
        "{linear: {from: 0, to: 1, steps: 2}}",
        "every: 2",
        "as: total",
        "bind: {logits: null}",
        "[spread, spread]",
    ),
]
MANGLINGS = st.one_of(
    st.tuples(st.just("delete"), st.integers(0, 40), st.integers(1, 4)),
    st.tuples(st.just("duplicate"), st.integers(0, 40), st.integers(0, 40)),
    st.tuples(st.just("indent"), st.integers(0, 40), st.integers(-4, 4)),
    st.tuples(st.sampled_from(FRAGMENTS), st.integers(0, 600), st.integers(0, 5)),
)  # fmt: skip


def mangled(manglings: list[tuple[str, int, int]]) -> str:
    lines = list(LINES)
    for what, where, how in manglings:
        line = where % max(len(lines), 1)
        if what == "delete":
            del lines[line : line + how]
        elif what == "duplicate":
            lines.insert(how % (len(lines) + 1), lines[line] if lines else "")
        elif what == "indent" and lines:
            lines[line] = " " * how + lines[line] if how > 0 else lines[line][-how:]
        elif what not in ("delete", "duplicate", "indent"):
            text = "\n".join(lines)
            at = where % (len(text) + 1)
            lines = (text[:at] + what + text[at + how :]).split("\n")
    return "\n".join(lines)


def is_decided(path: Path, toys: Path, *overrides: str) -> bool:
    """Whether it is planned, or refused with a place and a message."""
    try:
        planned = plan(path, plugins=[toys], overrides=overrides)
    except RequestError as error:
        return bool(error.message and error.where)
    return bool(runs(planned, "study"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mangled") / "toys.yaml"


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(manglings=st.lists(MANGLINGS, min_size=1, max_size=4))
def test_mangled_text_is_planned_or_refused(
    path: Path, toys: Path, manglings: list[tuple[str, int, int]]
) -> None:
    path.write_text(mangled(manglings), newline="")
    assert is_decided(path, toys)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(path: Path, toys: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert is_decided(path, toys)


PATHS = ["name", "data", "model.width", "objectives.first.critic", "objectives.second.critic.pull.weight"]
PATHS += [
    "objectives.second.with",
    "training",
    "training.optimizer",
    "training.players.actor",
    "seeds",
    "seeds.0",
]
PATHS += [
    "devices",
    "evaluation.metrics",
    "evaluation.metrics.spread.power",
    "on_failure",
    "objectives.x",
    "x.y",
]


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(
    overrides=st.lists(
        st.one_of(
            st.text(max_size=20),
            st.builds(
                lambda path, parts: f"{path}={''.join(parts)}",
                st.sampled_from(PATHS),
                st.lists(st.sampled_from(FRAGMENTS), max_size=4),
            ),
        ),
        min_size=1,
        max_size=2,
    )
)
def test_any_override_is_taken_or_refused(path: Path, toys: Path, overrides: list[str]) -> None:
    path.write_text(VALID)
    assert is_decided(path, toys, *overrides)
