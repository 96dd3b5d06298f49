"""`precision: bfloat16` and `compile`: how networks compute changes, and nothing else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss.errors import ContractError
from genloss.training import networks
from tests.training.support import NON_SATURATING, WGAN_GP, same, term, train, trainer, weights

VAE = {"network": (term("squared_error"), term("gaussian_kl"))}

# Both of the compiler's own.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning"),
]

seen: list[Tensor] = []


@genloss.loss(family="test", unit="data", source="this test")
def watching(
    x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"]
) -> Float[Tensor, "batch"]:
    """Keeps what it is given."""
    seen.append(x_hat)
    return (x - x_hat).square().sum(1)


def test_networks_compute_in_bfloat16_and_all_else_is_float32() -> None:
    computed = set()
    trained = trainer(
        {"network": (term("watching"),)}, model="vae", losses={"watching": watching}, precision="bfloat16"
    )
    for module in trained.model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _module, _inputs, output: computed.add(output.dtype))
    rows = train(trained)
    assert computed == {torch.bfloat16}
    assert {tensor.dtype for tensor in seen} == {torch.float32}
    assert all(torch.equal(x_hat, x_hat.bfloat16().float()) for x_hat in seen), "it comes from a network"
    assert {parameter.dtype for parameter in trained.model.parameters()} == {torch.float32}
    assert np.array_equal(rows.values, rows.values.astype(np.float32))


def test_it_learns_what_float32_learns() -> None:
    mixed, full = (trainer(VAE, model="vae", precision=p, steps=300) for p in ("bfloat16", "float32"))
    last = [train(trained).of(trained, "network/total")[-100:].mean() for trained in (mixed, full)]
    first = train(trainer(VAE, model="vae", steps=20))
    assert abs(last[0] - last[1]) < 0.1 * last[1]
    assert last[0] < 0.9 * first.values[0, 2]


def test_gradients_of_the_discriminator_are_differentiated_too() -> None:
    trained = trainer(WGAN_GP, precision="bfloat16")
    before = weights(trained)
    train(trained)
    assert not same(before, weights(trained))


def test_features_by_layer_come_in_full_precision() -> None:
    players: Any = {**NON_SATURATING, "generator": (term("feature_matching"),)}
    trained = trainer(players, precision="bfloat16")
    player = trained.players[1]
    turn = player.turn(trained.model, trained.batches.first(), frozenset({"fake_features"}))
    assert [feature.dtype for feature in turn.fake_features] == [torch.float32] * len(turn.fake_features)


@dataclass
class Output:
    logits: Tensor
    hidden: dict[str, tuple[Tensor, ...]]
    step: int = 3


class Pair(NamedTuple):
    first: Tensor
    second: list[Output]


def outputs(x: Tensor) -> dict[str, Any]:
    """The same tensor in each thing that networks return."""
    output = Output(x, {"layers": (x, x)})
    return {
        "tensor": x,
        "list": [x, (x, None, 3)],
        "dict": {"a": OrderedDict(b=x)},
        "named tuple": Pair(x, [output]),
        "dataclass": output,
    }


@pytest.mark.parametrize("kind", list(outputs(torch.zeros(1))))
def test_outputs_come_in_full_precision_in_whatever_holds_them(kind: str) -> None:
    comes_in_full_precision(lambda x: outputs(x)[kind])


@pytest.mark.slow  # has what only the extra `dev` has
def test_outputs_of_transformers_come_in_full_precision() -> None:
    library = pytest.importorskip("transformers.modeling_outputs", reason="needs transformers")
    comes_in_full_precision(lambda x: library.CausalLMOutput(loss=x, logits=x, hidden_states=(x, x)))


@pytest.mark.slow  # has what only the extra `dev` has
def test_outputs_of_diffusers_come_in_full_precision() -> None:
    library = pytest.importorskip("diffusers.utils.outputs", reason="needs diffusers")
    sampled = dataclass(type("Sampled", (library.BaseOutput,), {"__annotations__": {"sample": Tensor}}))
    comes_in_full_precision(lambda x: sampled(sample=x))


def comes_in_full_precision(output: Callable[[Tensor], Any]) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Any:
            return output(self.linear(x))

    model = nn.Module()
    model.network = Network()
    x = torch.randn(3, 2)
    before = {str(tensor.dtype) for tensor in found(model.network(x))}
    networks.compute_in_bfloat16(model, torch.device("cpu"))
    after = found(model.network(x))
    assert before == {"torch.float32"}
    assert type(model.network(x)) is type(output(x))
    assert {tensor.dtype for tensor in after} == {torch.float32}
    assert all(torch.equal(tensor, tensor.bfloat16().float()) for tensor in after), "it was bfloat16"


def found(value: Any) -> list[Tensor]:
    """All tensors in an output, by attribute and by key."""
    if isinstance(value, Tensor):
        return [value]
    parts = list(value.values()) if isinstance(value, dict) else []
    parts += vars(value).values() if hasattr(value, "__dict__") else []
    parts += list(value) if isinstance(value, list | tuple) else []
    return [tensor for part in parts for tensor in found(part)]


class BareTurn(genloss.Turn["Bare"]):
    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """What the network gives, as it comes."""
        return self.model.network(self.x).x_hat


class BareNetwork(nn.Linear):
    def forward(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(x_hat=super().forward(x))


class Bare(genloss.Model):
    """Its network's output is an object of which nothing is known."""

    def __init__(self, data: genloss.DataSpec) -> None:
        super().__init__(data)
        self.network = BareNetwork(2, 2)

    def turns(self) -> Any:
        return {"network": BareTurn}

    def players(self) -> Any:
        return {"network": self.network}


def test_a_quantity_of_another_precision_than_the_runs_is_refused() -> None:
    settings: Any = {"model": "bare", "models": {"bare": Bare}, "options": {}}
    trainer({"network": (term("squared_error"),)}, **settings).check()
    trained = trainer({"network": (term("squared_error"),)}, precision="bfloat16", **settings)
    with pytest.raises(
        ContractError, match=r"`x_hat` is bfloat16 \[16, 2\], and the run computes in float32"
    ):
        trained.check()


@pytest.fixture
def aot_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of torch.compile but the generation of code, which takes a minute."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(networks, "COMPILER", "aot_eager")


@pytest.mark.usefixtures("aot_eager")
@pytest.mark.parametrize("settings", [{}, {"precision": "bfloat16"}, {"ema": 0.9}])
def test_compiled_networks_train_as_others_do(settings: dict[str, Any]) -> None:
    compiled, plain = (trainer(VAE, model="vae", compile=c, **settings) for c in (True, False))
    of_compiled, of_plain = train(compiled), train(plain)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2, "encoder and decoder"
    np.testing.assert_allclose(of_compiled.values, of_plain.values, rtol=1e-4)
    assert weights(compiled).keys() == weights(plain).keys()


@pytest.mark.usefixtures("aot_eager")
def test_a_gradient_that_cannot_be_differentiated_is_found_before_training() -> None:
    trained = trainer(WGAN_GP, compile=True)
    with pytest.raises(ContractError, match=r"torch\.compile cannot differentiate a network's gradient"):
        trained.check()


@pytest.mark.slow
def test_generated_code_trains_as_the_networks_do() -> None:
    compiled, plain = (trainer(VAE, model="vae", compile=c) for c in (True, False))
    np.testing.assert_allclose(train(compiled).values, train(plain).values, rtol=1e-3)
