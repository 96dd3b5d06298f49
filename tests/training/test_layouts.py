"""Gradients lie in memory as they come: transposed, as one number for all, shared by two parameters."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

import genloss
from genloss.errors import DefinitionError
from genloss.experiment.schema import Choice, Player
from genloss.record import checkpoint
from genloss.training import optimizers
from tests.training.support import same, term, train, trainer, weights
from tests.training.test_optimizers import FUSED


class LayoutsTurn(genloss.Turn["Layouts"]):
    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """What the network gives."""
        return self.model.network(self.x)


class Network(nn.Module):
    """One parameter for each way in which a gradient can lie otherwise than its parameter."""

    def __init__(self, part: bool) -> None:
        super().__init__()
        self.einsum = nn.Parameter(torch.randn(4, 4))
        self.permuted = nn.Parameter(torch.randn(4, 3))
        self.back = nn.Parameter(torch.randn(3, 4))
        self.summed = nn.Parameter(torch.randn(3, 2))
        self.one = nn.Parameter(torch.randn(4))
        self.other = nn.Parameter(torch.randn(4))
        self.transposed = nn.Parameter(torch.randn(4, 4).t())
        self.part = nn.Parameter(torch.randn(4, 8)[:, ::2] if part else torch.randn(4, 4))
        self.convolution = nn.Conv2d(2, 4, (1, 2)).to(memory_format=torch.channels_last)
        self.plain = nn.Conv2d(2, 4, (1, 2))

    def forward(self, x: Tensor) -> Tensor:
        image = x.reshape(-1, 2, 1, 2)
        x = torch.einsum("bi,oi->bo", x, self.einsum) + x * self.summed.sum() + self.one + self.other
        x = x @ self.permuted.permute(1, 0).t() @ self.back.permute(1, 0).t()
        x = (x @ self.transposed @ self.part).tanh()
        channels_last = image.to(memory_format=torch.channels_last)
        return x + (self.convolution(image) * self.plain(channels_last)).flatten(1)


class Layouts(genloss.Model):
    def __init__(self, data: genloss.DataSpec, *, part: bool = False) -> None:
        super().__init__(data)
        self.network = Network(part)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": LayoutsTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}


@genloss.loss(family="test", unit="data", source="this test")
class MixedError(nn.Module):
    """A squared error of learned features."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(3, 4))

    def forward(
        self, x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch"]:
        return torch.einsum("bi,oi->bo", x - x_hat, self.features).square().sum(1)


def layouts(optimizer: str, *, part: bool = False, **settings: Any) -> Any:
    torch.manual_seed(0)
    return trainer(
        {"network": (term("mixed_error"),)},
        model="layouts",
        models={"layouts": Layouts},
        options={"part": part},
        losses={"mixed_error": MixedError},
        data=torch.randn(200, 4),
        optimizer=Choice(name=optimizer, options={"lr": 0.01}),
        **settings,
    )


def by_hand(trained: Any, optimizer: str, clip: float | None) -> list[Tensor]:
    """Trains plainly, all of it in memory as it is read."""
    player = trained.players[0]
    network, loss = copy.deepcopy((trained.model.network, player.objective.modules["mixed_error"]))
    parameters = [contiguous for part in (network, loss) for contiguous in made_contiguous(part)]
    plain = optimizers.classes()[optimizer](parameters, lr=0.01, foreach=False)  # type: ignore[call-arg]
    for _ in range(5):
        x = next(trained.batches)["x"]
        for parameter in parameters:
            parameter.grad = None
        loss(x, network(x)).mean().backward()
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.grad = parameter.grad.contiguous().clone()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        plain.step()
    return parameters


def made_contiguous(module: nn.Module) -> Iterable[nn.Parameter]:
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(parameter.detach().contiguous().clone()))
    return module.parameters()


@pytest.mark.parametrize(
    ("clip", "part"), [(None, False), (0.5, False), (None, True)], ids=["plain", "clipped", "part"]
)
@pytest.mark.parametrize("optimizer", sorted(optimizers.classes().keys() - {"adafactor", "muon"}))
def test_parameters_train_however_their_gradients_lie(optimizer: str, clip: float | None, part: bool) -> None:
    # Moved to float64, a part of a tensor is a tensor of its own.
    settings: dict[str, Any] = {"precision": "float32" if part else "float64", "steps": 5}
    if clip is not None:
        settings["training_players"] = {"network": Player(clip_gradients=clip)}
    ours, twin = (layouts(optimizer, part=part, **settings) for _ in range(2))
    assert bool(ours.players[0].optimizer.defaults.get("fused")) == (optimizer in FUSED and not part)
    train(ours)
    expected = by_hand(twin, optimizer, clip)
    assert len(expected) == len(ours.players[0].parameters) == 13
    for parameter, plain in zip(ours.players[0].parameters, expected, strict=True):
        tolerance = 1e-3 if part else 1e-9
        torch.testing.assert_close(parameter, plain, rtol=tolerance, atol=tolerance)


def test_it_goes_on_from_a_checkpoint_bit_for_bit(tmp_path: Any) -> None:
    whole, first, second = (layouts("adam") for _ in range(3))
    train(whole)
    train(first, {7: [lambda: checkpoint.save(tmp_path, first.step, first.state_dict())]})
    second.load_state_dict(checkpoint.load(tmp_path).state)
    train(second)
    assert second.step == 20
    assert same(weights(second), weights(whole))


def test_skip_sees_a_gradient_that_is_one_number_for_all() -> None:
    (player,) = layouts("adam").players
    summed = player.parameters[3]
    for value, finite in ((1.0, True), (float("nan"), False)):
        summed.grad = torch.tensor(value).expand(3, 2)
        assert player.has_finite_gradient() is finite


def test_a_sparse_gradient_is_made_dense() -> None:
    embedding = nn.Embedding(5, 3, sparse=True)
    (gradient,) = torch.autograd.grad(embedding(torch.tensor([1, 2, 2])).sum(), [embedding.weight])
    optimizers.assign([embedding.weight], [gradient])
    assert embedding.weight.grad is not None
    assert torch.equal(
        embedding.weight.grad, F.one_hot(torch.tensor([1, 2, 2]), 5).sum(0)[:, None].expand(5, 3).float()
    )


def test_a_part_of_a_tensor_is_not_trained_by_a_fused_kernel() -> None:
    part = nn.Parameter(torch.zeros(4, 8)[:, ::2])
    assert not optimizers.build("adam", [part], lr=0.1).defaults["fused"]
    with pytest.raises(DefinitionError, match="`adam` cannot be fused: a parameter is a part of a larger"):
        optimizers.build("adam", [part], lr=0.1, fused=True)
