"""A small dataset that passes the suite, and the same with one mistake, which its check finds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from annotated_types import Gt
from torch import Tensor
from torch.utils.data import Dataset

import genloss
from genloss.conformance.datasets import checks_of_dataset
from genloss.conformance.suite import outcomes
from genloss.contracts.dataset import DatasetDefinition
from genloss.errors import GenlossError, RequestError

Change = Callable[[dict[str, Any]], Any]

DOC = """Points of a Gaussian, labelled by their sign.

Fields: `x` `[batch, 2]`; `label` `[batch]`. Truth: `modes`, `mode_scale`, `log_density`.

Options:
    seed: of the drawing; 0 by default.
"""


def log_density(x: Tensor) -> Tensor:
    return -(x.square() / 2).sum(1) - math.log(2 * math.pi)


def parts(seed: int = 0, count: int = 60) -> dict[str, Any]:
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    fields = {"x": x, "label": (x[:, 0] > 0).long()}
    return {
        "spec": genloss.DataSpec((2,), "points", size=40),
        "train": {name: tensor[:40] for name, tensor in fields.items()},
        "held_out": {name: tensor[40:] for name, tensor in fields.items()},
        "truth": {"modes": torch.zeros(1, 2), "mode_scale": 1.0, "log_density": log_density},
    }


def toy(change: Change | None = None, *, doc: str = DOC, **facts: Any) -> DatasetDefinition:
    """The toy with its parts changed."""

    def gaussian(*, seed: int = 0) -> genloss.Data:
        data = parts(seed)
        if change is not None:
            change(data)
        return genloss.Data(**data)

    gaussian.__doc__ = doc
    return genloss.dataset(**facts)(gaussian)


def tokens(x: Callable[[Tensor], Tensor] = lambda x: x, **spec: Any) -> DatasetDefinition:
    """Independent tokens of a small vocabulary, which repeat by chance."""

    def change(data: dict[str, Any]) -> None:
        drawn = torch.randint(3, (90, 4), generator=torch.Generator().manual_seed(0))
        data["train"], data["held_out"], data["truth"] = {"x": x(drawn[:60])}, {"x": x(drawn[60:])}, {}
        data["spec"] = genloss.DataSpec((4,), "tokens", size=60, **{"vocabulary": 3, **spec})

    return toy(change)


def images(x: Callable[[Tensor], Tensor] = lambda x: x, **spec: Any) -> DatasetDefinition:
    """Images of five levels."""

    def change(data: dict[str, Any]) -> None:
        levels = torch.randint(5, (60, 1, 4, 4), generator=torch.Generator().manual_seed(0)) / 4
        data["train"], data["held_out"], data["truth"] = {"x": x(levels[:40])}, {"x": x(levels[40:])}, {}
        said = {"event_shape": (1, 4, 4), "value_range": (0.0, 1.0), "vocabulary": 5, **spec}
        data["spec"] = genloss.DataSpec(kind="image", size=40, **said)

    return toy(change)


def failures(definition: DatasetDefinition) -> dict[str, GenlossError]:
    """The checks that fail, with what they say."""
    found = outcomes(checks_of_dataset(definition))
    return {outcome.check.name: outcome.error for outcome in found if outcome.error is not None}


def caught(definition: DatasetDefinition, check: str) -> str:
    """What that check, and no other, says of the dataset."""
    found = failures(definition)
    assert list(found) == [check], {name: str(error) for name, error in found.items()}
    return str(found[check])


def changed(part: str, **fields: Callable[[Tensor], Any]) -> Callable[[dict[str, Any]], None]:
    """Replaces fields of a part."""

    def change(data: dict[str, Any]) -> None:
        data[part] |= {name: function(data[part].get(name)) for name, function in fields.items()}

    return change


@pytest.mark.parametrize("definition", [toy(), tokens(), images()], ids=["points", "tokens", "images"])
def test_without_a_mistake_it_passes(definition: DatasetDefinition) -> None:
    assert not failures(definition)


class TestTheFunction:
    def test_a_field_that_is_not_named(self) -> None:
        doc = DOC.replace("; `label` `[batch]`", "")
        assert "does not name `label`" in caught(toy(doc=doc), "docstring")

    def test_an_option_that_is_not_explained(self) -> None:
        doc = DOC.replace("    seed: of", "    seeds: of")
        assert "does not explain its option `seed`" in caught(toy(doc=doc), "docstring")

    def test_a_default_that_is_no_value_of_its_option(self) -> None:
        def gaussian(*, seed: Annotated[int, Gt(0)] = 0) -> genloss.Data:
            return genloss.Data(**parts())

        gaussian.__doc__ = DOC
        said = caught(genloss.dataset(gaussian), "defaults")
        assert said.startswith("the default of `seed` of dataset `gaussian` is none of its values")

    def test_something_else_than_data(self) -> None:
        @genloss.dataset
        def gaussian() -> genloss.Data:
            return parts()["train"]

        assert (
            caught(gaussian, "loads") == "dataset `gaussian`: it returns dict\nhint: return `genloss.Data(…)`"
        )


class TestAnExample:
    @staticmethod
    def reader(**facts: Any) -> DatasetDefinition:
        @genloss.dataset(**facts)
        def table(*, path: Path) -> genloss.Data:
            """A table.

            Fields: `x`.

            Options:
                path: of the file.
            """
            if facts.get("exists", path.is_file()) is False:
                raise RequestError(f"there is no file `{path}`")
            x = torch.from_numpy(np.loadtxt(path, dtype=np.float32))
            return genloss.Data(genloss.DataSpec((2,), "points", size=6), {"x": x[:6]}, {"x": x[6:]})

        return table

    @staticmethod
    def write(folder: Path) -> Mapping[str, Any]:
        np.savetxt(folder / "table.txt", np.random.default_rng(0).normal(size=(9, 2)))
        return {"path": folder / "table.txt"}

    def test_is_needed_where_an_option_has_no_default(self) -> None:
        assert "`path` of dataset `table` has no default" in caught(self.reader(), "loads")
        assert not failures(self.reader(example=self.write))

    def test_gives_options_that_there_are(self) -> None:
        definition = self.reader(example=lambda folder: {**self.write(folder), "paths": 1})
        assert "gives `paths`, which is not an option" in caught(definition, "loads")

    def test_its_folder_is_deleted_with_the_checks(self) -> None:
        seen = []

        def write(folder: Path) -> Mapping[str, Any]:
            seen.append(folder)
            return self.write(folder)

        checks = list(checks_of_dataset(self.reader(example=write)))
        assert not [outcome for outcome in outcomes(checks) if outcome.error]
        assert seen[0].exists()
        checks.clear()
        assert not seen[0].exists()

    def test_a_missing_file_without_a_word_of_it(self) -> None:
        @genloss.dataset(example=self.write)
        def table(*, path: Path) -> genloss.Data:
            """A table.

            Fields: `x`.

            Options:
                path: of the file.
            """
            x = torch.from_numpy(np.loadtxt(path, dtype=np.float32))
            return genloss.Data(genloss.DataSpec((2,), "points", size=6), {"x": x[:6]}, {"x": x[6:]})

        assert "where `path` names no file, it raises FileNotFoundError" in caught(table, "missing_file")


class TestTheSpec:
    def test_channels_that_come_last(self) -> None:
        definition = images(lambda x: x[:, 0], event_shape=(4, 4))
        assert "the event shape (4, 4) is none of (channels, height, width)" in caught(definition, "spec")

    def test_tokens_without_a_vocabulary(self) -> None:
        assert "tokens without a `vocabulary`" in caught(tokens(vocabulary=None), "spec")

    def test_values_out_of_range(self) -> None:
        said = caught(images(lambda x: 2 * x - 1), "values")
        assert "`x` of `train` must lie in [0, 1] by its spec, and lies in [-1, 1]" in said

    def test_values_between_the_levels(self) -> None:
        assert "has values between them" in caught(images(vocabulary=4), "values")

    def test_tokens_out_of_the_vocabulary(self) -> None:
        said = caught(tokens(vocabulary=2), "values")
        assert "`x` of `train` must lie in [0, 1]" in said

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64])
    def test_another_dtype(self, dtype: torch.dtype) -> None:
        definition = toy(lambda data: changed("train", x=lambda x: (100 * x).to(dtype))(data))
        assert "and must be float32 on the CPU" in caught(definition, "values")

    def test_a_value_that_is_not_finite(self) -> None:
        definition = toy(changed("held_out", x=lambda x: x.index_fill(0, torch.tensor(0), math.nan)), doc=DOC)
        assert "`x` of `held_out` is not finite" in str(failures(definition)["values"])

    def test_labels_that_are_no_integers(self) -> None:
        assert "must be int64 [40]" in caught(toy(changed("train", label=lambda y: y.float())), "labels")

    def test_a_class_that_is_never_trained_on(self) -> None:
        said = caught(toy(changed("held_out", label=lambda y: y + 1)), "labels")
        assert "held-out examples have the label 2, which no training example has" in said


class TestTheContent:
    def test_held_out_examples_that_are_trained_on(self) -> None:
        def change(data: dict[str, Any]) -> None:
            data["held_out"] = {name: tensor[:20] for name, tensor in data["train"].items()}

        said = caught(toy(change), "unseen")
        assert "20 of 20 held-out examples are also in the training set" in said
        assert "none is there twice" in said

    def test_tokens_that_are_trained_on(self) -> None:
        definition = tokens(lambda x: x[torch.arange(len(x)) % 15])
        assert "30 of 30 held-out examples" not in failures(definition)  # they all repeat
        mixed = torch.randint(9, (60, 4), generator=torch.Generator().manual_seed(0))

        def change(data: dict[str, Any]) -> None:
            data["train"], data["held_out"], data["truth"] = {"x": mixed}, {"x": mixed[:30]}, {}
            data["spec"] = genloss.DataSpec((4,), "tokens", size=60, vocabulary=9)

        assert "30 of 30 held-out examples are also in the training set" in caught(toy(change), "unseen")

    def test_data_that_no_seed_decides(self) -> None:
        noise = np.random.default_rng()
        change = changed("train", x=lambda x: x + torch.from_numpy(noise.normal(size=(40, 2))).float())
        assert "`x` of `train` differs when it is loaded again" in caught(toy(change), "same_again")

    def test_a_digest_that_changes(self) -> None:
        def change(data: dict[str, Any]) -> None:
            data["digest"] = str(np.random.default_rng().random())

        assert "its digest differs" in caught(toy(change), "same_again")

    @pytest.mark.parametrize(
        ("name", "draw"),
        [
            ("torch", lambda _: torch.rand(())),
            ("NumPy", lambda _: np.random.rand()),
            ("Python", lambda _: random.random()),
        ],
    )
    def test_a_global_generator(self, name: str, draw: Change) -> None:
        assert f"it uses {name}'s global generator" in caught(toy(draw), "random_state")


class Noisy(Dataset[dict[str, Tensor]]):
    """Examples with noise that is drawn as each is read."""

    def __init__(self, fields: dict[str, Tensor], draw: Callable[[], Tensor]) -> None:
        self.fields, self.draw = fields, draw

    def __len__(self) -> int:
        return len(self.fields["x"])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        example = {name: tensor[index] for name, tensor in self.fields.items()}
        return example | {"x": example["x"] + 0.01 * self.draw()}


class TestADataset:
    def test_one_that_draws_from_the_shared_generators_passes(self) -> None:
        def change(given: dict[str, Any]) -> None:
            given |= {"train": Noisy(given["train"], lambda: torch.randn(())), "digest": "noisy"}

        assert not failures(toy(change))

    def test_one_that_draws_from_a_generator_of_its_own(self) -> None:
        def change(given: dict[str, Any]) -> None:
            generator = torch.Generator().manual_seed(0)
            noisy = Noisy(given["train"], lambda: torch.randn((), generator=generator))
            given |= {"train": noisy, "digest": "noisy"}

        assert "`x` of `train` differs when it is read again" in caught(toy(change), "same_again")


class TestTheTruth:
    @staticmethod
    def knowing(**truth: Any) -> DatasetDefinition:
        return toy(lambda data: data.update(truth={**data["truth"], **truth}))

    def test_modes_of_another_shape(self) -> None:
        said = caught(self.knowing(modes=torch.zeros(2, 1)), "truth")
        assert "its truth's `modes` must be [modes, 2], got float32 [2, 1]" in said

    def test_a_scale_that_is_a_tensor(self) -> None:
        said = caught(self.knowing(mode_scale=torch.ones(())), "truth")
        assert "must be a float, at least 0" in said

    def test_a_density_of_the_whole_batch(self) -> None:
        said = caught(self.knowing(log_density=lambda x: log_density(x).sum()), "truth")
        assert "must give float [20], got float32 []" in said

    def test_a_negative_log_density(self) -> None:
        said = caught(self.knowing(log_density=lambda x: -log_density(x)), "truth")
        assert "it is the logarithm of the density, not its negative" in said
