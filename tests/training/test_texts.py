"""Samples as text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genloss.contracts.dataset import DataSpec
from genloss.training.texts import LONGEST, text, write

ALPHABET = ("a", "é", "\n", " ", "<b>")


def spec(alphabet: tuple[str, ...] | None = ALPHABET, length: int = 4) -> DataSpec:
    return DataSpec((length,), "tokens", size=10, vocabulary=len(alphabet or "12345"), alphabet=alphabet)


def test_the_first_samples_by_the_alphabet(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "step-0000007.txt"
    assert write(torch.tensor([[0, 1, 2, 3], [4, 4, 0, 0]]), spec(), path)
    assert path.read_text(encoding="utf-8") == "sample 1 of 2:\naé\n \n\nsample 2 of 2:\n<b><b>aa\n"


def test_a_few_of_many(tmp_path: Path) -> None:
    path = tmp_path / "samples.txt"
    write(torch.zeros(500, 4, dtype=torch.long), spec(), path)
    content = path.read_text()
    assert content.count("aaaa\n") == 16
    assert "sample 16 of 500:" in content


def test_numbers_where_there_is_no_alphabet(tmp_path: Path) -> None:
    path = tmp_path / "samples.txt"
    assert write(torch.tensor([[0, 3, 1, 4]]), spec(None), path)
    assert path.read_text() == "sample 1 of 1:\n0 3 1 4\n"


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("\x00", r"\x00"),
        ("\x1b", r"\x1b"),
        ("\r", r"\r"),
        ("\ud800", r"\ud800"),
        ("\u202e", r"\u202e"),
        ("\U000e0001", r"\U000e0001"),
        ("\t", "\t"),
        ("🦉", "🦉"),
        ("漢", "漢"),
    ],
    ids=ascii,
)
def test_what_no_page_can_show_is_escaped(tmp_path: Path, character: str, shown: str) -> None:
    path = tmp_path / "samples.txt"
    write(torch.zeros(1, 2, dtype=torch.long), spec((character,), 2), path)
    assert path.read_bytes() == f"sample 1 of 1:\n{shown * 2}\n".encode()


def test_samples_that_are_no_tokens_are_shown_as_what_they_are() -> None:
    assert text([0, 5, -1, 1], ALPHABET) == "a<5><-1>é"


def test_a_long_sample_is_cut() -> None:
    assert text([0] * LONGEST, ALPHABET) == "a" * LONGEST
    assert text([0] * (LONGEST + 1), ALPHABET) == "a" * LONGEST + " …"
    assert text([7] * (LONGEST + 1), None).endswith("7 7 …")


@pytest.mark.parametrize(("shape", "kind"), [((1, 8, 8), "image"), ((2,), "points"), ((3,), "points")])
def test_images_and_points_are_no_text(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    path = tmp_path / "nothing" / "samples.txt"
    assert not write(torch.zeros(4, *shape), DataSpec(shape, kind, size=10), path)  # type: ignore[arg-type]
    assert not path.parent.exists()
