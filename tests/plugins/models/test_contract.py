"""What every built-in model promises, whatever it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, get_origin

import pytest
import safetensors.torch
import torch
from jaxtyping import jaxtyped
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import genloss
from genloss.contracts.model import ModelDefinition
from genloss_builtin.models.autoencoder import Autoencoder
from genloss_builtin.models.autoregressive import Autoregressive
from genloss_builtin.models.diffusion import Diffusion
from genloss_builtin.models.flow_matching import FlowMatching
from genloss_builtin.models.gan import GAN
from genloss_builtin.models.language import Language
from genloss_builtin.models.normalizing_flow import NormalizingFlow
from genloss_builtin.models.vae import VAE
from genloss_builtin.models.vqvae import VQVAE

DIGITS = genloss.DataSpec((1, 8, 8), "image", 1347, value_range=(0.0, 1.0), vocabulary=17)
LARGE = genloss.DataSpec((1, 28, 28), "image", 100, value_range=(0.0, 1.0), vocabulary=2)
COLOUR = genloss.DataSpec((3, 9, 13), "image", 100, value_range=(-1.0, 1.0), vocabulary=4)
POINTS = genloss.DataSpec((2,), "points", 100)
BOUNDED = genloss.DataSpec((3,), "points", 100, value_range=(-2.0, 5.0))
TOKENS = genloss.DataSpec((12,), "tokens", 100, vocabulary=5)

GLOSSARY = {
    "x", "x_range", "dataset_size", "x_hat", "x_logits", "x_logvar", "mu", "logvar", "z", "z_prior",
    "log_qz", "log_pz",
    "logits", "targets", "real", "fake", "real_logits", "fake_logits", "real_features", "fake_features",
    "real_gradient", "fake_gradient", "interpolated_gradient", "log_weights", "z_e", "z_q", "logdet",
    "hidden", "output_weight",
    "noise", "t", "alpha", "sigma", "snr", "prediction", "target", "parameterization", "score", "velocity",
    "velocity_target",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    model: type[genloss.Model]
    data: genloss.DataSpec
    options: dict[str, Any] = field(default_factory=dict)

    def build(self) -> genloss.Model:
        torch.manual_seed(0)
        return ModelDefinition(self.model).build(self.data, **self.options)

    def batch(self, size: int = 5) -> dict[str, Tensor]:
        torch.manual_seed(1)
        data = self.data
        if data.kind == "tokens":
            return {"x": torch.randint(data.vocabulary, (size, *data.event_shape))}
        if data.value_range is None:
            return {"x": torch.randn(size, *data.event_shape)}
        low, high = data.value_range
        if data.vocabulary is None:
            return {"x": torch.rand(size, *data.event_shape) * (high - low) + low}
        levels = torch.randint(data.vocabulary, (size, *data.event_shape))
        return {"x": levels * (high - low) / (data.vocabulary - 1) + low}

    def __str__(self) -> str:
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.model.name}-{'x'.join(map(str, self.data.event_shape))}-{options or 'defaults'}"


SMALL_CONV = {"network": "conv", "hidden": (6, 8)}
CASES = [
    *(Case(model, DIGITS) for model in (Autoencoder, VAE, GAN, Autoregressive, NormalizingFlow, VQVAE)),
    *(Case(model, POINTS) for model in (Autoencoder, VAE, GAN, NormalizingFlow, VQVAE)),
    *(
        Case(model, data, SMALL_CONV)
        for model in (Autoencoder, VAE, GAN, VQVAE)
        for data in (DIGITS, LARGE, COLOUR)
    ),
    *(Case(Autoregressive, data, SMALL_CONV) for data in (DIGITS, COLOUR)),
    Case(VAE, DIGITS, {"likelihood": "bernoulli", "latent_dim": 3, "hidden": (9,)}),
    Case(VAE, DIGITS, {"likelihood": "bernoulli", **SMALL_CONV}),
    Case(VAE, POINTS, {"variance": "learned", "latent_dim": 1}),
    Case(VAE, COLOUR, {"variance": "learned", **SMALL_CONV}),
    Case(VAE, DIGITS, {"likelihood": "bernoulli", "importance_samples": 2}),
    Case(GAN, POINTS, {"latent_dim": 2, "hidden": ()}),
    Case(GAN, COLOUR, {"network": "conv", "hidden": ()}),
    Case(Autoregressive, COLOUR, {"hidden": (50,)}),
    Case(Autoregressive, TOKENS, {"hidden": (7, 9)}),
    Case(Language, TOKENS),
    Case(Language, TOKENS, {"width": 6, "layers": 1, "heads": 1}),
    Case(NormalizingFlow, COLOUR, {"couplings": 3, "hidden": (9,)}),
    Case(NormalizingFlow, BOUNDED, {"couplings": 1, "hidden": ()}),
    Case(VQVAE, POINTS, {"codes": 3, "code_dim": 1, "latents": 2, "hidden": ()}),
    Case(VQVAE, COLOUR, {"network": "conv", "hidden": ()}),
    *(
        Case(model, data, {"sampling_steps": 3})
        for model in (Diffusion, FlowMatching)
        for data in (DIGITS, POINTS)
    ),
    *(
        Case(model, data, {"sampling_steps": 3, **SMALL_CONV})
        for model in (Diffusion, FlowMatching)
        for data in (LARGE, COLOUR)
    ),
    Case(
        Diffusion,
        BOUNDED,
        {"parameterization": "x0", "schedule": "linear", "sampler": "ddim", "hidden": (7, 9)},
    ),
    Case(Diffusion, POINTS, {"parameterization": "v", "sampling_steps": 1}),
    Case(FlowMatching, BOUNDED, {"sampler": "euler", "sampling_steps": 1, "hidden": (9,)}),
    Case(
        FlowMatching,
        DIGITS,
        {"sampling_steps": 1, "network": "plain_mlp", "activation": "selu", "sigma": 0.1},
    ),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def turns_of(model: genloss.Model, batch: dict[str, Tensor]) -> dict[str, genloss.Turn[Any]]:
    """Each player's turn, with everything needed."""
    return {
        player: turn(model, batch, frozenset(turn.quantities())) for player, turn in model.turns().items()
    }


