"""The report: a comparison as one self-contained HTML page, and its plots as pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from genloss.record.files import publish

if TYPE_CHECKING:
    from genloss.comparison.artifacts import Artifacts
    from genloss.comparison.comparison import Comparison
    from genloss.comparison.report.page import Page

REPORT = "report.html"
PLOTS = "plots"
TEMPLATE = "report.html"
COLUMNS = 3
"""Plots side by side in a picture."""


def render(comparison: Comparison, artifacts: Artifacts) -> str:
    """The whole page.

    Args:
        comparison: what it reports.
        artifacts: where curves, samples and the configuration come from.
    """
    from genloss.comparison.report.page import page

    return _html(page(comparison, artifacts))


def write(comparison: Comparison, artifacts: Artifacts, folder: Path) -> Path:
    """Write the page and, beside it, its plots as PNG files; return the page's path.

    Args:
        comparison: what it reports.
        artifacts: where curves, samples and the configuration come from.
        folder: gets `report.html` and `plots/`; plots of an earlier report go.

    Raises:
        OSError: they cannot be written.
    """
    from genloss.comparison.report.page import page

    content = page(comparison, artifacts)
    path = folder / REPORT
    publish(path, _html(content).encode())
    _write_plots(content, folder / PLOTS)
    return path


def _html(content: Page) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from genloss.comparison.report.drawing import shown

    environment = Environment(
        loader=PackageLoader("genloss.comparison", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: shown(value) if type(value) is str else value,
    )
    environment.filters["svg"] = lambda drawing: Markup(drawing.svg())
    environment.filters["code"] = _code
    environment.filters["breakable"] = _breakable
    return environment.get_template(TEMPLATE).render(page=content) + "\n"


def _code(text: str) -> str:
    """The text with what stands in backticks as code."""
    from markupsafe import Markup, escape

    from genloss.comparison.report.drawing import shown

    parts = shown(text).split("`")
    if len(parts) % 2 == 0:
        return escape(shown(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def _breakable(text: str) -> str:
    """A name that may be broken behind a dot, an underscore or a comma, but no number."""
    from markupsafe import Markup, escape

    from genloss.comparison.report.drawing import shown

    return Markup(re.sub(r"([._,])(?=\D)", r"\1<wbr>", str(escape(shown(text)))))


def _write_plots(content: Page, folder: Path) -> None:
    from genloss.comparison.report import png
    from genloss.comparison.report.drawing import identity, stacked
    from genloss.comparison.report.lines import legend

    folder.mkdir(exist_ok=True)
    old = set(folder.glob("*.png"))
    for name, (drawings, needs_legend) in content.pictures().items():
        columns = min(COLUMNS, len(drawings))
        width = columns * max(drawing.width for _, drawing in drawings)
        keys = (
            [(key.name, *identity(place)) for place, key in enumerate(content.legend)] if needs_legend else []
        )
        path = folder / f"{name}.png"
        png.save(stacked(drawings, columns, legend(keys, width) if keys else None), path)
        old.discard(path)
    for path in old:
        path.unlink()
