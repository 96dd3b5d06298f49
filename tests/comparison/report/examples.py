"""Comparisons of made-up runs, with all that a report shows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from genloss.comparison.artifacts import Origin
from genloss.comparison.comparison import Comparison, compare_runs
from genloss.comparison.runs import Cost, Direction, RunResult

HOSTILE = "<script>alert('\"x\"')</script>&amp;\x00\x1b[31m\u202e"
Array = npt.NDArray[np.float64]


@dataclass
class Memory:
    """A source of what it was given, by the name of a run."""

    numbers: Mapping[str, Mapping[str, tuple[Sequence[int], Sequence[float]]]] = field(default_factory=dict)
    lines: Mapping[str, Mapping[str, tuple[Array, Array]]] = field(default_factory=dict)
    shown: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    read: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    origin: Sequence[Origin] = ()

    def evaluations(self, run: RunResult) -> Mapping[str, tuple[Sequence[int], Sequence[float]]]:
        return self.numbers.get(run.name, {})

    def losses(self, run: RunResult) -> Mapping[str, tuple[Array, Array]]:
        return self.lines.get(run.name, {})

    def pictures(self, run: RunResult) -> Mapping[int, Path]:
        return self.shown.get(run.name, {})

    def texts(self, run: RunResult) -> Mapping[int, str]:
        return self.read.get(run.name, {})

    def origins(self) -> Sequence[Origin]:
        return self.origin


def value(objective: int, seed: int) -> float:
    """A metric's number: each objective a little better than the one before, and each seed its own."""
    return 10.0 - objective + np.random.default_rng(100 * objective + seed).normal()


def runs(
    objectives: Sequence[str],
    seeds: int,
    metrics: Sequence[str] = ("distance",),
    number: Callable[[int, int], float] = value,
) -> list[RunResult]:
    """Runs that all finished."""
    return [
        RunResult(
            name=f"{objective}-{seed}",
            objective=objective,
            seed=seed,
            status="FINISHED",
            metrics={metric: number(index + 3 * m, seed) for m, metric in enumerate(metrics)},
            reproduce=f"genloss run a.yaml --objective {objective}",
            study="study-1",
            cost=Cost(
                300, {"generator": 300, "discriminator": 1500 if index else 300}, 2.5, 400_000_000, "cpu"
            ),
        )
        for index, objective in enumerate(objectives)
        for seed in range(seeds)
    ]


def compared(found: Sequence[RunResult], **more: Any) -> Comparison:
    """Their comparison."""
    objectives = list(dict.fromkeys(run.objective for run in found))
    metrics = dict.fromkeys(metric for run in found for metric in run.metrics)
    arguments: dict[str, Any] = {
        "name": "study-1",
        "description": "What is asked",
        "objectives": objectives,
        "baseline": objectives[0],
        "metrics": {metric: Direction(higher_is_better=False, unit="nats") for metric in metrics},
        "references": dict.fromkeys(metrics, 0.5),
    }
    return compare_runs(found, **arguments | more)


def source(found: Sequence[RunResult], folder: Path | None = None, *, steps: int = 300) -> Memory:
    """Curves of each run; where there is a folder, pictures too."""
    numbers, lines, shown = {}, {}, {}
    for index, run in enumerate(found):
        generator = np.random.default_rng(index)
        at = np.linspace(0, steps - 1, 100)
        falling = np.exp(-at / steps * 3)
        lines[run.name] = {
            f"{player}/{term}": (at, falling * scale + 0.05 * generator.normal(size=100))
            for player in ("discriminator", "generator")
            for term, scale in (("fit", 1.0), ("penalty", 0.3), ("total", 1.3), ("gradient_norm", 5.0))
        }
        places = [steps // 3, 2 * steps // 3, steps]
        numbers[run.name] = {
            f"eval/{metric}": (places, [3 * last, 2 * last, last]) for metric, last in run.metrics.items()
        } | {"held_out/generator/fit": (places, [0.5, 0.3, 0.2])}
        if folder is not None:
            shown[run.name] = {step: picture(folder / f"{run.name}-{step}.png", index) for step in places}
    origin = Origin("study-1", "name: a\nseeds: 5\n", "genloss run a.yaml", {"torch": "2.13.0"})
    return Memory(numbers, lines, shown, {}, [origin])


def picture(path: Path, seed: int, side: int = 338) -> Path:
    """A picture that nothing makes small."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def failed(run: RunResult, message: str = "`g/total` became nan at step 21", hint: str = "") -> RunResult:
    return replace(run, status="FAILED", message=message, hint=hint, metrics={})


def sweep(paths: Mapping[str, Sequence[Any]], bases: Sequence[str], seeds: int = 3) -> list[RunResult]:
    """Runs of a grid over values, for each objective of the YAML."""
    grid = np.stack(np.meshgrid(*[np.arange(len(v)) for v in paths.values()], indexing="ij"), -1)
    found = []
    for base in bases:
        for place, point in enumerate(grid.reshape(-1, len(paths))):
            values = {path: v[i] for (path, v), i in zip(paths.items(), point, strict=True)}
            for run in runs(
                [f"{base}_{place}"], seeds, number=lambda _, seed, place=place: value(place, seed)
            ):
                found.append(replace(run, base=base, point=values))
    return found


def search(bases: Sequence[str], trials: int, metrics: Sequence[str] = ("distance",)) -> list[RunResult]:
    """A search whose last trials are the best; of the first objective, the first one was pruned."""
    found = []
    for base in bases:
        for number in range(trials):
            (run,) = runs([f"{base},trial={number}"], 1, metrics, number=lambda m, _, n=number: 9.0 + m - n)
            own = {
                f"objectives.{base}.network.kl.weight": 2.0**-number,
                "training.optimizer.lr": 0.1 + number,
            }
            line = f"genloss run a.yaml --objective {base} --set 'seeds=[0]'"
            found.append(replace(run, base=base, trial=number, point=own, reproduce=line))
    found[0] = replace(found[0], status="PRUNED", metrics={})
    return found
