"""Which samples a report shows, and how large they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from genloss.comparison.report import samples
from tests.comparison.report.examples import Memory, compared, failed, picture, runs, source


def test_all_objectives_are_shown_with_one_seed_at_equal_steps(tmp_path: Path) -> None:
    found = runs(["plain", "beta"], 3)
    shown = samples.chosen(compared(found), source(found, tmp_path))
    assert shown is not None
    assert shown.seed == 0
    assert list(shown.steps) == [300, 200, 100]
    for row in shown.steps.values():
        assert [sample.objective for sample in row] == ["plain", "beta"]
        assert all(sample.picture.startswith("data:image/webp;base64,") for sample in row)
    assert shown.left_out == 0


def test_a_seed_that_more_objectives_finished_with_is_taken(tmp_path: Path) -> None:
    found = runs(["plain", "beta"], 2)
    found[0] = failed(found[0])
    shown = samples.chosen(compared(found), source(found, tmp_path))
    assert shown is not None
    assert shown.seed == 1


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    found = runs(["plain", "beta", "gamma"], 1)
    found[1] = failed(found[1])
    kept = source(found, tmp_path)
    some = Memory(shown={"plain-0": kept.shown["plain-0"], "beta-0": {100: kept.shown["beta-0"][100]}})
    shown = samples.chosen(compared(found), some)
    assert shown is not None
    assert [sample.missing for sample in shown.steps[300]] == [
        "",
        "none at this step; the run is FAILED",
        "no samples with this seed",
    ]


def test_no_samples_are_none() -> None:
    assert samples.chosen(compared(runs(["plain"], 2)), Memory()) is None


def test_texts_are_cut() -> None:
    found = runs(["plain"], 1)
    shown = samples.chosen(compared(found), Memory(read={"plain-0": {300: "x" * 5000, 100: "short"}}))
    assert shown is not None
    assert shown.steps[300][0].text == "x" * samples.MOST_CHARACTERS + " …"
    assert shown.steps[100][0].text == "short"


@pytest.mark.parametrize("objectives", [1, 20, 100])
def test_pictures_are_bounded(objectives: int, tmp_path: Path) -> None:
    noise = picture(tmp_path / "noise.png", 0, side=1200)
    found = runs([f"o{i}" for i in range(objectives)], 1)
    many = Memory(shown={run.name: dict.fromkeys(range(0, 1000, 10), noise) for run in found})
    if objectives > 1:  # the same small picture, so that the test is quick
        small = picture(tmp_path / "small.png", 1, side=40)
        many = Memory(shown={run.name: dict.fromkeys(range(0, 1000, 10), small) for run in found})
    shown = samples.chosen(compared(found), many)
    assert shown is not None
    assert len(shown.steps) == {1: 5, 20: 3, 100: 1}[objectives]
    assert next(iter(shown.steps)) == 990
    assert shown.left_out == 100 - len(shown.steps)
    every = [sample for row in shown.steps.values() for sample in row]
    assert max(max(sample.size) for sample in every) <= samples.SIDE
    assert sum(len(sample.picture) for sample in every) <= samples.MOST_BYTES


def test_steps_that_would_make_the_page_too_large_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = runs(["plain", "beta"], 1)
    monkeypatch.setattr(samples, "MOST_BYTES", 1)
    shown = samples.chosen(compared(found), source(found, tmp_path))
    assert shown is not None
    assert list(shown.steps) == [300]
    assert shown.left_out == 2


def test_a_picture_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    shown = samples.chosen(compared(runs(["plain"], 1)), Memory(shown={"plain-0": {300: broken}}))
    assert shown is not None
    assert shown.steps[300][0].missing == "the picture cannot be read: UnidentifiedImageError"
