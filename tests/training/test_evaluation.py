"""Evaluation: what it gives, and that training goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss.experiment.schema import Choice, Evaluation
from genloss.training.bound_metrics import bound
from genloss.training.evaluation import Evaluator, reference, sample
from tests.training.support import NON_SATURATING, WGAN_GP, points, same, term, train, trainer, weights

DATA = genloss.Data(
    spec=genloss.DataSpec(event_shape=(2,), kind="points", size=200),
    train={"x": points()},
    held_out={"x": points() + 1},
    truth={"log_density": lambda x: -x.square().sum(1)},
)


@genloss.metric(unit="data", higher_is_better=False)
def mean_distance(
    samples: Float[Tensor, "samples *event"], held_out: Float[Tensor, "held_out *event"]
) -> float:
    """Distance of the means."""
    return float((samples.mean(0) - held_out.mean(0)).norm())


@genloss.metric(unit="nats", higher_is_better={"worst": False, "best": False})
def extremes(log_likelihood: Any, held_out: Float[Tensor, "held_out *event"]) -> dict[str, float]:
    """The least and the most likely held-out example."""
    nll = -log_likelihood(held_out)
    return {"worst": float(nll.max()), "best": float(nll.min())}


METRICS: dict[str, Any] = {"mean_distance": mean_distance, "extremes": extremes}


def evaluator(trained: Any, tmp_path: Path, *metrics: str, samples: int = 50) -> Evaluator:
    settings = Evaluation(every=5, samples=samples, metrics=tuple(Choice(name=name) for name in metrics))
    return Evaluator(settings, METRICS, DATA, trainer=trained, seed=0, cache=tmp_path, artifacts=tmp_path)


def test_it_leaves_no_trace_in_training(tmp_path: Path) -> None:
    judged, alone = trainer(WGAN_GP), trainer(WGAN_GP)
    evaluate = evaluator(judged, tmp_path, "mean_distance").evaluate
    with_it = train(judged, {step: [evaluate] for step in (3, 9, 20)})
    assert np.array_equal(with_it.values, train(alone).values)
    assert same(weights(judged), weights(alone))


def test_it_gives_metrics_held_out_terms_and_a_picture(tmp_path: Path) -> None:
    trained = trainer(NON_SATURATING)
    numbers, picture = evaluator(trained, tmp_path, "mean_distance").evaluate()
    assert set(numbers) == {
        "eval/mean_distance",
        "held_out/discriminator/minimax_discriminator",
        "held_out/generator/non_saturating_generator",
    }
    assert picture is not None
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_held_out_terms_are_means_over_all_held_out_examples(tmp_path: Path) -> None:
    trained = trainer({"network": (term("squared_error"),)}, model="autoencoder")
    numbers, _ = evaluator(trained, tmp_path).evaluate()
    x = DATA.held_out["x"]  # type: ignore[index]
    turn = trained.players[0].turn(trained.model, {"x": x})
    expected = (turn.x_hat - x).square().sum(1).mean().item()
    assert numbers["held_out/network/squared_error"] == pytest.approx(expected, rel=1e-5)


def test_two_evaluations_of_one_model_agree(tmp_path: Path) -> None:
    judge = evaluator(trainer(NON_SATURATING), tmp_path, "mean_distance")
    assert judge.evaluate()[0] == judge.evaluate()[0]


def test_the_reference_is_training_data_in_the_place_of_samples(tmp_path: Path) -> None:
    settings = Evaluation(
        every=5, samples=120, metrics=(Choice(name="mean_distance"), Choice(name="extremes"))
    )
    of_samples, of_likelihood = bound(settings, METRICS)
    held_out = DATA.held_out["x"]  # type: ignore[index]
    whole = reference(of_samples, DATA, 200, tmp_path)["mean_distance"]
    assert whole == pytest.approx(float((points().mean(0) - held_out.mean(0)).norm()))
    found = reference(of_likelihood, DATA, 120, tmp_path)
    assert found["worst"] == pytest.approx(float(held_out.square().sum(1).max()))


def test_a_metric_that_needs_what_is_not_known_has_no_reference(tmp_path: Path) -> None:
    unknown = genloss.Data(spec=DATA.spec, train=DATA.train, held_out=DATA.held_out)
    settings = Evaluation(every=5, metrics=(Choice(name="extremes"),))
    (metric,) = bound(settings, METRICS)
    assert reference(metric, unknown, 10, tmp_path) == {}


def test_the_reference_does_not_depend_on_the_order_of_the_data(tmp_path: Path) -> None:
    x = points()
    ordered = genloss.Data(spec=DATA.spec, train={"x": x[x[:, 0].argsort()]}, held_out={"x": x})
    (metric,) = bound(Evaluation(every=5, metrics=(Choice(name="mean_distance"),)), METRICS)
    first_half_alone = float((x[x[:, 0].argsort()][:100].mean(0) - x.mean(0)).norm())
    assert reference(metric, ordered, 100, tmp_path)["mean_distance"] < 0.5 * first_half_alone


def test_samples_come_in_chunks_and_are_as_many_as_asked_for() -> None:
    model = trainer(NON_SATURATING).model
    assert sample(model, 2500).shape == (2500, 2)
    assert sample(model, 3).shape == (3, 2)
    assert torch.isfinite(sample(model, 1024)).all()


class Doubling(genloss.Model):
    """Carries a source to twice its value."""

    def __init__(self, data: genloss.DataSpec) -> None:
        super().__init__(data)
        self.largest = 0

    def sample_from(self, source: Tensor) -> Tensor:
        self.largest = max(self.largest, len(source))
        return 2 * source


def test_a_model_that_carries_sources_gets_each_of_them_once_before_any_twice() -> None:
    model = Doubling(genloss.DataSpec((1,), "points", size=2, source=True))
    sources = torch.arange(1500.0)[:, None]
    assert torch.equal(sample(model, 1500, sources).sort(0).values, 2 * sources)
    assert model.largest <= 1024
    few = sample(model, 100, sources)
    assert len(few.unique()) == 100
    assert few.max() > 1500, "drawn at random, not the first ones"
    assert torch.equal(sample(model, 3000, sources).unique(return_counts=True)[1], torch.full((1500,), 2))


def test_a_model_that_ignores_sources_samples_as_ever() -> None:
    model = trainer(NON_SATURATING).model
    assert sample(model, 3, torch.zeros(5, 2)).shape == (3, 2)
