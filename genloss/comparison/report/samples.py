"""Samples of all objectives side by side, at the same steps and with the same seed."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genloss.comparison.artifacts import Artifacts
from genloss.comparison.comparison import Comparison
from genloss.record.events import Status

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_SEEDS = 20
"""Seeds that are looked at."""
MOST_STEPS = 5
"""Steps at which samples are shown: the last one, and others evenly between."""
MOST_PICTURES = 60
SIDE = 360
"""Pixels of a picture's longer side; a larger one is made smaller."""
MOST_PIXELS = 50_000_000
"""A picture with more is not opened."""
MOST_BYTES = 2_500_000
"""Of all pictures of a page, as they stand in it."""
LOSSLESS_BYTES = 30_000
"""A picture that takes more without loss is kept with some."""
MOST_CHARACTERS = 1500


@dataclass(frozen=True)
class Sample:
    """What one objective gave: a picture as a data URI, or a text, or neither, and why."""

    objective: str
    picture: str = ""
    size: tuple[int, int] = (0, 0)
    text: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Samples:
    """Samples of all objectives with one seed.

    Attributes:
        steps: the samples by step, the last step first.
        left_out: how many steps are not shown.
    """

    seed: int
    steps: Mapping[int, Sequence[Sample]]
    left_out: int


def chosen(comparison: Comparison, artifacts: Artifacts) -> Samples | None:
    """The samples of the seed that most objectives have some of; None if there are none."""
    best: tuple[tuple[int, int], int, dict[str, _Shown]] = ((0, 0), 0, {})
    for seed in list(dict.fromkeys(run.seed for run in comparison.runs))[:MOST_SEEDS]:
        runs = [run for run in comparison.runs if run.seed == seed]
        found = {
            run.objective: _Shown(run.status, artifacts.pictures(run), artifacts.texts(run)) for run in runs
        }
        found = {objective: shown for objective, shown in found.items() if shown.steps}
        worth = (sum(shown.status == Status.FINISHED for shown in found.values()), len(found))
        if worth > best[0]:
            best = (worth, seed, found)
        if worth[0] == len(comparison.objectives):
            break
    _, seed, found = best
    if not found:
        return None
    every = sorted(set[int]().union(*(shown.steps for shown in found.values())))
    steps = _chosen(every, min(MOST_STEPS, max(1, MOST_PICTURES // len(comparison.objectives))))
    left = float(MOST_BYTES)
    samples: dict[int, list[Sample]] = {}
    for step in reversed(steps):
        row = [_sample(objective, found.get(objective), step) for objective in comparison.objectives]
        left -= sum(len(sample.picture) for sample in row)
        if left < 0 and samples:
            break
        samples[step] = row
    return Samples(seed, samples, len(every) - len(samples))


def _chosen(steps: Sequence[int], count: int) -> list[int]:
    """The last step, and others evenly between it and the first."""
    if len(steps) <= count:
        return list(steps)
    if count == 1:
        return [steps[-1]]
    return [steps[round(index * (len(steps) - 1) / (count - 1))] for index in range(count)]


@dataclass(frozen=True)
class _Shown:
    """What a run has to show, by step."""

    status: str
    pictures: Mapping[int, Path]
    texts: Mapping[int, str]

    @property
    def steps(self) -> set[int]:
        return {*self.pictures, *self.texts}


def _sample(objective: str, shown: _Shown | None, step: int) -> Sample:
    if shown is None:
        return Sample(objective, missing="no samples with this seed")
    if step in shown.pictures:
        return _encoded(objective, shown.pictures[step])
    if step in shown.texts:
        text = shown.texts[step]
        cut = " …" if len(text) > MOST_CHARACTERS else ""
        return Sample(objective, text=text[:MOST_CHARACTERS] + cut)
    return Sample(objective, missing=f"none at this step; the run is {shown.status}")


def _encoded(objective: str, path: Path) -> Sample:
    """A picture as a data URI."""
    import PIL.Image

    try:
        with PIL.Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                return Sample(objective, missing="the picture is too large")
            shown = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        return Sample(objective, missing=f"the picture cannot be read: {type(error).__name__}")
    share = SIDE / max(shown.size)
    if share < 1:
        size = tuple(max(1, math.floor(side * share)) for side in shown.size)
        shown = shown.resize((size[0], size[1]), PIL.Image.Resampling.LANCZOS)
    kind, content = _smallest(shown)
    encoded = base64.b64encode(content).decode()
    return Sample(objective, f"data:image/{kind};base64,{encoded}", shown.size)


def _smallest(picture: Image) -> tuple[str, bytes]:
    """The picture as WebP: without loss, which suits few colours and enlarged pixels; with loss where that is
    too large; as PNG where Pillow has no WebP.
    """
    from PIL import features

    if not features.check("webp"):
        return "png", _saved(picture, "png", optimize=True)
    lossless = _saved(picture, "webp", lossless=True, method=2, quality=40)
    if len(lossless) <= LOSSLESS_BYTES:
        return "webp", lossless
    return "webp", min(lossless, _saved(picture, "webp", quality=80, method=2), key=len)


def _saved(picture: Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()
