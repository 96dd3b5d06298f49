"""A trainer on a small data set, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch

import genloss
from genloss.contracts.model import ModelDefinition
from genloss.experiment.schema import Choice, Objective, Term, Training
from genloss.record.frame import Values
from genloss.record.recorder import Recorder
from genloss.training import seeds
from genloss.training.batches import Batches
from genloss.training.networks import DTYPES
from genloss.training.trainer import Trainer

CPU = torch.device("cpu")
SIZE = 200


def term(loss: str, **settings: Any) -> Term:
    return Term(loss=loss, **{"name": loss, **settings})


NON_SATURATING = {
    "discriminator": (term("minimax_discriminator"),),
    "generator": (term("non_saturating_generator"),),
}
WGAN_GP = {
    "discriminator": (term("wasserstein_discriminator"), term("gradient_penalty", weight=10.0)),
    "generator": (term("wasserstein_generator"),),
}


def points(size: int = SIZE) -> torch.Tensor:
    return torch.randn(size, 2, generator=torch.Generator().manual_seed(7))


def trainer(
    players: Mapping[str, Sequence[Term]] = NON_SATURATING,
    *,
    model: str = "gan",
    options: Mapping[str, Any] | None = None,
    losses: Mapping[str, Any] | None = None,
    models: Mapping[str, type[genloss.Model]] | None = None,
    data: torch.Tensor | None = None,
    seed: int = 0,
    device: torch.device = CPU,
    **training: Any,
) -> Trainer:
    """A trainer of small networks on points in the plane."""
    of_players = {"players": training.pop("training_players", {})}
    settings = Training(**{"steps": 20, "batch_size": 16, **of_players, **training})
    config = Objective(
        name="test",
        players={player: tuple(terms) for player, terms in players.items()},
        model=Choice(name=model),
        training=settings,
    )
    data = points() if data is None else data
    known = genloss.catalogue()
    spec = genloss.DataSpec(event_shape=tuple(data.shape[1:]), kind="points", size=len(data))
    batches = Batches(
        {"x": data},
        batch_size=settings.batch_size,
        seed=seeds.derive(seed, "order"),
        device=device,
        dtype=DTYPES[settings.precision],
    )
    definition = ModelDefinition(models[model]) if models else known.models[model]
    return Trainer(
        lambda: definition.build(spec, **({"latent_dim": 2, "hidden": (8,)} if options is None else options)),
        config,
        {**known.losses, **(losses or {})},
        batches,
        seed=seed,
        device=device,
    )


class Rows(list[Values]):
    """Blocks that a recorder handed over, in memory."""

    @property
    def values(self) -> np.ndarray:
        return np.concatenate([block.values for block in self])

    def of(self, trained: Trainer, key: str) -> np.ndarray:
        """One column, at the steps that have it."""
        keys = [column.key for column in trained.columns()]
        index = keys.index(key)
        return self.values[:: trained.columns()[index].every, index]


def recorder(trained: Trainer, rows: Rows, **settings: Any) -> Recorder:
    return Recorder(trained.columns(), rows.append, device=trained.device, dtype=trained.dtype, **settings)


def train(trained: Trainer, due: Mapping[int, Any] | None = None, **settings: Any) -> Rows:
    """Trains to the end; gives what was recorded."""
    rows = Rows()
    with closing(recorder(trained, rows, **settings)) as kept:
        trained.train(kept, due or {})
    return rows


def weights(trained: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}


def same(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
