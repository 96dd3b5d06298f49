"""What a metric must do.

    situations     what a metric is tried with

Here: what it must do there.
"""

from __future__ import annotations

import atexit
import functools
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from genloss.conformance import generators
from genloss.conformance.docstrings import check_docstring
from genloss.conformance.metrics.situations import SITUATIONS, TRUTH
from genloss.conformance.options import check_defaults, varied
from genloss.conformance.running import check
from genloss.conformance.suite import Check, Nonconformity
from genloss.conformance.values import same, tensors
from genloss.contracts.metric import OFFERED, MetricDefinition
from genloss.errors import RequestError, did_you_mean, told

FEW = (1, 2)


@dataclass(frozen=True)
class Trial:
    """A metric with some options, and what it is offered.

    Attributes:
        definition: of the metric.
        kind: what the examples are.
        offer: makes all that it may ask for, of a good model or of a bad one.
        options: those that are set.
    """

    definition: MetricDefinition[Any]
    kind: str
    offer: Callable[[bool], dict[str, Any]]
    options: Mapping[str, Any]

    def __str__(self) -> str:
        options = ", ".join(f"{name}: {value}" for name, value in self.options.items())
        return f"metric `{self.definition.name}` of {self.kind}" + (f" with {options}" if options else "")

    @property
    def good(self) -> dict[str, Any]:
        """What a good model offers it, created again each time, since a faulty metric might change it."""
        return self.offer(True)

    @property
    def bad(self) -> dict[str, Any]:
        """What it is offered with a bad model."""
        return self.offer(False)

    def result(self, offered: Mapping[str, Any], *, optional: bool = True) -> Any:
        """What the metric gives, of what it asks for.

        Args:
            offered: by name.
            optional: whether it gets what it can do without.
        """
        quantities = self.definition.quantities
        asked = {
            name: offered[name]
            for name, quantity in quantities.items()
            if name in offered and (optional or not quantity.optional)
        }
        with generators.seeded(1), torch.no_grad():
            return self.definition(**asked, **self.definition.validated(self.options))

    def numbers(self, offered: Mapping[str, Any], **how: bool) -> dict[str, float]:
        """Its numbers by name."""
        return self.definition.numbers(self.result(offered, **how))

    def fail(self, message: str, *, hint: str | None = None, cause: Exception | None = None) -> NoReturn:
        """Raise Nonconformity, which names the trial."""
        raise Nonconformity(f"{self}: {message}", hint=hint) from cause


class Trials:
    """A metric with each kind of data that it is for, and with each value of options that have but a few.

    Args:
        definition: of the metric.
    """

    def __init__(self, definition: MetricDefinition[Any]) -> None:
        self.definition = definition
        self.refused: dict[str, str] = {}

    @cached_property
    def working(self) -> list[Trial]:
        """The trials in which the metric gives a result.

        Raises:
            Nonconformity: there is none, or it fails otherwise than by refusing what it is offered.
        """
        working = []
        for trial in self._all():
            try:
                trial.result(trial.good)
            except RequestError as error:
                self.refused[str(trial)] = error.message
            except Exception as error:
                trial.fail(
                    f"it raises {told(error)}",
                    hint="a metric that is not for such data says so by genloss.errors.RequestError",
                    cause=error,
                )
            else:
                working.append(trial)
        if not working:
            raise Nonconformity(
                f"metric `{self.definition.name}` gives numbers for none of the suite's data",
                hint="; ".join(f"{trial}: {message}" for trial, message in self.refused.items())
                or "what it asks for is given by `@genloss.metric(…, example=…)`, a function that returns it",
            )
        return working

    def _all(self) -> Iterator[Trial]:
        definition = self.definition
        if definition.example is not None:
            given = definition.example()
            options = {name: given[name] for name in definition.options if name in given}
            yield Trial(definition, "its example", self._example, options)
            return
        for kind, situation in SITUATIONS.items():
            offer = functools.partial(situation().offered, _cache())
            known = offer(True)
            missing = [
                name for name, q in definition.quantities.items() if not q.optional and name not in known
            ]
            if missing:
                self.refused[f"{kind}"] = f"there is no `{missing[0]}`"
                continue
            for options in ({}, *varied(definition, {})):
                yield Trial(definition, kind, offer, options)

    def _example(self, good: bool) -> dict[str, Any]:
        """What the metric's own example gives; with a bad model, samples that are no longer like it."""
        example = self.definition.example
        offered = {"cache": _cache()} | dict(example() if example is not None else {})
        samples = offered.get("samples")
        if not good and isinstance(samples, Tensor):
            floating = samples.is_floating_point()
            offered["samples"] = samples + 20 * samples.std() if floating else samples.max() - samples
        return offered


