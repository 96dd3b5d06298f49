"""Drawings: their SVG is well-formed whatever the text, and breaks at what is not finite."""

from __future__ import annotations

import math
from pathlib import Path as File
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest

from genloss.comparison.report import png
from genloss.comparison.report.drawing import (
    SYMBOLS,
    Box,
    Drawing,
    Path,
    Symbol,
    Text,
    fitted,
    identity,
    shown,
    stacked,
)
from tests.comparison.report.examples import HOSTILE


def everything() -> Drawing:
    drawing = Drawing(200, 100, HOSTILE)
    drawing.line(0, 0, 100, 50, "#0072B2", dash="4 3", title=HOSTILE)
    area = np.array([(0.0, 0.0), (50.0, 0.0), (50.0, 40.0)])
    drawing.add(Path(area, "#D55E00", opacity=0.2, filled=True, clip=Box(0, 0, 30, 30)))
    for index, shape in enumerate([*SYMBOLS, "left", "right"]):
        drawing.add(Symbol(20 * index, 50, shape, 10, filled=index % 2 == 0, title=HOSTILE))
    drawing.add(Text(10, 90, HOSTILE + "$x$ 模", anchor="middle", bold=True, halo=True))
    return drawing


def test_svg_is_well_formed_and_holds_no_markup_of_others() -> None:
    svg = everything().svg()
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == shown(HOSTILE)
    assert {element.tag for element in root.iter()} == {"svg", "path", "circle", "text", "title"}
    assert "".join(root.itertext()).count("<script>") == 11


def test_the_texts_colour_is_the_pages() -> None:
    drawing = Drawing(10, 10)
    drawing.add(Text(0, 0, "a"), Symbol(1, 1, colour="#0072B2"))
    assert 'fill="currentColor"' in drawing.svg()
    assert 'fill="#0072B2"' in drawing.svg()


def test_a_line_is_broken_where_there_is_no_value() -> None:
    points = np.array([(0, 0), (1, math.nan), (2, 0), (3, 1e9)])
    drawing = Drawing(10, 10, marks=[Path(points)])
    assert 'd="M0 0M2 0L3 100000"' in drawing.svg()


def test_identities_differ() -> None:
    found = [identity(index) for index in range(49)]
    assert len(set(found)) == 49
    assert len({colour for colour, _ in found[:7]}) == len({shape for _, shape in found[:7]}) == 7


def test_a_text_is_cut_in_its_middle() -> None:
    assert fitted("short", 100) == "short"
    cut = fitted("a_very_long_name_of_an_objective_17", 100)
    assert cut.startswith("a_very_l")
    assert cut.endswith("_17")
    assert len(cut) * 0.56 * 12 <= 100


def test_control_characters_are_escaped() -> None:
    assert shown("a\x00b\u202ec\n\tπ") == "a\\x00b\\u202ec\n\tπ"


def test_png_shows_the_same_on_white(tmp_path: File) -> None:
    path, again = tmp_path / "a.png", tmp_path / "b.png"
    placed = stacked([("one", everything()), (HOSTILE, everything()), ("three", everything())], 2)
    png.save(placed, path)
    png.save(placed, again)
    assert path.read_bytes() == again.read_bytes()
    with PIL.Image.open(path) as image:
        width, height = (2 * 216 + 16) * 1.5, (2 * (126 + 16) + 16) * 1.5
        assert image.size == (pytest.approx(width, abs=40), pytest.approx(height, abs=40))
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    assert (0, 114, 178) in colours


def test_a_long_picture_is_made_smaller(tmp_path: File) -> None:
    png.save([(0, 0, Drawing(100, 20_000))], tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as image:
        assert image.height <= png.LARGEST
