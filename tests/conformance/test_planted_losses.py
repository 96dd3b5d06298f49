"""One mistake in each loss: the check that is meant for it finds it, and no other does by accident.

`entails` names the further checks that must fail with it, since they ask for something that follows. Mistakes
of public libraries are marked.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss.conformance import checks, outcomes
from tests.conformance.toys import ERROR, documented, failures

Event = Float[Tensor, "batch *event"]
Latent = Float[Tensor, "batch *latent"]
Logits = Float[Tensor, "batch *patches"]
PerExample = Float[Tensor, "batch"]
Scalar = Float[Tensor, ""]

LOGITS = "real_logits=torch.ones(1), fake_logits=torch.full((1,), -0.5)"
FAKE = "fake_logits=torch.full((1,), -0.5)"
SMALLER = "micro-batches are other batches"


@dataclass(frozen=True)
class Planted:
    """A loss with a mistake.

    Attributes:
        loss: the loss.
        caught_by: the check that is meant for it.
        entails: others that must fail as well, with the reason.
        says: a part of the message.
    """

    loss: genloss.Loss[Any]
    caught_by: str
    entails: Mapping[str, str]
    says: str


PLANTED: dict[str, Planted] = {}


def planted(
    caught_by: str,
    example: str = ERROR,
    *,
    says: str = "",
    entails: Mapping[str, str] | None = None,
    want: str | None = None,
    **facts: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Plants a loss; its example is true unless `want` is what the paper says."""

    def plant(function: Callable[..., Any]) -> Callable[..., Any]:
        loss = documented(function, example, want=want, **facts)
        PLANTED[loss.name] = Planted(loss, caught_by, entails or {}, says)
        return function

    return plant


def summed(value: Tensor) -> Tensor:
    """Over the event, which may be one number."""
    return value.unsqueeze(-1).flatten(1).sum(1)


def patch_mean(value: Tensor) -> Tensor:
    return value.unsqueeze(-1).flatten(1).mean(1)


# What a formula does not have.