@functools.cache
def _cache() -> Path:
    """The folder where metrics keep what is expensive; there until the program ends."""
    folder = tempfile.mkdtemp(prefix="genloss-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "cache"


def checks_of_metric(definition: MetricDefinition[Any]) -> Iterable[Check]:
    """The checks of a metric; none of one that is unavailable. It is not called before one of them runs."""
    if definition.unavailable is not None:
        return
    for of_definition in (docstring, defaults, asks):
        yield check(definition, of_definition, functools.partial(of_definition, definition))
    trials = Trials(definition)
    yield check(definition, data, functools.partial(data, trials), fundamental=True)
    asked: list[Callable[[Trial], None]] = [
        numbers, direction, optional_quantities, inputs_unchanged, seed, random_state, float64
    ]  # fmt: skip
    if "samples" in definition.quantities:
        asked += [sample_order, few_samples, diverged_samples]
    for of_trial in asked:
        yield check(definition, of_trial, functools.partial(_on_each, trials, of_trial))
    if "cache" in definition.quantities:
        yield check(definition, cache, functools.partial(cache, trials))


def _on_each(trials: Trials, function: Callable[[Trial], None]) -> None:
    for trial in trials.working:
        try:
            function(trial)
        except Nonconformity:
            raise
        except Exception as error:
            trial.fail(f"it raises {told(error)}", cause=error)


def docstring(definition: MetricDefinition[Any]) -> None:
    """The docstring has a summary, a formula and a source, and explains each option."""
    check_docstring(definition, "Formula", "Source")


def defaults(definition: MetricDefinition[Any]) -> None:
    """Each option's default is one of its values."""
    check_defaults(definition)


def asks(definition: MetricDefinition[Any]) -> None:
    """It asks for what is offered: by every model, or by the truth of some data."""
    known = {*OFFERED, *TRUTH}
    if definition.example is not None:
        known |= definition.example().keys()
    for name in definition.quantities:
        if name not in known:
            raise Nonconformity(
                f"metric `{definition.name}` asks for `{name}`, which nothing is known to offer",
                hint=did_you_mean(name, known)
                or "where a dataset of yours knows it, return one by `@genloss.metric(…, example=…)`",
            )


def data(trials: Trials) -> None:
    """It gives numbers for points, images or tokens, and refuses others by a RequestError."""
    _ = trials.working


def numbers(trial: Trial) -> None:
    """It gives the numbers that it declares, as finite floats."""
    result = trial.result(trial.good)
    for name, number in trial.definition.numbers(result).items():
        given = result[name] if isinstance(result, Mapping) else result
        if not isinstance(given, float | int):
            trial.fail(f"`{name}` is a {type(given).__name__}", hint="return a float: `float(…)`")
        if not math.isfinite(number):
            trial.fail(f"`{name}` is {number} for a model that draws from the data")


def direction(trial: Trial) -> None:
    """By its declared direction, examples of the data are at least as good as what is far from them."""
    good, bad = trial.numbers(trial.good), trial.numbers(trial.bad)
    for name, higher in trial.definition.higher_is_better.items():
        if _better(bad[name], good[name], higher):
            trial.fail(
                f"`{name}` is declared to be better where it is {'higher' if higher else 'lower'}, and is "
                f"{good[name]:.4g} for a model that draws from the data, {bad[name]:.4g} for one far from it",
                hint="turn `higher_is_better` round, or mend the sign",
            )


def _better(a: float, b: float, higher: bool) -> bool:
    return (a > b if higher else a < b) and not _close(a, b)


def _close(a: float, b: float, tolerance: float = 1e-4) -> bool:
    return abs(a - b) <= tolerance * (1 + max(abs(a), abs(b)))


def optional_quantities(trial: Trial) -> None:
    """It gives its numbers without what it asks for as optional, or says that it cannot."""
    try:
        trial.numbers(trial.good, optional=False)
    except RequestError:
        return


def inputs_unchanged(trial: Trial) -> None:
    """It changes nothing that it is given: no tensor in place, and not the model."""
    offered = trial.good
    model = offered.get("model")
    watched = offered if model is None else {**offered, "model": model.state_dict()}
    before = {name: [tensor.clone() for tensor in tensors(value)] for name, value in watched.items()}
    trial.result(offered)
    for name, kept in before.items():
        if not same(kept, list(tensors(watched[name]))):
            trial.fail(f"it changes `{name}`", hint="the metrics after it get the same: compute a new tensor")
    if model is not None and model.training:
        trial.fail("it puts the model into training mode", hint="it gets the model in evaluation mode")


def seed(trial: Trial) -> None:
    """One seed of torch's generator gives one value."""
    first, again = (trial.numbers(trial.good) for _ in range(2))
    for name, number in first.items():
        if not same(number, again[name]):
            trial.fail(
                f"`{name}` is {number!r}, and {again[name]!r} under the same seed",
                hint="draw from torch's own generator, or from one that is seeded here",
            )


def random_state(trial: Trial) -> None:
    """It draws from torch's generator, or one of its own; NumPy's and Python's are not used."""
    offered = trial.good
    asked = {name: offered[name] for name in trial.definition.quantities if name in offered}
    before = generators.other_states()
    with torch.no_grad():
        trial.definition(**asked, **trial.definition.validated(trial.options))
    for name, state in generators.other_states().items():
        if before[name] != state:
            trial.fail(
                f"it draws from {name}'s global generator",
                hint="an evaluation seeds torch's alone: draw with torch.rand, torch.randperm …",
            )


def float64(trial: Trial) -> None:
    """With data in float64, as `training.precision: float64` gives, it gives roughly the same numbers."""
    doubled = {name: _double(value) for name, value in trial.good.items()}
    for name, number in trial.numbers(doubled).items():
        expected = trial.numbers(trial.good)[name]
        if not _close(number, expected, tolerance=0.02):
            trial.fail(f"`{name}` is {expected:.6g} in float32, and {number:.6g} in float64")


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def sample_order(trial: Trial) -> None:
    """The order of the samples does not matter."""
    samples = trial.good["samples"]
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))
    first, again = trial.numbers(trial.good), trial.numbers({**trial.good, "samples": samples[order]})
    for name, number in first.items():
        if not _close(number, again[name]):
            trial.fail(
                f"`{name}` is {number:.6g}, and {again[name]:.6g} with the same samples in another order",
                hint="samples are a set: pair none of them with held-out examples by position",
            )


