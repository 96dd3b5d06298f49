"""The cases in which a model is tried: small data of each kind, with each value of its options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

import torch
from torch import Tensor

from genloss.conformance import generators
from genloss.conformance.options import check_given, varied
from genloss.conformance.suite import Nonconformity
from genloss.contracts.dataset import DataSpec
from genloss.contracts.model import Model, ModelDefinition, Turn
from genloss.errors import RequestError, told
from genloss.training.evaluation import carrier

BATCH = 5
"""Examples in a batch: a number that no dimension of the data has."""

VARIED = (
    DataSpec((2,), "points", size=100, classes=2),
    DataSpec((1, 8, 8), "image", size=100, value_range=(0.0, 1.0), vocabulary=17, classes=2),
    DataSpec((6,), "tokens", size=100, vocabulary=7, classes=2),
)
"""Data on which each value of each option is tried, where the model does not say others."""

FURTHER = (
    DataSpec((3,), "points", size=100),
    DataSpec((2,), "points", size=100, source=True),
    DataSpec((3, 8, 8), "image", size=100, value_range=(-1.0, 1.0)),
)
"""Data on which no option is varied; without labels."""


def draw(data: DataSpec, size: int = BATCH, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A batch of such data, the same each time; with labels, where the data has some."""
    generator = torch.Generator().manual_seed(0)
    batch = {"x": _examples(data, size, dtype, generator)}
    if data.classes is not None:
        batch = {"label": torch.arange(size) % data.classes, **batch}
    return batch | ({"source": _examples(data, size, dtype, generator)} if data.source else {})


def _examples(data: DataSpec, size: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    shape = (size, *data.event_shape)
    if data.kind == "tokens":
        return torch.randint(data.vocabulary or 2, shape, generator=generator)
    if data.value_range is None:
        return torch.randn(shape, generator=generator).to(dtype)
    low, high = data.value_range
    levels = (data.vocabulary or 256) - 1
    x = torch.randint(levels + 1, shape, generator=generator).to(dtype) / levels
    return low + (high - low) * x


def sampled(model: Model, count: int) -> Tensor:
    """New examples as in an evaluation: sources drawn at random, where the model maps those to data."""
    carry = carrier(model)
    if carry is None:
        return model.sample(count)
    sources = draw(model.data, 10 * count)["source"]
    return carry(sources[torch.randperm(len(sources))[:count]].to(next(model.parameters())))


REFUSAL = "a model that is not for such data or options says so by a DefinitionError in its constructor"


@dataclass(frozen=True)
class Case:
    """A model with some options, for some data."""

    definition: ModelDefinition
    data: DataSpec
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        options = ", ".join(f"{name}: {value}" for name, value in self.options.items())
        kind = {"image": "images"}.get(self.data.kind, self.data.kind)
        sources = " with a source" if self.data.source else ""
        return f"model `{self.definition.name}` for {kind} {list(self.data.event_shape)}{sources}" + (
            f" with {options}" if options else ""
        )

    def build(self, seed: int = 0) -> Model:
        """A new instance, in training mode."""
        with generators.seeded(seed):
            return self.definition.build(self.data, **self.definition.validated(self.options))

    def batch(self, size: int = BATCH, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        return draw(self.data, size, dtype)

    def quantities(self, model: Model, batch: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
        """For each player, all that it is offered, everything needed.

        Raises:
            Nonconformity: a quantity cannot be computed.
        """
        values = {}
        for player, kind in model.turns().items():
            names = kind.quantities()
            turn = kind(model, batch, frozenset(names))
            values[player] = {name: self.ask(turn, player, name) for name in names}
        return values

    def ask(self, turn: Turn[Any], player: str, name: str) -> Any:
        """One quantity.

        Raises:
            Nonconformity: it cannot be computed.
        """
        try:
            return getattr(turn, name)
        except Exception as error:
            self.fail(
                f"quantity `{name}` of `{player}` raises {told(error)}",
                hint=REFUSAL,
                cause=error,
            )

    def fail(self, message: str, *, hint: str | None = None, cause: Exception | None = None) -> NoReturn:
        """Raise Nonconformity, which names the case."""
        raise Nonconformity(f"{self}: {message}", hint=hint) from cause


class Cases:
    """A model on each kind of data that it accepts, with each value of each option that has but a few.

    Args:
        definition: of the model.
    """

    def __init__(self, definition: ModelDefinition) -> None:
        self.definition = definition
        self.refused: dict[str, str] = {}

    @cached_property
    def working(self) -> list[Case]:
        """The cases in which the model can be built, offers its quantities and samples.

        Raises:
            Nonconformity: there is none, or it fails otherwise than by refusing the case.
        """
        working = [case for case in self._all() if self._accepts(case)]
        if not working:
            raise Nonconformity(
                f"model `{self.definition.name}` can be built for none of the suite's data; one that is for "
                "certain data alone says by `example_data` for which",
                hint="; ".join(f"{case}: {message}" for case, message in self.refused.items()),
            )
        return working

    def _accepts(self, case: Case) -> bool:
        doing = "building it"
        try:
            try:
                model = case.build()
            except RequestError as error:
                self.refused[str(case)] = error.message
                return False
            doing = "`turns`"
            case.quantities(model, case.batch())
            doing = "`sample`"
            sampled(model.eval(), 1)
        except Nonconformity:
            raise
        except Exception as error:
            case.fail(f"{doing} raises {told(error)}", hint=REFUSAL, cause=error)
        return True

    def _all(self) -> Iterator[Case]:
        examples = self.definition.model.example_options or ({},)
        for options in examples:
            check_given(self.definition, options, by="`example_options`")
        example_data = self.definition.model.example_data
        for data in example_data or VARIED:
            for options in (*examples, *varied(self.definition, examples[0])):
                yield Case(self.definition, data, options)
        for data in () if example_data else FURTHER:
            yield Case(self.definition, data, examples[0])


def listed(names: Iterable[str]) -> str:
    """Names in a message."""
    return ", ".join(f"`{name}`" for name in names) or "nothing"