@planted("raw_logits", LOGITS, says="`real_logits` is 0 at +1e4 and at −1e4")
def tanh_before_the_hinge(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """A public library's."""
    return patch_mean(F.relu(1 - real_logits.tanh()) + F.relu(1 + fake_logits.tanh()))


@planted("raw_logits", FAKE, says="`fake_logits` is 0 at +1e4 and at −1e4")
def sigmoid_before_least_squares(fake_logits: Logits) -> PerExample:
    """A public library's."""
    return patch_mean((fake_logits.sigmoid() - 1).square() / 2)


@planted("raw_logits", FAKE)
def epsilon_in_the_logarithm(fake_logits: Logits) -> PerExample:
    """−log(σ + 1e-8) is finite, and has lost its gradient where the generator needs it."""
    return patch_mean(-(fake_logits.sigmoid() + 1e-8).log())


@planted("smoothing", LOGITS, says="`label_smoothing` of loss `smoothing_by_default` is 0.25 by default")
def smoothing_by_default(
    real_logits: Logits, fake_logits: Logits, *, label_smoothing: float = 0.25
) -> PerExample:
    """A public library's."""
    return patch_mean(F.softplus(-real_logits) + label_smoothing * real_logits + F.softplus(fake_logits))


@planted("example", LOGITS, want="tensor([0.7873])", says="expected tensor([0.7873]), got tensor([0.8873])")
def smoothing_without_an_option(real_logits: Logits, fake_logits: Logits) -> PerExample:
    return patch_mean(F.softplus(-real_logits) + 0.1 * real_logits + F.softplus(fake_logits))


@planted("example", LOGITS, want="tensor([0.7873])", says="expected tensor([0.7873]), got tensor([0.3937])")
def half_of_minimax(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """A public library's."""
    return patch_mean(F.softplus(-real_logits) + F.softplus(fake_logits)) / 2


@planted("example", "fake_logits=torch.full((1,), -1.0)", want="tensor([2.])", says="got tensor([0.7200])")
def leaky_relu_before_least_squares(fake_logits: Logits) -> PerExample:
    """A public library's; an example shows it where its logit is negative."""
    return patch_mean(0.5 * (F.leaky_relu(fake_logits, 0.2) - 1).square())


@planted("micro_batches", says="the gradient by `x` of a batch of 4")
def no_gradient_of_a_single_example(x: Event, x_hat: Event) -> PerExample:
    value = summed((x - x_hat).square())
    return value if len(x) > 1 else value.detach()


@planted("precision", says="expected bfloat16 for bfloat16 quantities, got float32")
def float32_of_bfloat16(x: Event, x_hat: Event) -> PerExample:
    value = summed((x - x_hat).square())
    return value.float() if value.dtype == torch.bfloat16 else value


@planted("options", "x=torch.ones(1, 2), x_hat=torch.zeros(1, 2)", says="has no effect on its value")
def a_list_without_effect(x: Event, x_hat: Event, *, scales: tuple[float, ...] = (1.0, 2.0)) -> PerExample:
    return summed((x - x_hat).square())


@planted("example", "x=torch.ones(1, 2), x_hat=torch.ones(1, 2)", says="shows but zeros")
def an_example_without_a_number(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square())


@planted("event_sum", unit="nats", says="for two equal halves of `*event`")
def mean_over_the_event(x: Event, x_hat: Event) -> PerExample:
    """Many tutorials': then the reconstruction's weight against the KL depends on the image's size."""
    return (x - x_hat).square().flatten(1).mean(1) / 2


@planted("event_sum", unit="data", says="for two equal halves of `*event`")
def mean_squared_error(x: Event, x_hat: Event) -> PerExample:
    return (x - x_hat).square().flatten(1).mean(1)


@planted("repeated_samples", "log_weights=torch.tensor([[0.5, 0.5]])", unit="nats")
def bound_above_the_likelihood(log_weights: Float[Tensor, "batch samples"]) -> PerExample:
    """An IWAE without its −log K: a public library logged such a bound."""
    return -log_weights.logsumexp(1)


# What one example knows of the others.


@planted(
    "independence",
    "interpolated_gradient=torch.tensor([[3.0, 4.0]])",
    entails={"repetition": "the batch's norm grows with it", "micro_batches": SMALLER},
    says="whatever the others are",
)
def one_norm_for_the_batch(interpolated_gradient: Event) -> PerExample:
    """A public library's gradient penalty."""
    return (interpolated_gradient.norm() - 1).square().expand(len(interpolated_gradient))


@planted("independence", "real=torch.ones(1, 2), fake=torch.zeros(1, 2)", says="share their noise")
def one_epsilon_for_the_batch(real: Event, fake: Event) -> PerExample:
    """A public library's interpolation."""
    epsilon = torch.rand(1, dtype=real.dtype, device=real.device)
    return summed((epsilon * real + (1 - epsilon) * fake).square())


@planted("permutation", entails={"micro_batches": SMALLER}, says="in the order")
def signed_by_its_place(x: Event, x_hat: Event) -> PerExample:
    sign = 1 + torch.arange(len(x), device=x.device) % 2
    return sign.to(x.dtype) * summed((x - x_hat).square())


@planted(
    "repetition",
    "z_e=torch.ones(1, 3), z_q=torch.zeros(1, 3)",
    entails={"micro_batches": SMALLER},
    stop_gradient=("z_q",),
    says="the same batch repeated twice",
)
def grows_with_the_batch(z_e: Latent, z_q: Latent) -> PerExample:
    """A public library's vector quantisation."""
    return len(z_e) * summed((z_e - z_q.detach()).square())


@planted("repetition", says="take means over the batch, not sums")
def sum_over_the_batch(x: Event, x_hat: Event) -> Scalar:
    return (x - x_hat).square().sum()


@planted("value", says="must return one value per example, shape [4], got float64 []")
def mean_over_the_batch(x: Event, x_hat: Event) -> PerExample:
    """The default of torch.nn; no other check makes sense, and none is run."""
    return F.mse_loss(x, x_hat)


@planted("value", "logits=torch.zeros(1, 3)", says="got float64 [4, 2, 3]")
def value_per_position(logits: Float[Tensor, "batch *positions"]) -> PerExample:
    return logits.square() + 1


# Numbers.


@planted("edge_values", FAKE, says="expected a finite value at")
def logarithm_of_a_sigmoid(fake_logits: Logits) -> PerExample:
    return patch_mean(-fake_logits.sigmoid().log())


@planted(
    "edge_values", "x_hat=torch.tensor([[3.0, 4.0]])", says="expected a finite gradient by `x_hat` at zeros"
)
def root_without_a_slope(x_hat: Event) -> PerExample:
    return summed(x_hat.square()).sqrt()


@planted(
    "edge_values",
    "mu=torch.ones(1, 2), logvar=torch.zeros(1, 2)",
    says="tiny `logvar`",
    entails={"magnitudes": "a variance near 1 loses its digits as well"},
)
def logarithm_of_a_tiny_variance(mu: Latent, logvar: Latent) -> PerExample:
    variance = (1 + logvar.exp()) - 1
    return summed(mu.square() + variance - variance.log() - 1) / 2


@planted("precision", says="in float32 differs", entails={"magnitudes": "small numbers lose more"})
def digits_lost_to_a_large_sum(x: Event, x_hat: Event) -> PerExample:
    return summed(((1e4 + x) - 1e4 - x_hat).square())


@planted("magnitudes", says="`x` and `x_hat` of about 1e-05 its value in float32 differs")
def log_cosh_by_its_formula_for_large_errors(x: Event, x_hat: Event) -> PerExample:
    """genloss's own, once: at an error of 1e-3 it was 4.6 % low."""
    distance = (x - x_hat).abs()
    return summed(distance + F.softplus(-2 * distance) - math.log(2))


@planted("magnitudes", "mu=torch.ones(1, 2), logvar=torch.zeros(1, 2)", says="`logvar` of about 1e-05")
def divergence_of_nearly_equal_gaussians(mu: Latent, logvar: Latent) -> PerExample:
    return summed(logvar.exp() - 1 - logvar + mu.square()) / 2


@planted("magnitudes", says="`x` ≈ `x_hat`, about 1e-05 apart")
def angle_of_nearly_equal_vectors(x: Event, x_hat: Event) -> PerExample:
    flat = (value.unsqueeze(-1).flatten(1) for value in (x, x_hat))
    return 1 - F.cosine_similarity(*flat, dim=1)


@planted("magnitudes", says="of about 1e-05")
def epsilon_taken_away_again(x: Event, x_hat: Event) -> PerExample:
    """√(d² + 1) − 1, as it is written for large errors."""
    return summed(((x - x_hat).square() + 1).sqrt() - 1)


@planted("dtype", says="depends on torch's default dtype")
def constant_in_the_default_dtype(x: Event, x_hat: Event) -> PerExample:
    return torch.tensor(0.1) * summed((x - x_hat).square())


@planted("device", says="raised")
def tensor_on_the_cpu(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square()) + torch.ones(len(x), dtype=x.dtype, device="cpu")


# Gradients.


@planted("gradients_reach", says="no gradient of loss `detached` reaches `x_hat`")
def detached(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat.detach()).square())


@planted(
    "stop_gradient", stop_gradient=("x",), says="declares `stop_gradient` for `x`, and a gradient reaches it"
)
def forgotten_stop_gradient(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square())


@planted("gradients_reach", stop_gradient=("x",), says="reaches `x_hat`")
def stop_gradient_wider_than_declared(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square()).detach() + 0 * x_hat.sum()


@planted("gradcheck", says="finite differences")
def gradient_counted_twice(x: Event, x_hat: Event) -> PerExample:
    value = summed((x - x_hat).square())
    return 2 * value - value.detach()


class Sine(torch.autograd.Function):
    """With a `backward` that is right once."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.sin()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * ctx.saved_tensors[0].detach().cos()


@planted("gradgradcheck", "real_gradient=torch.ones(1, 2)", says="finite differences")
def differentiated_once(real_gradient: Event) -> PerExample:
    return summed(Sine.apply(real_gradient))


# Purity.


@planted("inputs_unchanged", says="it changes `x` in place")
def in_place(x: Event, x_hat: Event) -> PerExample:
    return summed(x.sub_(x_hat).square())


NO_VALUES = {
    "device": "on `meta` there is nothing to read",
    "vmap": "one value stands for many",
    "compile": "the graph breaks",
}


@planted("host_reads", entails=NO_VALUES, says="on the host, by")
def item(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square()) * (1 if x.sum().item() > -1e9 else 2)


@planted("host_reads", entails=NO_VALUES, says="on the host, by")
def if_tensor(x: Event, x_hat: Event) -> PerExample:
    value = summed((x - x_hat).square())
    return value if (value >= 0).all() else -value


@planted("host_reads", entails=NO_VALUES, says="on the host, by `Tensor.tolist`")
def to_a_list(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square()) * (1 if max(x.detach().flatten().tolist()) > -1e9 else 2)


@planted(
    "host_reads",
    entails={name: NO_VALUES[name] for name in ("device", "vmap")},
    says="on the host, by `aten::index.Tensor`",
)
def mask_as_an_index(x: Event, x_hat: Event) -> PerExample:
    error = (x - x_hat).square()
    return summed(error) + 0 * error[error > 0].sum()


@planted(
    "random_state",
    entails={"compile": "the graph breaks at Python's generator"},
    says="it uses the generator of Python",
)
def order_from_python(x: Event, x_hat: Event) -> PerExample:
    places = list(range(len(x)))
    random.shuffle(places)
    back = sorted(range(len(x)), key=places.__getitem__)
    return summed((x - x_hat).square())[places][back]


@planted(
    "seed",
    entails={
        "compile": "the graph breaks at the seed",
        "vmap": "noise for both batches is drawn at once",
    },
    says="it seeds torch's generator",
)
def own_seed(x: Event, x_hat: Event) -> PerExample:
    torch.manual_seed(0)
    return summed((x - x_hat).square() * torch.rand_like(x[:1]))


@planted(
    "global_state",
    want="tensor([25.])",
    says="precision of matrix products",
)
def changes_a_setting(x: Event, x_hat: Event) -> PerExample:
    torch.set_float32_matmul_precision("high")
    return summed((x - x_hat).square())


# What torch makes of it.


@planted("vmap", says="doesn't match the broadcast shape [2, 4]")
def filled_in_place(x: Event, x_hat: Event) -> PerExample:
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    total += summed((x - x_hat).square())
    return total


@planted("compile", says="raised Unsupported")
def logs_its_shape(x: Event, x_hat: Event) -> PerExample:
    logging.getLogger(__name__).debug("%s", list(x.shape))
    return summed((x - x_hat).square())


# What it says about itself.


@planted("options", says="the option `scale` of loss `idle_option` has no effect")
def idle_option(x: Event, x_hat: Event, *, scale: float = 1.0) -> PerExample:
    return summed((x - x_hat).square())


@planted("options", says="the default of `power` of loss `default_of_another_type` is none of its values")
def default_of_another_type(x: Event, x_hat: Event, *, power: int = 2.5) -> PerExample:  # type: ignore[assignment]
    return summed((x - x_hat).abs().pow(power))


@planted("declaration", unit="bits", says="has the unit `bits`")
def unknown_unit(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square())


@planted("exemptions", exempt={"vmpa": "no reason"}, says="did you mean `vmap`?")
def unknown_exemption(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square())


@planted(
    "vmap", exempt={"vmap": "it is thought to fail"}, says="is declared exempt from `vmap`, and passes it"
)
def needless_exemption(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square())


@planted("docstring", says="has no section `Formula:`")
def no_formula(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square())


PLANTED["no_formula"].loss.doc = PLANTED["no_formula"].loss.doc.replace("Formula:\n    as below\n\n", "")


@planted("docstring", says="does not explain its quantity `x_hat`")
def unexplained_quantity(x: Event, x_hat: Event) -> PerExample:
    return summed((x - x_hat).square())


PLANTED["unexplained_quantity"].loss.doc = PLANTED["unexplained_quantity"].loss.doc.replace(
    "    x_hat: ", "    y: "
)


@planted("docstring", says="does not say that the default of `scale` is 1.0")
def another_default(x: Event, x_hat: Event, *, scale: float = 1.0) -> PerExample:
    return scale * summed((x - x_hat).square())


PLANTED["another_default"].loss.doc = PLANTED["another_default"].loss.doc.replace("default 1.0", "default 2")


# Losses with a state.


@planted("parameters", says="no gradient of loss `idle_parameter` reaches its parameter `bias`")
class IdleParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Event, x_hat: Event) -> PerExample:
        return summed((x - x_hat).square())


@planted("saved_state", says="has another value")
class UnsavedProjection(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = float(torch.rand(()))

    def forward(self, x: Event, x_hat: Event) -> PerExample:
        return self.scale * summed((x - x_hat).square())


@planted("schedules", says="the trainer sets `scale` at each step, and its value does not follow")
class FrozenOption(nn.Module):
    def __init__(self, *, scale: float = 1.0) -> None:
        super().__init__()
        self._scale = scale

    def forward(self, x: Event, x_hat: Event) -> PerExample:
        return self._scale * summed((x - x_hat).square())


@planted(
    "seed",
    entails=dict.fromkeys(
        ("dtype", "gradcheck", "gradgradcheck", "random_state", "compile"),
        "they compare the values of two calls",
    ),
    says="with the same seed once more",
)
class CountsItsCalls(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Event, x_hat: Event) -> PerExample:
        self.calls += 1
        return self.calls * summed((x - x_hat).square())


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_caught(name: str) -> None:
    mistake = PLANTED[name]
    found = failures(mistake.loss)
    assert set(found) == {mistake.caught_by, *mistake.entails}, found
    assert mistake.says in found[mistake.caught_by]


def test_after_a_fundamental_failure_nothing_else_is_run() -> None:
    came = [(o.check.name, o.status) for o in outcomes(checks(PLANTED["mean_over_the_batch"].loss))]
    assert ("value", "failed") in came
    assert {status for _, status in came[came.index(("value", "failed")) + 1 :]} == {"not run"}
