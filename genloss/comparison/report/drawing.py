"""Drawings of lines, symbols and text, as SVG that takes the page's colours.

Places are pixels from the upper left corner. `png.py` draws the same on paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import numpy.typing as npt

# Okabe and Ito's colours, which all kinds of colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

INK, MUTED, GRID = "ink", "muted", "grid"
SHADES = {INK: 1.0, MUTED: 0.68, GRID: 0.15}
"""Shades of the text's colour, which is dark on a light page and light on a dark one."""

SYMBOLS = ("circle", "square", "triangle", "diamond", "down", "plus", "cross")


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def corners(self) -> npt.NDArray[np.float64]:
        """Its outline `[4, 2]`."""
        return np.array(
            [
                (self.left, self.top),
                (self.right, self.top),
                (self.right, self.bottom),
                (self.left, self.bottom),
            ]
        )


@dataclass(frozen=True)
class Path:
    """A line through points `[count, 2]`, or the area within; a line is broken at what is not finite."""

    points: npt.NDArray[np.float64]
    colour: str = INK
    width: float = 1.5
    dash: str = ""
    opacity: float = 1.0
    filled: bool = False
    clip: Box | None = None
    title: str = ""


@dataclass(frozen=True)
class Symbol:
    """A symbol at a place, `size` pixels wide."""

    x: float
    y: float
    shape: str = "circle"
    size: float = 8.0
    colour: str = INK
    opacity: float = 1.0
    filled: bool = True
    title: str = ""


@dataclass(frozen=True)
class Text:
    """A line of text; `anchor` is start, middle or end, and y its baseline; a halo hides lines behind it."""

    x: float
    y: float
    text: str
    size: float = 12.0
    anchor: str = "start"
    colour: str = INK
    bold: bool = False
    halo: bool = False
    title: str = ""


Mark = Path | Symbol | Text


@dataclass
class Drawing:
    """A drawing.

    Attributes:
        label: what it shows, for those who cannot see it.
    """

    width: float
    height: float
    label: str = ""
    marks: list[Mark] = field(default_factory=list)

    def add(self, *marks: Mark) -> None:
        self.marks += marks

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = INK, **more: object) -> None:
        """A straight line."""
        self.add(Path(np.array([(x1, y1), (x2, y2)]), colour, **more))  # type: ignore[arg-type]

    def svg(self) -> str:
        """The drawing as an element of an HTML page."""
        body = "".join(map(_svg, self.marks))
        return (
            f'<svg viewBox="0 0 {_n(self.width)} {_n(self.height)}" role="img" '
            f'aria-label="{escape(shown(self.label))}">{body}</svg>'
        )


def identity(index: int) -> tuple[str, str]:
    """The colour and symbol of the objective or term in this place; the first 49 differ in one or both."""
    colour = COLOURS[index % len(COLOURS)]
    shape = SYMBOLS[(index + index // len(COLOURS)) % len(SYMBOLS)]
    return (INK if colour == "#000000" else colour), shape


def shown(text: str) -> str:
    """Text without what no page can show: control characters, marks that turn the direction of writing."""
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def fitted(text: str, width: float, size: float = 12.0) -> str:
    """The text, or as much of its two ends as there is room for."""
    text = shown(text)  # what is escaped is longer
    room = max(int(width / (0.56 * size)), 3)
    if len(text) <= room:
        return text
    tail = (room - 1) // 3
    return f"{text[: room - 1 - tail]}…{text[len(text) - tail :]}"


def symbol_points(mark: Symbol) -> npt.NDArray[np.float64]:
    """The outline `[corners, 2]` of a symbol that is not a circle."""
    r = mark.size / 2
    q = 0.36 * r
    plus = np.array(
        [
            (-q, -r),
            (q, -r),
            (q, -q),
            (r, -q),
            (r, q),
            (q, q),
            (q, r),
            (-q, r),
            (-q, q),
            (-r, q),
            (-r, -q),
            (-q, -q),
        ]
    )
    turned = np.array([(1, -1), (1, 1)]) / np.sqrt(2)
    outlines: dict[str, npt.NDArray[np.float64]] = {
        "square": 0.88 * r * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]),
        "triangle": r * np.array([(0, -1), (1, 0.8), (-1, 0.8)]),
        "down": r * np.array([(0, 1), (1, -0.8), (-1, -0.8)]),
        "diamond": 1.15 * r * np.array([(0, -1), (1, 0), (0, 1), (-1, 0)]),
        "plus": plus,
        "cross": plus @ turned.T,
        "right": r * np.array([(-0.6, -1), (1, 0), (-0.6, 1)]),
        "left": r * np.array([(0.6, -1), (-1, 0), (0.6, 1)]),
    }
    return outlines[mark.shape] + (mark.x, mark.y)


