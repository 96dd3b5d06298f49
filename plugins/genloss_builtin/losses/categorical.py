"""Negative log-likelihoods of tokens and classes, and a penalty that bounds their logits."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from jaxtyping import Float, Int, Shaped
from torch import Tensor

import genloss
from genloss_builtin.losses._linear_nll import linear_nll
from genloss_builtin.losses._reduce import Reduce, reduce_event

_IGNORED = torch.iinfo(torch.int64).min
"""Target for which cross_entropy returns 0, whatever the logits; a value that does not occur in data."""


@genloss.loss(family="likelihood", unit="nats", source="Szegedy et al. 2016, arXiv:1512.00567")
def categorical_nll(
    logits: Float[Tensor, "batch *positions vocabulary"],
    targets: Int[Tensor, "batch *positions"],
    mask: Shaped[Tensor, "batch *positions"] | None = None,
    *,
    label_smoothing: Annotated[float, Ge(0), Le(1)] = 0.0,
    reduce: Reduce = "sum",
) -> Float[Tensor, "batch"]:
    """Cross-entropy of tokens, or of a class.

    With label smoothing ε the target is (1 − ε)·onehot + ε/V, as in `torch.nn.functional.cross_entropy`;
    it is a log-density only at ε = 0.

    Formula:
        Σ_t m_t [−(1 − ε) log p(x_t) − (ε/V) Σ_v log p(v)], p = softmax(logits)

    Quantities:
        logits: `[batch, *positions, vocabulary]`, unnormalised log-probabilities; `[batch, vocabulary]`
            for one class per example.
        targets: `[batch, *positions]`, the observed classes, in 0 … V − 1; arbitrary where the mask is 0.
        mask: `[batch, *positions]`, m, bool or float: which positions count, or with what
            weight; all of them if not given.

    Options:
        label_smoothing: ε, default 0, a probability.
        reduce: default sum, over the positions; mean divides by Σ_t m_t instead, in nats per token.
            An example whose positions are all masked has the value 0.

    Source:
        Maximum likelihood; label smoothing: Szegedy et al. 2016, arXiv:1512.00567.

    Example:
        Uniform logits give ln V per token, here 3 ln 4.

        >>> import torch
        >>> from genloss_builtin.losses.categorical import categorical_nll
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
    return _reduce_positions(nll, mask, reduce)


@genloss.loss(
    family="likelihood",
    unit="nats",
    source="Szegedy et al. 2016, arXiv:1512.00567",
    exempt={"gradgradcheck": "the gradient is computed in place to save memory"},
)
def linear_categorical_nll(
    hidden: Float[Tensor, "batch *positions features"],
    output_weight: Float[Tensor, "vocabulary features"],
    targets: Int[Tensor, "batch *positions"],
    mask: Shaped[Tensor, "batch *positions"] | None = None,
    *,
    label_smoothing: Annotated[float, Ge(0), Le(1)] = 0.0,
    reduce: Reduce = "sum",
) -> Float[Tensor, "batch"]:
    """`categorical_nll` of a linear layer's output, without storing the logits of all positions at once.

    Value and gradients are those of `categorical_nll`. Logits are stored for as many positions at a time as
    there are features, or 4 million logits if that is more, and never for more than a quarter of the
    positions; the gradient recomputes them, at the cost of one more matrix product. It can be differentiated
    once.

    `torch.nn.functional.linear_cross_entropy` is not used: its chunked form, new in torch 2.13, has no label
    smoothing and does not work under `torch.func`.

    Formula:
        `categorical_nll` with logits = hidden · output_weightᵀ

    Quantities:
        hidden: `[batch, *positions, features]`, the input of the output layer.
        output_weight: `[vocabulary, features]`, the weight of the output layer, which has no bias.
        targets: `[batch, *positions]`, the observed classes, in 0 … V − 1; arbitrary where the mask is 0.
        mask: `[batch, *positions]`, as in `categorical_nll`.

    Options:
        label_smoothing: ε, default 0, a probability.
        reduce: default sum, over the positions; or mean, as in `categorical_nll`.

    Source:
        Maximum likelihood; label smoothing: Szegedy et al. 2016, arXiv:1512.00567; chunks: Hsu et al. 2024,
        arXiv:2410.10989.

    Example:
        Logits of 0 and ln 3 give the second token probability ¾: ln 4/3.

        >>> import torch
        >>> from genloss_builtin.losses.categorical import linear_categorical_nll
        >>> weight = torch.tensor([[1.0], [3.0]]).log()
        >>> linear_categorical_nll(
        ...     hidden=torch.ones(1, 1), output_weight=weight, targets=torch.tensor([1])
        ... )
        tensor([0.2877])
    """
    targets = targets.long()
    if mask is not None:
        targets = targets.masked_fill(mask == 0, 0)
    nll = linear_nll(
        hidden.reshape(-1, hidden.shape[-1]), output_weight, targets.reshape(-1), label_smoothing
    ).view_as(targets)
    return _reduce_positions(nll, mask, reduce)


def _reduce_positions(nll: Tensor, mask: Tensor | None, reduce: Reduce) -> Tensor:
    """Reduce `[batch, *positions]` to `[batch]` over the unmasked positions."""
    if mask is None:
        return reduce_event(nll, reduce)
    mask = mask.to(nll.dtype)
    total = reduce_event(nll * mask)
    if reduce == "sum":
        return total
    count = reduce_event(mask)
    return total / count.masked_fill(count == 0, 1)


@genloss.loss(family="likelihood", unit="1", source="Chowdhery et al. 2022, arXiv:2204.02311")
def z_loss(
    logits: Float[Tensor, "batch *positions vocabulary"], *, reduce: Reduce = "sum"
) -> Float[Tensor, "batch"]:
    """Squared logarithm of the softmax's normaliser, which keeps the normaliser near 1.

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
        >>> from genloss_builtin.losses.categorical import z_loss
        >>> z_loss(logits=torch.zeros(1, 4))
        tensor([1.9218])
    """
    return reduce_event(logits.logsumexp(-1).square(), reduce)
