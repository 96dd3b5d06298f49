"""Negative log-likelihoods, in nats, summed over the event: −log p(x) under the model's density."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.distributions import Laplace

import genloss
from genloss_builtin.losses._reduce import Reduce, reduce_event

_IGNORED = -100  # cross_entropy gives 0 for this target, whatever the logits there


def _classes() -> Mapping[str, Tensor]:
    return {
        "logits": torch.randn(4, 6, 5),
        "targets": torch.randint(5, (4, 6)),
        "mask": torch.arange(6) < torch.tensor([[1], [3], [5], [6]]),
    }


@genloss.loss(
    family="likelihood", unit="nats", source="Szegedy et al. 2016, arXiv:1512.00567", example=_classes
)
def categorical_nll(
    logits: Float[Tensor, "batch *positions vocabulary"],
    targets: Int[Tensor, "batch *positions"],
    mask: Shaped[Tensor, "batch *positions"] | None = None,
    *,
    label_smoothing: Annotated[float, Ge(0), Le(1)] = 0.0,
    reduce: Reduce = "sum",
) -> Float[Tensor, "batch"]:
    """Cross-entropy of the next token, or of a class.

    With label smoothing ε the target is (1 − ε)·onehot + ε/V, as in `torch.nn.functional.cross_entropy`;
    it is a log-density only at ε = 0.

    Formula:
        Σ_t m_t [−(1 − ε) log p(x_t) − (ε/V) Σ_v log p(v)], p = softmax(logits)

    Quantities:
        logits: `[batch, *positions, vocabulary]`, unnormalised log-probabilities; `[batch, vocabulary]`
            for one class an example.
        targets: `[batch, *positions]`, what came, in 0 … V − 1; anything where the mask is 0.
        mask: `[batch, *positions]`, m, bool or float: which positions count, or with what
            weight; all where there is none.

    Options:
        label_smoothing: ε, default 0, a probability.
        reduce: default sum, over the positions; mean divides by Σ_t m_t instead, in nats per token.
            An example without any position that counts has the value 0.

    Source:
        Maximum likelihood; label smoothing: Szegedy et al. 2016, arXiv:1512.00567.

    Example:
        Uniform logits give ln V a token, here 3 ln 4.

        >>> import torch
        >>> from genloss_builtin.losses.likelihood import categorical_nll
        >>> categorical_nll(logits=torch.zeros(1, 3, 4), targets=torch.tensor([[0, 3, 1]]))
        tensor([4.1589])
    """
    targets = targets.long()
    if mask is not None:
        targets = targets.masked_fill(mask == 0, _IGNORED)
    nll = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        targets.reshape(-1),
        ignore_index=_IGNORED,
        reduction="none",
        label_smoothing=label_smoothing,
    ).view_as(targets)
    if mask is None:
        return reduce_event(nll, reduce)
    mask = mask.to(nll.dtype)
    total = reduce_event(nll * mask)
    if reduce == "sum":
        return total
    count = reduce_event(mask)
    return total / count.masked_fill(count == 0, 1)


@genloss.loss(family="likelihood", unit="nats", source="Kingma & Welling 2014, arXiv:1312.6114")
def gaussian_nll(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    x_logvar: Float[Tensor, "batch *event"] | None = None,
    *,
    variance: Annotated[float, Gt(0)] = 1.0,
) -> Float[Tensor, "batch"]:
    """Negative log-density of a Gaussian decoder, constants included.

    `torch.nn.functional.gaussian_nll_loss` is not called: it reads the host and replaces variances below
    1e-6. Here the least variance is the dtype's smallest normal number.

    Formula:
        ½ Σ [log 2πσ² + (x − x̂)² / σ²], σ² = variance · exp(x_logvar)

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: the mean of the Gaussian.
        x_logvar: `[batch, *event]`, its log variance; 0 where there is none.

    Options:
        variance: default 1, in the data's unit squared; a factor of exp(x_logvar) where there is one.

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, appendix C.2.

    Example:
        N(0, 4) at 1: ½ (log 8π + ¼).

        >>> import torch
        >>> from genloss_builtin.losses.likelihood import gaussian_nll
        >>> gaussian_nll(x=torch.ones(1, 1), x_hat=torch.zeros(1, 1), variance=4.0)
        tensor([1.7371])
    """
    if x_logvar is None:
        x_logvar = torch.zeros_like(x_hat)
    logvar = (x_logvar + math.log(variance)).clamp_min(math.log(torch.finfo(x_hat.dtype).tiny))
    return reduce_event(0.5 * (math.log(2 * math.pi) + logvar + (x - x_hat).square() * (-logvar).exp()))


@genloss.loss(family="likelihood", unit="nats", source="Laplace distribution")
def laplace_nll(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    *,
    scale: Annotated[float, Gt(0)] = 1.0,
) -> Float[Tensor, "batch"]:
    """Negative log-density of a Laplace decoder: the absolute error with its constants.

    Formula:
        Σ [log 2b + |x − x̂| / b]

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: the location of the Laplace distribution.

    Options:
        scale: b, default 1, in the data's unit.

    Source:
        The density of the Laplace distribution, `torch.distributions.Laplace`.

    Example:
        At its centre: log 2b, here log 4.

        >>> import torch
        >>> from genloss_builtin.losses.likelihood import laplace_nll
        >>> laplace_nll(x=torch.zeros(1, 1), x_hat=torch.zeros(1, 1), scale=2.0)
        tensor([1.3863])
    """
    density = Laplace(x_hat, scale, validate_args=False)
    return reduce_event(-density.log_prob(x))  # type: ignore[no-untyped-call]


@genloss.loss(family="likelihood", unit="nats", source="Kingma & Welling 2014, arXiv:1312.6114")
def bernoulli_nll(
    x: Annotated[Float[Tensor, "batch *event"], Ge(0), Le(1)], x_logits: Float[Tensor, "batch *event"]
) -> Float[Tensor, "batch"]:
    """Binary cross-entropy of a Bernoulli decoder, from its logits.

    A log-probability where x is 0 or 1; for values between, see `continuous_bernoulli_nll`.

    Formula:
        Σ [softplus(l) − x l]

    Quantities:
        x: `[batch, *event]`, the data, in [0, 1].
        x_logits: `[batch, *event]`, l: logits of the probability of a 1.

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, appendix C.1.

    Example:
        Logits of 0 give ln 2 a dimension, here 2 ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.likelihood import bernoulli_nll
        >>> bernoulli_nll(x=torch.tensor([[0.0, 1.0]]), x_logits=torch.zeros(1, 2))
        tensor([1.3863])
    """
    return reduce_event(F.binary_cross_entropy_with_logits(x_logits, x, reduction="none"))


@genloss.loss(family="likelihood", unit="nats", source="Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845")
def continuous_bernoulli_nll(
    x: Annotated[Float[Tensor, "batch *event"], Ge(0), Le(1)], x_logits: Float[Tensor, "batch *event"]
) -> Float[Tensor, "batch"]:
    """Negative log-density of a continuous Bernoulli decoder, for data in [0, 1].

    The normaliser is written in the logits. `torch.distributions.ContinuousBernoulli` is not called: it
    clamps probabilities, which costs 0.6 nats and the normaliser's gradient at a logit of 30 in float32.

    Formula:
        Σ [softplus(l) − x l − log C], log C = log(l / tanh(l/2)), which is log 2 at l = 0

    Quantities:
        x: `[batch, *event]`, the data, in [0, 1].
        x_logits: `[batch, *event]`, l: logits of the parameter λ.

    Source:
        Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845.

    Example:
        λ = ½ is the uniform density on [0, 1].

        >>> import torch
        >>> from genloss_builtin.losses.likelihood import continuous_bernoulli_nll
        >>> continuous_bernoulli_nll(x=torch.tensor([[0.2, 0.7]]), x_logits=torch.zeros(1, 2))
        tensor([0.])
    """
    cross_entropy = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none")
    return reduce_event(cross_entropy - _continuous_bernoulli_log_normaliser(x_logits))


def _continuous_bernoulli_log_normaliser(logits: Tensor) -> Tensor:
    """log 2 + log(h / tanh h) with h = l/2: its series near 0, where the quotient is 0/0."""
    h = logits / 2
    near = h.abs() < 0.1
    # Each branch sees only its own numbers, so that neither puts a NaN into the other's gradient.
    far = h.masked_fill(near, 1.0)
    square = h.masked_fill(~near, 0.0).square()
    series = square * (1 / 3 - square * (7 / 90 - square * (62 / 2835 - square * (127 / 18900))))
    return math.log(2) + torch.where(near, series, (far / far.tanh()).log())


@genloss.loss(family="likelihood", unit="nats", source="Dinh et al. 2017, arXiv:1605.08803")
def normalizing_flow_nll(
    z: Float[Tensor, "batch *latent"], logdet: Float[Tensor, "batch"]
) -> Float[Tensor, "batch"]:
    """Negative log-density of the data under a normalising flow with a standard normal base.

    Formula:
        −log N(z; 0, I) − log |det ∂z/∂x|

    Quantities:
        z: `[batch, *latent]`, the image of x under the flow, with as many numbers as x.
        logdet: `[batch]`, log |det ∂z/∂x|.

    Source:
        Dinh et al. 2017, arXiv:1605.08803.

    Example:
        The identity at 0: ½ log 2π a dimension, here log 2π.

        >>> import torch
        >>> from genloss_builtin.losses.likelihood import normalizing_flow_nll
        >>> normalizing_flow_nll(z=torch.zeros(1, 2), logdet=torch.zeros(1))
        tensor([1.8379])
    """
    return reduce_event(0.5 * (z.square() + math.log(2 * math.pi))) - logdet


@genloss.loss(family="likelihood", unit="1", source="Chowdhery et al. 2022, arXiv:2204.02311")
def z_loss(
    logits: Float[Tensor, "batch *positions vocabulary"], *, reduce: Reduce = "sum"
) -> Float[Tensor, "batch"]:
    """Keeps the softmax's normaliser near 1: the square of its logarithm.

    PaLM adds it to the cross-entropy with a weight of 1e-4.

    Formula:
        Σ_t log² Z_t, Z_t = Σ_v exp(logits_tv)

    Quantities:
        logits: `[batch, *positions, vocabulary]`, unnormalised log-probabilities.

    Options:
        reduce: default sum, over the positions; or mean.

    Source:
        Chowdhery et al. 2022, arXiv:2204.02311, section 5.

    Example:
        Zero logits: (ln V)², here (ln 4)².

        >>> import torch
        >>> from genloss_builtin.losses.likelihood import z_loss
        >>> z_loss(logits=torch.zeros(1, 4))
        tensor([1.9218])
    """
    return reduce_event(logits.logsumexp(-1).square(), reduce)
