"""The results: medians, bounds, tables, and the file whose sections are replaced one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.benchmarks.results import HEAD, Bound, Figure, Section, here, in_turns, merged, number


def test_every_second_round_goes_backwards() -> None:
    order: list[str] = []

    def candidate(name: str, gives: int) -> Callable[[], int]:
        def run() -> int:
            order.append(name)
            return gives

        return run

    found = in_turns({"a": candidate("a", 1), "b": candidate("b", 2)}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1, 1, 1], "b": [2, 2, 2]}


def test_a_ratio_is_that_of_the_medians_and_spreads_as_the_rounds_do() -> None:
    ratio = Figure.of([2.0, 4.0, 9.0], "s") / Figure.of([1.0, 8.0, 3.0], "s")
    assert ratio.median == pytest.approx(4 / 3)
    assert ratio.rounds == (2.0, 0.5, 3.0)
    assert str(ratio) == "1.33 (0.50 to 3.00)"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.123, "0.12"), (9.876, "9.88"), (12.34, "12.3"), (12_345.6, "12,346")]
)
def test_a_number_has_three_digits_or_all_before_the_point(value: float, text: str) -> None:
    assert number(value) == text


def test_bounds() -> None:
    assert Bound(most=1.05).keeps(1.05)
    assert not Bound(most=1.05).keeps(1.06)
    assert Bound(least=5).keeps(5)
    assert not Bound(least=5).keeps(4.9)
    assert str(Bound(most=1.05)) == "at most 1.05"


def test_a_section_says_what_is_not_kept() -> None:
    section = Section("Time", "Of something.")
    section.figures(
        [
            ("one", Figure.of([3.0], "s"), None),
            ("two", Figure.of([2.0, 3.0]), Bound(most=2)),
            ("three", Figure.of([2.0]), Bound(least=2)),
        ]
    )
    assert section.missed == ["Time: two is 2.50 (2.00 to 3.00), and must be at most 2"]
    assert str(section).splitlines() == [
        "## Time",
        "",
        "Of something.",
        "",
        "|       | measured            | must be    | kept   |",
        "| ----- | ------------------- | ---------- | ------ |",
        "| one   | 3.00 s              |            |        |",
        "| two   | 2.50 (2.00 to 3.00) | at most 2  | **no** |",
        "| three | 2.00                | at least 2 | yes    |",
    ]


def test_only_the_sections_that_were_run_are_replaced() -> None:
    text = merged("", ["## A\n\nold", "## B\n\nold"])
    assert text == f"{HEAD}\n## A\n\nold\n\n## B\n\nold\n"
    assert (
        merged(text, ["## B\n\nnew", "## C\n\nnew"]) == f"{HEAD}\n## A\n\nold\n\n## B\n\nnew\n\n## C\n\nnew\n"
    )


def test_it_says_where_and_when() -> None:
    assert "cores" in here()
    assert "torch 2" in here()