@every_case
def test_every_quantity_is_in_the_glossary_and_has_a_one_line_docstring(case: Case) -> None:
    for turn in case.build().turns().values():
        for name, quantity in turn.quantities().items():
            assert name in GLOSSARY
            line = quantity.doc.split("\n\n")[0]
            assert line.endswith(".")
            assert "\n" not in line


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_quantity_has_the_shape_and_the_dtype_that_it_announces(case: Case, dtype: torch.dtype) -> None:
    model = case.build().to(dtype)
    x = case.batch()["x"]
    for turn in turns_of(model, {"x": x.to(dtype) if x.is_floating_point() else x}).values():
        with jaxtyped("context"):
            for name, quantity in turn.quantities().items():
                value = getattr(turn, name)
                if get_origin(quantity.annotation) is list:
                    assert all(part.dtype == dtype and len(part) == 5 for part in value), name
                    continue
                assert isinstance(value, quantity.annotation), f"{name}: {value.shape}, not {quantity.shape}"
                if isinstance(value, Tensor):
                    assert not value.is_floating_point() or value.dtype == dtype, name
                    assert value.isfinite().all(), name


@every_case
def test_a_turn_reads_nothing_back_from_the_device(case: Case) -> None:
    class NoHostReads(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            assert function is not torch.ops.aten._local_scalar_dense.default
            return function(*args, **(kwargs or {}))

    model, batch = case.build(), case.batch()
    with NoHostReads():
        for turn in turns_of(model, batch).values():
            for name in turn.quantities():
                getattr(turn, name)


@every_case
def test_a_turn_keeps_what_it_has_computed(case: Case) -> None:
    for turn in turns_of(case.build(), case.batch()).values():
        for name in turn.quantities():
            assert getattr(turn, name) is getattr(turn, name)


@every_case
def test_the_players_have_all_parameters_and_share_none(case: Case) -> None:
    model = case.build()
    assert list(model.players()) == list(model.turns())
    owned = [parameter for player in model.players().values() for parameter in player.parameters()]
    assert len(owned) == len(set(owned))
    assert set(owned) == set(model.parameters())


@every_case
def test_every_parameter_of_a_player_gets_a_gradient_from_what_the_player_is_offered(case: Case) -> None:
    model = case.build()
    turns = turns_of(model, case.batch())
    for player, module in model.players().items():
        offered = [getattr(turns[player], name) for name in turns[player].quantities()]
        total = sum(q.square().sum() for q in offered if isinstance(q, Tensor) and q.requires_grad)
        for gradient in torch.autograd.grad(total, list(module.parameters())):
            assert gradient.isfinite().all()
            assert gradient.any()


@every_case
def test_it_can_be_built_without_data_or_memory(case: Case) -> None:
    with torch.device("meta"):
        model = ModelDefinition(case.model).build(case.data, **case.options)
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in case.build().state_dict().items()}
    assert all(turn.quantities() for turn in model.turns().values())


