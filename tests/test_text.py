"""Numbers and names as a person reads them."""

from __future__ import annotations

import math

import pytest

from genloss.text import duration, joined, memory, needed, number, p_value, spread


@pytest.mark.parametrize(
    ("mean", "half_width", "said"),
    [
        (2.312, 0.5527, "2.31 ± 0.55"),
        (0.7942, 0.009934, "0.7942 ± 0.0099"),
        (0.5, 0.0996, "0.50 ± 0.10"),  # rounded up to the next decimal
        (1234.5, 56.7, "1234 ± 57"),
        (12345.0, 678.9, "12340 ± 680"),
        (-0.001, 0.02, "-0.001 ± 0.020"),
        (2.0, 0.0, "2 ± 0"),
        (0.5, 1.2e-9, "0.5 ± 1.2e-09"),
        (3.2e9, 1.5e8, "3.2e+09 ± 1.5e+08"),
        (2.3456, math.nan, "2.346"),  # one seed
        (math.nan, math.nan, "–"),
        (1e308, math.inf, "1e+308 ± inf"),
    ],
)
def test_a_half_width_has_two_digits_and_the_mean_as_many_decimals(
    mean: float, half_width: float, said: str
) -> None:
    assert spread(mean, half_width) == said


def test_numbers_read_as_numbers() -> None:
    assert [number(value) for value in (0.123456, 1234567.0, math.nan)] == ["0.1235", "1.235e+06", "–"]
    assert [p_value(p) for p in (1.0, 0.0078125, 0.25, math.nan)] == ["1", "0.0078", "0.25", "–"]
    assert [needed(seeds) for seeds in (8, 1000.0, math.inf, math.nan)] == [
        "8",
        "1,000",
        "more than 1,000",
        "–",
    ]
    assert [duration(s) for s in (0.123, 9.94, 9.96, 59.4, 90, 7200, 86400, math.nan)] == [
        *("0.1 s", "9.9 s", "10 s", "59 s"),
        *("1.5 min", "2.0 h", "24 h", "–"),
    ]
    assert [memory(size) for size in (None, 512 * 2**20, 5 * 2**29)] == ["–", "512 MiB", "2.5 GiB"]


def test_of_a_long_list_the_first_are_named() -> None:
    assert joined(["a"]) == "a"
    assert joined(["a", "b"]) == "a and b"
    assert joined(["a", "b", "c", "d"]) == "a, b, c and d"
    assert joined(["a", "b", "c", "d", "e", "f"]) == "a, b, c and 3 more"
    assert joined(["a", "b", "c"], most=1) == "a and 2 more"
