"""A run that goes on from a checkpoint: the same bits as one that never stopped, whatever decides them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Dataset

import genloss
from genloss.experiment.schema import Choice, Evaluation, Objective, Player, Ramp, Schedule, Training
from genloss.record import checkpoint
from genloss.training import seeds
from genloss.training.batches import Batches
from genloss.training.evaluation import Evaluator
from genloss.training.networks import DTYPES
from genloss.training.trainer import Interrupted, Trainer
from tests.training.support import CPU, Rows, recorder, same, term, train

STEPS, STOP = 24, 9
SPEC = genloss.DataSpec(event_shape=(2,), kind="points", size=50)


def draw() -> float:
    """A number that each of the generators of a process has a part in; some keep a second one back."""
    return float(torch.randn(()) + np.random.standard_normal() + random.gauss(0, 1) + random.random())


class Augmented(Dataset[dict[str, Tensor]]):
    """Points, each moved at random whenever it is read."""

    def __init__(self) -> None:
        self.points = torch.randn(SPEC.size, 2, generator=torch.Generator().manual_seed(7))

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.points[index] + 0.1 * draw()}


class RestlessTurn(genloss.Turn["Restless"]):
    @cached_property
    def fake(self) -> Float[Tensor, "batch *event"]:
        """Generated examples."""
        return self.model.generate(len(self.x))

    @cached_property
    def real_logits(self) -> Float[Tensor, "batch"]:
        """Of the data."""
        logits: Tensor = self.model.critic(self.x)
        return logits.squeeze(1)

    @cached_property
    def fake_logits(self) -> Float[Tensor, "batch"]:
        """Of the generated examples."""
        logits: Tensor = self.model.critic(self.fake)
        return logits.squeeze(1)


class Restless(genloss.Model):
    """A GAN with all that makes going on difficult."""

    heat: Tensor

    def __init__(self, data: genloss.DataSpec) -> None:
        super().__init__(data)
        self.generator = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        self.critic = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 1))
        self.register_buffer("heat", torch.ones(()), persistent=False)

    def generate(self, count: int) -> Tensor:
        if self.training:
            self.heat.mul_(0.98).add_(0.01 * random.random())
        fake: Tensor = self.generator(torch.randn(count, 2).to(self.heat.dtype) * self.heat)
        return fake

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"discriminator": RestlessTurn, "generator": RestlessTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"discriminator": self.critic, "generator": self.generator}


@genloss.loss(family="test", unit="1", source="this file")
def shaken(fake_logits: Float[Tensor, "batch"], *, strength: float = 0.1) -> Float[Tensor, "batch"]:
    """A critic's logits with noise of all kinds."""
    return -fake_logits * (1 + strength * draw())