def few_samples(trial: Trial) -> None:
    """With one sample or two it gives numbers, or says by a RequestError how many it needs."""
    for count in FEW:
        try:
            given = trial.numbers({**trial.good, "samples": trial.good["samples"][:count]})
        except RequestError:
            continue
        for name, number in given.items():
            if math.isnan(number):
                trial.fail(
                    f"`{name}` is NaN with {count} sample{'s' * (count > 1)}",
                    hint="raise genloss.errors.RequestError, and say how many it needs",
                )


def diverged_samples(trial: Trial) -> None:
    """Samples with NaN, as a diverged model gives, stop no evaluation, and look no better than good ones."""
    samples = trial.good["samples"]
    if not samples.is_floating_point():
        return
    diverged = samples.clone()
    diverged[: len(samples) // 2] = math.nan
    try:
        numbers = trial.numbers({**trial.good, "samples": diverged})
    except RequestError:
        return
    good = trial.numbers(trial.good)
    for name, higher in trial.definition.higher_is_better.items():
        if _better(numbers[name], good[name], higher):
            trial.fail(
                f"`{name}` is {numbers[name]:.4g} where half of the samples are NaN, and {good[name]:.4g} "
                "where none is",
                hint="give NaN, or the worst value",
            )


def cache(trials: Trials) -> None:
    """A new, a used and a damaged `cache` folder give the same numbers; it may not exist before."""
    seen = set()
    for trial in trials.working:
        if trial.kind in seen:
            continue
        with tempfile.TemporaryDirectory() as folder:
            offered = {**trial.good, "cache": Path(folder) / "of" / "metrics"}
            fresh = trial.numbers(offered)
            used = trial.numbers(offered)
            files = [file for file in Path(folder).rglob("*") if file.is_file()]
            if not files:
                continue
            seen.add(trial.kind)
            for file in files:
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
            damaged = trial.numbers(offered)
        for what, given in (("used", used), ("damaged", damaged)):
            for name, number in given.items():
                if not same(number, fresh[name]):
                    trial.fail(
                        f"`{name}` is {fresh[name]!r} with a new cache folder, and {number!r} with a "
                        f"{what} one",
                        hint="name files by the content that they depend on, rename them when they are "
                        "complete, and read none without a checksum",
                    )
