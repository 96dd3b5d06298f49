"""Parts that were built in evaluation mode stay in it: frozen networks of models and of losses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss.conformance.models import checks_of_model
from genloss.conformance.suite import outcomes
from genloss.contracts.model import ModelDefinition
from genloss.errors import DefinitionError
from genloss.training import traps
from genloss.training.modes import Modes
from tests.training.support import same, term, train, trainer, weights


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))


def frozen() -> nn.Sequential:
    return layers().eval().requires_grad_(False)


class FeatureTurn(genloss.Turn["Features"]):
    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """What the network gives."""
        return self.model.network(self.model.features(self.x))


class Features(genloss.Model):
    """A network of a frozen network's features.

    Source:
        This test.
    """

    def __init__(self, data: genloss.DataSpec) -> None:
        super().__init__(data)
        if data.kind != "points" or data.event_shape != (2,):
            raise DefinitionError("it is for points in the plane")
        self.features = frozen()
        self.network = layers()

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": FeatureTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def sample(self, count: int) -> Tensor:
        with torch.no_grad():
            z = torch.randn(count, 2).to(self.network[0].weight)
            return self.network(self.features(z))


@genloss.loss(family="test", unit="data", source="this test")
class FeatureError(nn.Module):
    """A squared error of a frozen network's features, and of a trained one's."""

    def __init__(self) -> None:
        super().__init__()
        self.features = frozen()
        self.head = layers()

    def forward(
        self, x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch"]:
        return (self.features(x) - self.head(self.features(x_hat))).square().sum(1)


def features(**settings: Any) -> Any:
    return trainer(
        {"network": (term("feature_error"),)},
        model="features",
        models={"features": Features},
        options={},
        losses={"feature_error": FeatureError},
        **settings,
    )


@pytest.mark.parametrize("settings", [{}, {"ema": 0.9}, {"precision": "bfloat16"}], ids=str)
def test_frozen_networks_stay_as_they_are_and_the_others_train(settings: dict[str, Any]) -> None:
    trained = features(**settings)
    loss = trained.players[0].objective.modules["feature_error"]
    parts = [trained.model.features, loss.features, trained.eval_model.features]
    before = [{name: value.clone() for name, value in part.state_dict().items()} for part in parts]
    modes: list[bool] = []

    def evaluate() -> None:
        trained.mode(training=False)
        modes.append(any(part.training for part in trained.model.modules()))

    trained.check()
    train(trained, {10: [evaluate]})
    assert modes == [False]
    for part, state in zip(parts, before, strict=True):
        assert same(part.state_dict(), state)
        assert not any(inner.training for inner in part.modules())
    for part in (trained.model.network, loss.head):
        assert all(inner.training for inner in part.modules())
        assert part[1].num_batches_tracked == 20
        assert part[1].running_mean.ne(0).all()


def test_an_average_is_in_evaluation_mode() -> None:
    trained = features(ema=0.9)
    train(trained)
    assert not any(part.training for part in trained.eval_model.modules())
    assert not same(weights(trained), trained.eval_model.state_dict())


def test_a_part_in_training_mode_of_one_in_evaluation_mode() -> None:
    module = nn.Sequential(layers().eval(), layers())
    module[0][2].train()
    built = [part.training for part in module.modules()]
    modes = Modes(module)
    for _ in range(2):
        modes.set(training=False)
        assert not any(part.training for part in module.modules())
        modes.set(training=True)
        assert [part.training for part in module.modules()] == built


def test_the_suite_keeps_them_so() -> None:
    """`weights_unchanged` and `sample_traceless` put models into training mode, and look at buffers."""
    checks = [c for c in checks_of_model(ModelDefinition(Features)) if not c.name.startswith("docu")]
    found = {outcome.check.name: outcome.error for outcome in outcomes(checks) if outcome.error}
    assert not found


def findings(model: genloss.Model) -> list[str]:
    return [finding.message for finding in traps.of_parameters(model)]


class TestRemarks:
    @pytest.fixture
    def model(self) -> Features:
        with torch.device("meta"):
            return Features(genloss.DataSpec((2,), "points", size=100))

    def test_nothing_of_a_model_that_is_right(self, model: Features) -> None:
        assert findings(model) == []

    def test_parameters_that_nobody_trains(self, model: Features) -> None:
        model.features[0].weight.requires_grad_(True)
        assert findings(model) == [
            "`features.0.weight` belongs to no player and would not be trained",
            "`features` was built in evaluation mode and stays in it while it is trained, with 2 layers of "
            "dropout or batch normalization",
        ]
        model.features.train().requires_grad_(True)
        assert findings(model) == [
            "`features.0.weight`, `features.0.bias`, `features.1.weight` and 1 more parameters belong to no "
            "player and would not be trained"
        ]

    def test_a_frozen_network_in_training_mode(self, model: Features) -> None:
        model.features.train()
        assert findings(model) == [
            "`features` is frozen and in training mode, with 2 layers of dropout or batch normalization"
        ]

    def test_a_trained_network_in_evaluation_mode(self, model: Features) -> None:
        model.eval()
        assert findings(model) == [
            "the model was built in evaluation mode and stays in it while it is trained, with 4 layers of "
            "dropout or batch normalization"
        ]
        model.train()
        model.features.eval()
        model.network[2].eval()  # one layer may be meant
        assert findings(model) == []
