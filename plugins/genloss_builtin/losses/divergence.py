"""Kullback-Leibler divergences of a posterior from its prior, in nats. β is the term's weight."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._digits import expm1_residual, log_of_share
from genloss_builtin.losses._reduce import reduce_event


@genloss.loss(family="divergence", unit="nats", source="Kingma & Welling 2014, arXiv:1312.6114")
def gaussian_kl(
    mu: Float[Tensor, "batch *latent"],
    logvar: Float[Tensor, "batch *latent"],
    prior_mu: Float[Tensor, "batch *latent"] | None = None,
    prior_logvar: Float[Tensor, "batch *latent"] | None = None,
    *,
    free_bits: Annotated[float, Ge(0)] = 0.0,
) -> Float[Tensor, "batch"]:
    """KL(q‖p) of two diagonal Gaussians; the prior is N(0, I) unless the model offers another.

    Free bits apply to each latent dimension of each example. Kingma et al. 2016 bound the batch mean of KL_j
    instead, max(λ, mean KL_j), which couples the examples and is not defined for a single one; the value here
    is defined, and never smaller.

    Formula:
        Σ_j max(λ, KL_j),
        KL_j = ½ [logvar_p − logvar + (exp(logvar) + (mu − mu_p)²) / exp(logvar_p) − 1]

    Quantities:
        mu: `[batch, *latent]`, the posterior's mean.
        logvar: `[batch, *latent]`, its log variance.
        prior_mu: `[batch, *latent]`, mu_p: the prior's mean; 0 if not given.
        prior_logvar: `[batch, *latent]`, logvar_p: its log variance; 0 if not given.

    Options:
        free_bits: λ, default 0, in nats per latent dimension.

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, appendix B; free bits: Kingma et al. 2016, arXiv:1606.04934.

    Example:
        KL(N(1, e)‖N(0, 1)) = (e − 1)/2.

        >>> import torch
        >>> from genloss_builtin.losses.divergence import gaussian_kl
        >>> gaussian_kl(mu=torch.ones(1, 1), logvar=torch.ones(1, 1))
        tensor([0.8591])
    """
    distance = mu if prior_mu is None else mu - prior_mu
    log_ratio = logvar
    if prior_logvar is not None:
        log_ratio = logvar - prior_logvar
        # Divide before squaring, by a number that is never 0, so that equal means have distance 0 however
        # small the variance.
        greatest = math.log(torch.finfo(mu.dtype).max) - 1
        distance = distance * (prior_logvar / -2).clamp_max(greatest).exp()
    kl = 0.5 * (expm1_residual(log_ratio) + distance.square())
    return reduce_event(kl.clamp_min(free_bits))


@genloss.loss(family="divergence", unit="nats", source="Kullback & Leibler 1951")
def categorical_kl(
    posterior_logits: Float[Tensor, "batch *variables classes"],
    prior_logits: Float[Tensor, "batch *variables classes"] | None = None,
) -> Float[Tensor, "batch"]:
    """KL(p‖q) of categorical distributions; the prior is uniform unless the model offers another.

    Formula:
        Σ p (log p − log q), p = softmax(posterior_logits), q = softmax(prior_logits)

    Quantities:
        posterior_logits: `[batch, *variables, classes]`, logits of the posterior p of each latent variable;
            −∞ for a class of probability 0.
        prior_logits: `[batch, *variables, classes]`, logits of the prior q; uniform if not given.

    Source:
        Kullback & Leibler 1951.

    Example:
        A posterior with all mass on one class, against two equally likely classes: ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.divergence import categorical_kl
        >>> categorical_kl(posterior_logits=torch.tensor([[[100.0, -100.0]]]))
        tensor([0.6931])
    """
    classes = posterior_logits.shape[-1]
    # Logarithms of p and q relative to the uniform distribution: near 0 where the logits are.
    log_p = log_of_share(posterior_logits, -1)
    log_q = torch.zeros_like(log_p) if prior_logits is None else log_of_share(prior_logits, -1)
    p, q = log_p.exp() / classes, log_q.exp() / classes
    # Σ p log(p/q) = Σ p (exp(t) − 1 − t), t = log(q/p), since both sum to 1: no term is negative, so terms do
    # not cancel. Where p is 0, the term is q.
    t = (log_q - log_p).masked_fill(p == 0, 1.0)
    near = t.abs() < 0.5
    terms = torch.where(near, p * expm1_residual(t.masked_fill(~near, 0.0)), q - p - p * t)
    return reduce_event(terms)


@genloss.loss(family="divergence", unit="nats", source="Kingma & Welling 2014, arXiv:1312.6114")
def monte_carlo_kl(log_qz: Float[Tensor, "batch"], log_pz: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """KL(q‖p) estimated from one sample z of the posterior, if there is no closed form.

    Unbiased; a single value may be negative.

    Formula:
        log q(z|x) − log p(z)

    Quantities:
        log_qz: `[batch]`, log-density of z under the posterior it was drawn from.
        log_pz: `[batch]`, log-density of z under the prior.

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, section 2.3.

    Example:
        >>> import torch
        >>> from genloss_builtin.losses.divergence import monte_carlo_kl
        >>> monte_carlo_kl(log_qz=torch.tensor([-1.0]), log_pz=torch.tensor([-3.0]))
        tensor([2.])
    """
    return log_qz - log_pz


@genloss.loss(family="divergence", unit="nats", source="Burgess et al. 2018, arXiv:1804.03599")
def capacity_kl(
    mu: Float[Tensor, "batch *latent"],
    logvar: Float[Tensor, "batch *latent"],
    *,
    gamma: Annotated[float, Ge(0)] = 30.0,
    capacity: Annotated[float, Ge(0)] = 0.0,
) -> Float[Tensor, "batch"]:
    """Distance of the KL divergence from a capacity, which is usually increased on a schedule.

    The distance is taken for each example, as in the paper; that of the batch's mean KL, which many
    implementations use, is never larger. The paper trains with γ = 1000 and a capacity that rises to 25 nats.

    Formula:
        γ |KL − C|, KL as in `gaussian_kl` with the prior N(0, I)

    Quantities:
        mu: `[batch, *latent]`, the posterior's mean.
        logvar: `[batch, *latent]`, its log variance.

    Options:
        gamma: γ, default 30, the weight of the distance.
        capacity: C, default 0, in nats per example.

    Source:
        Burgess et al. 2018, arXiv:1804.03599.

    Example:
        A KL of ½ and a capacity of 2: 30 · 1.5.

        >>> import torch
        >>> from genloss_builtin.losses.divergence import capacity_kl
        >>> capacity_kl(mu=torch.ones(1, 1), logvar=torch.zeros(1, 1), capacity=2.0)
        tensor([45.])
    """
    return gamma * (gaussian_kl(mu=mu, logvar=logvar) - capacity).abs()
