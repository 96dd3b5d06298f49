"""A small metric that passes the suite, and the same with one mistake, which the check of that name finds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss.conformance.metrics import checks_of_metric
from genloss.conformance.suite import outcomes
from genloss.contracts.metric import MetricDefinition
from genloss.errors import GenlossError, RequestError

DOC = """Distance of the means.

Formula: ‖mean(samples) − mean(held_out)‖.

Options:
    scale: factor; 1 by default.

Source: the definition.
"""


def distance(samples: Tensor, held_out: Tensor) -> float:
    if not samples.is_floating_point():
        raise RequestError("this metric is for values, and the data is tokens")
    return float((samples.flatten(1).mean(0) - held_out.flatten(1).mean(0)).norm())


Change = Callable[[Tensor, Tensor], Any]


def toy(change: Change = distance, *, doc: str = DOC, **facts: Any) -> MetricDefinition:
    """The toy that computes something else."""

    def mean_distance(
        samples: Float[Tensor, "samples *event"],
        held_out: Float[Tensor, "held_out *event"],
        *,
        scale: Annotated[float, Gt(0)] = 1.0,
    ) -> float:
        return change(samples, held_out)

    mean_distance.__doc__ = doc
    return genloss.metric(**{"unit": "data", "higher_is_better": False, **facts})(mean_distance)


def failures(definition: MetricDefinition) -> dict[str, GenlossError]:
    """The checks that fail, with what they say."""
    found = outcomes(checks_of_metric(definition))
    return {outcome.check.name: outcome.error for outcome in found if outcome.error is not None}


def caught(definition: MetricDefinition, check: str) -> str:
    """What that check, and no other, says of the metric."""
    found = failures(definition)
    assert list(found) == [check], {name: str(error) for name, error in found.items()}
    return str(found[check])


def test_without_a_mistake_it_passes() -> None:
    assert not failures(toy())


class TestTheFunction:
    def test_no_formula(self) -> None:
        said = caught(toy(doc=DOC.replace("Formula", "It is")), "docstring")
        assert "has no section `Formula:`" in said

    def test_a_default_that_is_no_value_of_its_option(self) -> None:
        @genloss.metric(unit="1", higher_is_better=False)
        def mean_distance(
            samples: Tensor, held_out: Tensor, *, scale: Annotated[float, Gt(0)] = 0.0
        ) -> float:
            return distance(samples, held_out)

        mean_distance.doc = DOC
        assert "expected float > 0, got 0.0" in caught(mean_distance, "defaults")

    def test_a_misspelt_name(self) -> None:
        @genloss.metric(unit="1", higher_is_better=False)
        def mean_distance(samples: Tensor, helt_out: Tensor | None = None) -> float:
            """Distance from 0.

            Formula: ‖mean(samples)‖.

            Source: the definition.
            """
            return distance(samples, torch.zeros_like(samples))

        said = caught(mean_distance, "asks")
        assert said.startswith("metric `mean_distance` asks for `helt_out`, which nothing is known to offer")
        assert "did you mean `held_out`" in said

    def test_data_that_breaks_it_where_it_should_be_refused(self) -> None:
        said = caught(toy(lambda a, b: float((a.flatten(1).mean(0) - b.mean(0)).norm())), "data")
        assert "metric `mean_distance` of tokens: it raises RuntimeError" in said or "of images" in said


class TestAnExample:
    @staticmethod
    def metric(**facts: Any) -> MetricDefinition:
        @genloss.metric(unit="1", higher_is_better=False, **facts)
        def height(samples: Float[Tensor, "samples 2"], ceiling: float) -> float:
            """How high samples reach.

            Formula: max(x) − ceiling.

            Source: the definition.
            """
            return float(samples.max()) - ceiling

        return height

    def test_is_needed_for_what_nobody_else_knows(self) -> None:
        found = failures(self.metric())
        assert list(found) == ["asks", "data"]
        assert "return one by `@genloss.metric(…, example=…)`" in str(found["asks"])
        assert "there is no `ceiling`" in str(found["data"])

        def example() -> Mapping[str, Any]:
            return {"samples": torch.rand(20, 2, generator=torch.Generator().manual_seed(0)), "ceiling": 3.0}

        assert not failures(self.metric(example=example))


class TestNumbers:
    def test_a_tensor(self) -> None:
        said = caught(toy(lambda a, b: torch.tensor(distance(a, b))), "numbers")
        assert "`mean_distance` is a Tensor\nhint: return a float" in said

    def test_another_name_than_is_declared(self) -> None:
        definition = toy(lambda a, b: {"mean": distance(a, b)})
        found = failures(definition)
        assert "gave mean and declares mean_distance" in str(found["numbers"])

    def test_the_wrong_direction(self) -> None:
        said = caught(toy(higher_is_better=True), "direction")
        assert "`mean_distance` is declared to be better where it is higher" in said

    def test_a_sign_that_is_turned_round(self) -> None:
        said = caught(toy(lambda a, b: -distance(a, b)), "direction")
        assert "is declared to be better where it is lower" in said

    def test_a_seed_of_its_own(self) -> None:
        noise = np.random.default_rng()
        said = failures(toy(lambda a, b: distance(a, b) * noise.uniform(0.9, 1.1)))
        assert "under the same seed" in str(said["seed"])

    def test_numpys_global_generator(self) -> None:
        definition = toy(lambda a, b: distance(a, b) + 0 * np.random.rand())
        assert "draws from NumPy's global generator" in caught(definition, "random_state")

    def test_pythons_global_generator(self) -> None:
        definition = toy(lambda a, b: distance(a, b) + 0 * random.random())
        assert "draws from Python's global generator" in caught(definition, "random_state")

    def test_a_dtype_that_is_written_down(self) -> None:
        def change(samples: Tensor, held_out: Tensor) -> float:
            weights = torch.full((samples.flatten(1).shape[1],), 1.0)
            return distance(samples, held_out) + 0 * float((samples.flatten(1) @ weights).sum())

        found = failures(toy(lambda a, b: change(a, b) if a.is_floating_point() else distance(a, b)))
        assert list(found) == ["float64"]


class TestInputs:
    def test_samples_that_are_changed_in_place(self) -> None:
        def change(samples: Tensor, held_out: Tensor) -> float:
            found = distance(samples, held_out)
            held_out[0] = held_out[1]
            return found

        assert "it changes `held_out`" in caught(toy(change), "inputs_unchanged")

    def test_a_model_in_another_mode(self) -> None:
        @genloss.metric(unit="1", higher_is_better=False)
        def mean_distance(model: Any, held_out: Tensor) -> float:
            """Distance of the means.

            Formula: ‖mean(samples) − mean(held_out)‖.

            Source: the definition.
            """
            model.train()
            return distance(model.sample(100), held_out)

        assert "puts the model into training mode" in caught(mean_distance, "inputs_unchanged")

    def test_pairs_by_position(self) -> None:
        def change(samples: Tensor, held_out: Tensor) -> float:
            distance(samples, held_out)
            count = min(len(samples), len(held_out))
            return float((samples[:count] - held_out[:count]).square().mean())

        assert "with the same samples in another order" in caught(toy(change), "sample_order")

    def test_a_mean_of_no_numbers(self) -> None:
        def change(samples: Tensor, held_out: Tensor) -> float:
            return distance(samples, held_out) + float(samples.std(0).mean())

        said = caught(toy(change), "few_samples")
        assert "`mean_distance` is NaN with 1 sample\nhint: raise genloss.errors.RequestError" in said

    def test_a_diverged_model_that_looks_good(self) -> None:
        def change(samples: Tensor, held_out: Tensor) -> float:
            found = distance(samples, held_out)
            return 0.0 if math.isnan(found) else found

        said = caught(toy(change), "diverged_samples")
        assert "`mean_distance` is 0 where half of the samples are NaN" in said

    def test_a_diverged_model_that_stops_it(self) -> None:
        def change(samples: Tensor, held_out: Tensor) -> float:
            if samples.isnan().any():
                raise ZeroDivisionError("no samples are left")
            return distance(samples, held_out)

        assert "it raises ZeroDivisionError" in caught(toy(change), "diverged_samples")

    def test_what_is_optional_and_is_needed(self) -> None:
        @genloss.metric(unit="1", higher_is_better=False)
        def mean_distance(samples: Tensor, held_out: Tensor, train_labels: Tensor | None = None) -> float:
            """Distance of the means.

            Formula: ‖mean(samples) − mean(held_out)‖.

            Source: the definition.
            """
            return distance(samples, held_out) / (int(train_labels.max()) or 1)

        assert "has no attribute 'max'" in caught(mean_distance, "optional_quantities")


class TestTheCache:
    @staticmethod
    def metric(remember: Callable[[Path, Tensor], float]) -> MetricDefinition:
        @genloss.metric(unit="1", higher_is_better=False)
        def mean_distance(samples: Tensor, held_out: Tensor, cache: Path) -> float:
            """Distance of the means.

            Formula: ‖mean(samples) − mean(held_out)‖.

            Source: the definition.
            """
            return distance(samples, held_out) + remember(cache, held_out)

        return mean_distance

    def test_without_a_mistake_it_passes(self) -> None:
        def remember(cache: Path, held_out: Tensor) -> float:
            file = cache / f"size-{held_out.numel()}"
            if not file.exists() or file.read_text() != "size":
                cache.mkdir(parents=True, exist_ok=True)
                file.write_text("size")
            return 0.0

        assert not failures(self.metric(remember))

    def test_a_damaged_file_that_is_believed(self) -> None:
        def remember(cache: Path, held_out: Tensor) -> float:
            file = cache / "size"
            if not file.exists():
                cache.mkdir(parents=True, exist_ok=True)
                file.write_text("0.25")
            return float(file.read_text())

        said = caught(self.metric(remember), "cache")
        assert "with a damaged one" in said

    def test_a_first_time_that_differs(self) -> None:
        def remember(cache: Path, held_out: Tensor) -> float:
            if (cache / "size").exists():
                return 1.0
            cache.mkdir(parents=True, exist_ok=True)
            (cache / "size").write_text("1")
            return 0.0

        assert "with a used one" in str(failures(self.metric(remember))["cache"])

    def test_a_folder_that_is_not_there(self) -> None:
        def remember(cache: Path, held_out: Tensor) -> float:
            (cache / "size").write_text("1")
            return 0.0

        assert "FileNotFoundError" in str(failures(self.metric(remember))["cache"])