@every_case
def test_quantities_and_samples_are_made_on_the_models_device(case: Case) -> None:
    model = case.build().to("meta")
    batch = {name: tensor.to("meta") for name, tensor in case.batch().items()}
    assert model.sample(2).is_meta
    for turn in turns_of(model, batch).values():
        for name in turn.quantities():
            value = getattr(turn, name)
            parts = value if isinstance(value, list) else [value]
            assert all(part.is_meta for part in parts if isinstance(part, Tensor)), name


@every_case
def test_samples_look_like_examples(case: Case) -> None:
    samples = case.build().sample(3)
    assert samples.shape == (3, *case.data.event_shape)
    assert samples.dtype == case.batch()["x"].dtype
    assert not samples.requires_grad
    if case.data.value_range is not None:
        low, high = case.data.value_range
        assert samples.min() >= low
        assert samples.max() <= high


@every_case
def test_samples_follow_the_seed_and_the_stored_weights(case: Case) -> None:
    model = case.build()
    torch.manual_seed(1)
    other = ModelDefinition(case.model).build(case.data, **case.options)
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(model.state_dict())))
    drawn = []
    for drawer, seed in ((model, 2), (other, 2), (other, 3)):
        torch.manual_seed(seed)
        drawn.append(drawer.sample(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])


@every_case
def test_samples_and_likelihoods_have_the_dtype_of_the_parameters(case: Case) -> None:
    model, x = case.build().double(), case.batch()["x"]
    if x.is_floating_point():
        x = x.double()
        assert model.sample(2).dtype == torch.float64
    if hasattr(model, "log_likelihood"):
        values = model.log_likelihood(x)
        assert values.dtype == torch.float64
        assert values.shape == (5,)
        assert values.isfinite().all()
        assert not values.requires_grad


def test_names_are_those_of_the_experiments() -> None:
    names = {case.model.name for case in CASES}
    assert names == {
        "autoencoder",
        "autoregressive",
        "diffusion",
        "flow_matching",
        "gan",
        "language",
        "normalizing_flow",
        "vae",
        "vqvae",
    }


@pytest.mark.parametrize("model", sorted({case.model for case in CASES}, key=str), ids=lambda m: m.name)
def test_options_are_documented_and_their_defaults_valid(model: type[genloss.Model]) -> None:
    definition = ModelDefinition(model)
    for name, option in definition.options.items():
        assert f"    {name}: " in definition.doc
        assert option.validate(option.default) == option.default


@pytest.mark.parametrize("model", [Autoencoder, GAN, VAE], ids=lambda model: model.name)
def test_options_out_of_bounds_are_refused(model: type[genloss.Model]) -> None:
    options = ModelDefinition(model).options
    for name, value in (("latent_dim", 0), ("hidden", [8, 0]), ("hidden", 8), ("network", "cnn")):
        with pytest.raises(ValueError, match="expected"):
            options[name].validate(value)


@pytest.mark.parametrize("model", [Autoencoder, GAN, VAE], ids=lambda model: model.name)
def test_its_parameters_are_of_the_size_that_the_options_say(model: type[genloss.Model]) -> None:
    wide = Case(model, DIGITS, {"hidden": (48, 32), "latent_dim": 7}).build()
    assert {48, 32, 7} <= {size for parameter in wide.parameters() for size in parameter.shape}
    assert math.prod(DIGITS.event_shape) in {
        size for parameter in wide.parameters() for size in parameter.shape
    }
