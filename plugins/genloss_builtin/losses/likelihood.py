"""Negative log-densities −log p(x) in nats, summed over the event; see `categorical` for discrete data."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Laplace

import genloss
from genloss_builtin.losses._gaussian import log_density
from genloss_builtin.losses._reduce import reduce_event


@genloss.loss(family="likelihood", unit="nats", source="Kingma & Welling 2014, arXiv:1312.6114")
def gaussian_nll(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    x_logvar: Float[Tensor, "batch *event"] | None = None,
    *,
    variance: Annotated[float, Gt(0)] = 1.0,
) -> Float[Tensor, "batch"]:
    """Negative log-density of a Gaussian decoder, including constants.

    `torch.nn.functional.gaussian_nll_loss` is not used: it synchronises with the host and replaces variances
    below 1e-6. Here the minimum is the square root of the dtype's smallest normal number, 1e-19 in float32.

    Formula:
        ½ Σ [log 2πσ² + (x − x̂)² / σ²], σ² = variance · exp(x_logvar)

    Quantities:
        x: `[batch, *event]`, the data.
        x_hat: `[batch, *event]`, x̂: the mean of the Gaussian.
        x_logvar: `[batch, *event]`, its log variance; 0 if not given.

    Options:
        variance: default 1, in the data's unit squared; multiplies exp(x_logvar) if that is given.

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
    return -reduce_event(log_density(x, x_hat, x_logvar + math.log(variance)))


@genloss.loss(family="likelihood", unit="nats", source="Laplace distribution")
def laplace_nll(
    x: Float[Tensor, "batch *event"],
    x_hat: Float[Tensor, "batch *event"],
    *,
    scale: Annotated[float, Gt(0)] = 1.0,
) -> Float[Tensor, "batch"]:
    """Negative log-density of a Laplace decoder: the absolute error plus constants.

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

    A negative log-probability if x is 0 or 1; for values in between, see `continuous_bernoulli_nll`.

    Formula:
        Σ [softplus(l) − x l]

    Quantities:
        x: `[batch, *event]`, the data, in [0, 1].
        x_logits: `[batch, *event]`, l: logits of the probability of a 1.

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, appendix C.1.

    Example:
        Logits of 0 give ln 2 per dimension, here 2 ln 2.

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

    The normaliser is computed from the logits. `torch.distributions.ContinuousBernoulli` is not used: it
    clamps probabilities, which costs 0.6 nats and the normaliser's gradient at a logit of 30 in float32.

    Formula:
        Σ [softplus(l) − x l − log C], log C = log(l / tanh(l/2)), which is log 2 at l = 0

    Quantities:
        x: `[batch, *event]`, the data, in [0, 1].
        x_logits: `[batch, *event]`, l: logits of the parameter λ.

    Source:
        Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845.

    Example:
        λ = ¾ at 1: the density is 3/2 ln 3.

        >>> import torch
        >>> from genloss_builtin.losses.likelihood import continuous_bernoulli_nll
        >>> continuous_bernoulli_nll(x=torch.ones(1, 1), x_logits=torch.tensor([[3.0]]).log())
        tensor([-0.4995])
    """
    # Near 0, use l (½ − x) + log(sinh(h) / h) with h = l/2, by its series: the quotient is 0/0 at 0, and the
    # log 2 of both parts of the formula cancels. Each branch sees only its own elements, so that neither puts
    # a NaN into the other's gradient.
    near = x_logits.abs() < 0.2
    far = x_logits.masked_fill(near, 1.0)
    small = x_logits.masked_fill(~near, 0.0)
    square = small.square() / 4
    series = square * (1 / 6 - square * (1 / 180 - square * (1 / 2835 - square * (1 / 37800))))
    cross_entropy = F.binary_cross_entropy_with_logits(far, x, reduction="none")
    log_normaliser = (far / (far / 2).tanh()).log()
    return reduce_event(torch.where(near, small * (0.5 - x) + series, cross_entropy - log_normaliser))


@genloss.loss(family="likelihood", unit="nats", source="Dinh et al. 2017, arXiv:1605.08803")
def normalizing_flow_nll(
    z: Float[Tensor, "batch *latent"], logdet: Float[Tensor, "batch"]
) -> Float[Tensor, "batch"]:
    """Negative log-density of the data under a normalising flow with a standard normal base.

    Formula:
        −log N(z; 0, I) − log |det ∂z/∂x|

    Quantities:
        z: `[batch, *latent]`, the image of x under the flow, with as many elements as x.
        logdet: `[batch]`, log |det ∂z/∂x|.

    Source:
        Dinh et al. 2017, arXiv:1605.08803.

    Example:
        The identity at 0: ½ log 2π per dimension, here log 2π.

        >>> import torch
        >>> from genloss_builtin.losses.likelihood import normalizing_flow_nll
        >>> normalizing_flow_nll(z=torch.zeros(1, 2), logdet=torch.zeros(1))
        tensor([1.8379])
    """
    return reduce_event(0.5 * (z.square() + math.log(2 * math.pi))) - logdet