@genloss.loss(family="test", unit="1", source="this file")
class Relative(nn.Module):
    """The generated examples' squares in terms of their average so far, scaled as learned."""

    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("average", torch.ones(()), persistent=False)

    def forward(self, fake: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch"]:
        square = fake.square().flatten(1).sum(1)
        self.average.lerp_(square.detach().mean(), 0.1)
        return square / self.average * torch.exp(-self.log_scale) + self.log_scale


OBJECTIVE = {
    "discriminator": (
        term("wasserstein_discriminator"),
        term("squared_logits", weight=Schedule(linear=Ramp(start=0.0, to=0.1, steps=STEPS))),
    ),
    "generator": (
        term("shaken", options={"strength": {"cosine": {"from": 0.0, "to": 0.2, "steps": STEPS}}}),
        term("relative", weight=0.1, every=2),
    ),
}


@genloss.loss(family="test", unit="1", source="this file")
def squared_logits(
    real_logits: Float[Tensor, "batch"], fake_logits: Float[Tensor, "batch"]
) -> Float[Tensor, "batch"]:
    """Keeps a critic's logits from drifting away."""
    return real_logits.square() + fake_logits.square()


def restless(**training: Any) -> Trainer:
    players = {"generator": Player(clip_gradients=0.5), "discriminator": Player()}
    if updates := training.pop("updates", None):
        players["discriminator"] = Player(updates_per_step=updates)
    settings = Training(**{"steps": STEPS, "batch_size": 16, "ema": 0.9, "players": players, **training})
    config = Objective(name="test", players=OBJECTIVE, model=Choice(name="restless"), training=settings)
    batches = Batches(
        Augmented(),
        batch_size=16,
        seed=seeds.derive(3, "order"),
        device=CPU,
        dtype=DTYPES[settings.precision],
    )
    losses = {loss.name: loss for loss in (shaken, Relative, squared_logits)}
    known = {**genloss.catalogue().losses, **losses}
    return Trainer(lambda: Restless(SPEC), config, known, batches, seed=3, device=CPU)


def everything(trained: Trainer) -> dict[str, Tensor]:
    """All parameters and buffers, by name."""
    found: dict[str, Tensor] = {}
    for owner, module in trained._modules().items():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            found[f"{owner}/{name}"] = tensor.detach().clone()
    return found


@pytest.fixture(autouse=True)
def undisturbed() -> Iterator[None]:
    with seeds.forked(0, CPU):
        yield


def disturb() -> None:
    """As other runs in the same process do."""
    for _ in range(7):
        draw()
    seeds.seed_all(99)


@pytest.mark.parametrize(
    "training",
    [
        {"updates": 2},
        {"order": "simultaneous"},
        {"precision": "float64", "optimizer": Choice(name="rmsprop", options={"lr": 1e-2, "momentum": 0.5})},
        {"precision": "bfloat16", "optimizer": Choice(name="sgd", options={"lr": 1e-2, "momentum": 0.9})},
        {"optimizer": Choice(name="nadam", options={"lr": 1e-2}), "on_nonfinite": "skip"},
        {"optimizer": Choice(name="nadam", options={"lr": 1e-2}), "precision": "float64"},
    ],
    ids=["two updates", "simultaneous", "float64", "bfloat16", "skip", "moments of float32"],
)
def test_it_is_the_same_to_the_last_bit(training: dict[str, Any], tmp_path: Path) -> None:
    whole = restless(**training)
    expected = train(whole).values
    first = restless(**training)
    disturb()
    train(first, {STOP: [lambda: checkpoint.save(tmp_path, first.step, first.state_dict())]})
    disturb()
    second = restless(**training)
    second.check()
    loaded = checkpoint.load(tmp_path)
    assert loaded.state is not None
    second.load_state_dict(loaded.state)
    assert second.step == STOP
    rows = train(second)
    assert rows[0].first_step == STOP
    assert np.array_equal(rows.values, expected[STOP:])
    assert same(everything(second), everything(whole))
    assert same(everything(first), everything(whole))
    assert len(np.unique(expected[:, 0])) == STEPS  # the test would see another noise or another batch


def test_it_is_the_same_where_it_was_interrupted(tmp_path: Path) -> None:
    """Then it stops at any step, and training has not started over when it goes on."""
    whole = restless()
    expected = train(whole).values
    seen = []
    step = 0
    while step < STEPS:
        trained = restless()
        if (loaded := checkpoint.load(tmp_path)).state is not None:
            trained.load_state_dict(loaded.state)
        until = min(step + 5, STEPS)
        trained.should_stop = lambda now=trained, end=until: now.step == end
        ends = pytest.raises(Interrupted) if until < STEPS else nullcontext()
        with closing(recorder(trained, rows := Rows())) as kept, ends:
            trained.train(kept, {})
        checkpoint.save(tmp_path, trained.step, trained.state_dict())
        disturb()
        seen.append(rows.values)
        step = trained.step
    assert len(seen) == 5
    assert np.array_equal(np.concatenate(seen), expected)
    assert same(everything(trained), everything(whole))


def test_nothing_of_it_is_lost_in_an_evaluation() -> None:
    def evaluate() -> None:
        with seeds.forked(11, CPU):
            draw()
            evaluated.mode(training=False)
            evaluated.eval_model.generate(4)  # type: ignore[operator]

    evaluated, plain = restless(), restless()
    assert np.array_equal(
        train(evaluated, {step: [evaluate] for step in (3, 4, 20)}).values, train(plain).values
    )


def test_nothing_of_it_is_lost_in_reading_the_data_for_evaluations(tmp_path: Path) -> None:
    """Which happens when the generators are where the checkpoint had them; and each time the same is read."""
    data = genloss.Data(train=Augmented(), held_out=Augmented(), spec=SPEC, digest="augmented")
    settings = Evaluation(samples=4, metrics=(Choice(name="maximum_mean_discrepancy"),))
    trained = restless()
    expected = draw_of(7)
    read = []
    for seed in (7, 8):
        with seeds.forked(seed, CPU):
            known = genloss.catalogue().metrics
            evaluator = Evaluator(
                settings, known, data, trainer=trained, seed=3, cache=tmp_path, artifacts=tmp_path
            )
            read.append(evaluator._offered["train"].whole)
            assert (draw() == expected) == (seed == 7)
    assert torch.equal(*read)


def draw_of(seed: int) -> float:
    with seeds.forked(seed, CPU):
        return draw()


def test_what_was_due_is_done_first(tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []

    def due(trained: Trainer) -> dict[int, Any]:
        return {
            step: [
                lambda: checkpoint.save(tmp_path, trained.step, trained.state_dict()),
                lambda: seen.append((trained.step, "evaluated")),
            ]
            for step in (STOP, STEPS)
        }

    first = restless()
    train(first, due(first))
    assert seen == [(STOP, "evaluated"), (STEPS, "evaluated")]
    for step in (STOP, STEPS):
        seen.clear()
        again = restless()
        state = checkpoint.load(tmp_path, at_most=step).state
        assert state is not None
        again.load_state_dict(state)
        train(again, due(again))
        assert seen == [(later, "evaluated") for later in (STOP, STEPS) if later >= step]
