"""Objectives of a variational autoencoder beyond a likelihood plus a divergence, in nats."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss_builtin.losses._digits import log_mean_exp
from genloss_builtin.losses._gaussian import log_density
from genloss_builtin.losses._reduce import rows


@genloss.loss(family="divergence", unit="nats", source="Burda et al. 2016, arXiv:1509.00519")
def iwae(log_weights: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch"]:
    """The importance-weighted bound on −log p(x); a complete objective, used without a likelihood or KL term.

    In expectation never below −log p(x), and tighter with more samples. With one sample it is the negative
    ELBO.

    Formula:
        −log (1/K) Σ_k w_k, w_k = p(x, z_k) / q(z_k|x)

    Quantities:
        log_weights: `[batch, samples]`, log p(x, z_k) − log q(z_k|x) for K samples of the posterior.

    Source:
        Burda et al. 2016, arXiv:1509.00519.

    Example:
        Weights of 1 and 3: −ln 2.

        >>> import torch
        >>> from genloss_builtin.losses.variational import iwae
        >>> iwae(log_weights=torch.tensor([[1.0, 3.0]]).log())
        tensor([-0.6931])
    """
    return -log_mean_exp(log_weights, 1)


@genloss.loss(family="divergence", unit="nats", source="Chen et al. 2018, arXiv:1802.04942")
def total_correlation(
    z: Float[Tensor, "batch *latent"],
    mu: Float[Tensor, "batch *latent"],
    logvar: Float[Tensor, "batch *latent"],
    dataset_size: Annotated[int, Gt(0)],
    *,
    alpha: Annotated[float, Ge(0)] = 1.0,
    beta: Annotated[float, Ge(0)] = 6.0,
    gamma: Annotated[float, Ge(0)] = 1.0,
) -> Float[Tensor, ""]:
    """The β-TCVAE's divergence: index-code mutual information, total correlation, and dimension-wise KL.

    The posterior is a diagonal Gaussian and the prior N(0, I). The aggregate posterior q(z) is estimated from
    the batch by the paper's minibatch weighting, which is biased, and meaningless for a batch of one example.
    Batch-coupled: every example is compared with all posteriors of the batch. With α = β = γ = 1 it is the
    batch mean of `monte_carlo_kl`, since the estimates cancel.

    Formula:
        mean_i [α (log q(z_i|x_i) − log q(z_i)) + β (log q(z_i) − Σ_d log q(z_id)) + γ Σ_d (log q(z_id) −
        log p(z_id))],
        log q(z_i) = log Σ_j q(z_i|x_j) − log NM, and log q(z_id) likewise, j = 1 … M

    Quantities:
        z: `[batch, *latent]`, a sample of each posterior.
        mu: `[batch, *latent]`, the posteriors' means.
        logvar: `[batch, *latent]`, their log variances.
        dataset_size: N, the number of training examples; M is the batch size.

    Options:
        alpha: α, default 1, the weight of the mutual information.
        beta: β, default 6, the weight of the total correlation.
        gamma: γ, default 1, the weight of the dimension-wise KL.

    Source:
        Chen et al. 2018, arXiv:1802.04942.

    Example:
        All posteriors equal to the prior: the estimates are log N for the mutual information, log N for the
        total correlation of two dimensions, −2 log N for their KL; here (1 + 6 − 2) ln 4.

        >>> import torch
        >>> from genloss_builtin.losses.variational import total_correlation
        >>> z, zero = torch.randn(4, 2), torch.zeros(4, 2)
        >>> total_correlation(z=z, mu=zero, logvar=zero, dataset_size=4)
        tensor(6.9315)
    """
    z, mu, logvar = rows(z), rows(mu), rows(logvar)
    # [i, j, dimension]: log-density of z_i under the posterior of x_j.
    log_q = log_density(z[:, None], mu[None], logvar[None])
    log_nm = math.log(dataset_size * len(z))
    joint = log_q.sum(2)
    log_qz = joint.logsumexp(1) - log_nm
    log_qz_dimensions = (log_q.logsumexp(1) - log_nm).sum(1)
    log_pz = log_density(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
    mutual_information = joint.diagonal() - log_qz
    correlation = log_qz - log_qz_dimensions
    dimensions_kl = log_qz_dimensions - log_pz
    return (alpha * mutual_information + beta * correlation + gamma * dimensions_kl).mean()