def _svg(mark: Mark) -> str:
    title = f"<title>{escape(shown(mark.title))}</title>" if mark.title else ""
    if isinstance(mark, Text):
        weight = ' font-weight="600"' if mark.bold else ""
        weight += ' class="halo"' if mark.halo else ""
        anchor = f' text-anchor="{mark.anchor}"' if mark.anchor != "start" else ""
        return (
            f'<text x="{_n(mark.x)}" y="{_n(mark.y)}" font-size="{_n(mark.size)}"{anchor}{weight}'
            f"{_paint('fill', mark.colour, 1.0)}>{escape(shown(mark.text))}{title}</text>"
        )
    if isinstance(mark, Symbol):
        paint = _paint("fill", mark.colour, mark.opacity)
        if not mark.filled:
            paint = ' fill="none"' + _paint("stroke", mark.colour, mark.opacity) + ' stroke-width="1.6"'
        if mark.shape == "circle":
            return _element(
                "circle", f'cx="{_n(mark.x)}" cy="{_n(mark.y)}" r="{_n(mark.size / 2)}"{paint}', title
            )
        return _element("path", f'd="{_d(symbol_points(mark))}Z"{paint}', title)
    if mark.filled:
        drawn = _element("path", f'd="{_d(mark.points)}Z"{_paint("fill", mark.colour, mark.opacity)}', title)
    else:
        dash = f' stroke-dasharray="{mark.dash}"' if mark.dash else ""
        paint = _paint("stroke", mark.colour, mark.opacity)
        drawn = _element(
            "path",
            f'd="{_d(mark.points)}" fill="none" stroke-width="{_n(mark.width)}"{paint}{dash}',
            title,
        )
    if mark.clip is None:
        return drawn
    box = mark.clip
    place = f'x="{_n(box.left)}" y="{_n(box.top)}" width="{_n(box.width)}" height="{_n(box.height)}"'
    inner = f"{_n(box.left)} {_n(box.top)} {_n(box.width)} {_n(box.height)}"
    return f'<svg {place} viewBox="{inner}" overflow="hidden">{drawn}</svg>'


def _element(name: str, attributes: str, inner: str) -> str:
    return f"<{name} {attributes}>{inner}</{name}>" if inner else f"<{name} {attributes}/>"


def _paint(what: str, colour: str, opacity: float) -> str:
    shade = opacity * SHADES.get(colour, 1.0)
    said = "currentColor" if colour in SHADES else colour
    return f' {what}="{said}"' + (f' {what}-opacity="{shade:.3g}"' if shade < 1 else "")


def _d(points: npt.NDArray[np.float64]) -> str:
    """A path's data, broken where a point is not finite."""
    parts: list[str] = []
    command = "M"
    for x, y in points.clip(-1e5, 1e5).tolist():
        if x != x or y != y:
            command = "M"
            continue
        parts.append(f"{command}{_n(x)} {_n(y)}")
        command = "L"
    return "".join(parts)


def _n(value: float) -> str:
    """A pixel's place, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


GAP = 16.0
"""Pixels between drawings."""


def stacked(
    drawings: Sequence[tuple[str, Drawing]], columns: int, legend: Drawing | None = None
) -> list[tuple[float, float, Drawing]]:
    """Drawings with titles in rows of `columns`, each with its place, and a legend below."""
    placed: list[tuple[float, float, Drawing]] = []
    y = GAP
    for first in range(0, len(drawings), columns):
        row = drawings[first : first + columns]
        x = GAP
        for title, drawing in row:
            head = Drawing(drawing.width, 26)
            head.add(Text(4, 18, fitted(title, drawing.width - 8, 13), 13, bold=True))
            placed += [(x, y, head), (x, y + 26, drawing)]
            x += drawing.width + GAP
        y += 26 + max(drawing.height for _, drawing in row) + GAP
    if legend is not None:
        placed.append((GAP, y, legend))
    return placed


def extent(placed: Iterable[tuple[float, float, Drawing]]) -> tuple[float, float]:
    """Width and height of drawings in their places."""
    placed = list(placed)
    return max(x + d.width for x, _, d in placed), max(y + d.height for _, y, d in placed)
