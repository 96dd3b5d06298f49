"""−log p of tokens under softmax(hidden · weightᵀ), in chunks of tokens whose logits share one buffer.

The gradient recomputes the logits. It is an `autograd.Function` too, so that both passes can work in place
under `torch.func` as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

_LOGITS = 2**22
"""Number of logits a chunk may always have, whatever the number of features: 16 MiB in float32."""


def linear_nll(hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Map `[tokens, features]`, `[vocabulary, features]` and `[tokens]` to `[tokens]`, in nats.

    Can be differentiated once. Computes at least in float32, since gradients of the weight are accumulated
    over chunks.
    """
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    nll: Tensor = _LinearNLL.apply(hidden.to(dtype), weight.to(dtype), targets, smoothing)  # type: ignore[no-untyped-call]
    return nll.to(hidden.dtype)


def _chunks(hidden: Tensor, weight: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield the tokens of each chunk and their logits, which the next chunk overwrites."""
    # At least as many tokens as features, so that the logits, not the weight, dominate memory traffic.
    size = max(hidden.shape[1], _LOGITS // len(weight))
    size = max(1, min(size, math.ceil(len(hidden) / 4)))
    buffer = hidden.new_empty(size, len(weight))
    for start in range(0, len(hidden), size):
        tokens = slice(start, min(start + size, len(hidden)))
        yield tokens, torch.mm(hidden[tokens], weight.T, out=buffer[: tokens.stop - start])


class _LinearNLL(torch.autograd.Function):
    @staticmethod
    def forward(hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        nll = hidden.new_empty(len(hidden), 1)
        for tokens, logits in _chunks(hidden, weight):
            target = (1 - smoothing) * logits.gather(1, targets[tokens, None])
            if smoothing:
                target += smoothing * logits.mean(1, keepdim=True)
            greatest = logits.amax(1, keepdim=True)
            nll[tokens] = logits.sub_(greatest).exp_().sum(1, keepdim=True).log_() + greatest - target
        return nll.squeeze(1)

    @staticmethod
    def setup_context(ctx: Any, inputs: Sequence[Any], output: Tensor) -> None:  # noqa: ARG004 - autograd's
        *tensors, ctx.smoothing = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        return (*_Gradient.apply(*ctx.saved_tensors, slope, ctx.smoothing), None, None)  # type: ignore[no-untyped-call]

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[Any], *given: Any) -> tuple[Tensor, int]:
        return torch.stack(_one_by_one(_LinearNLL, info.batch_size, in_dims, given)), 0


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(
        hidden: Tensor, weight: Tensor, targets: Tensor, slope: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        of_hidden, of_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        for tokens, logits in _chunks(hidden, weight):
            slopes = slope[tokens, None]
            logits.sub_(logits.amax(1, keepdim=True)).exp_()
            logits.mul_(slopes / logits.sum(1, keepdim=True))
            logits.scatter_add_(1, targets[tokens, None], (smoothing - 1) * slopes)
            if smoothing:
                logits.sub_(slopes * (smoothing / len(weight)))
            torch.mm(logits, weight, out=of_hidden[tokens])
            of_weight.addmm_(logits.T, hidden[tokens])
        return of_hidden, of_weight

    @staticmethod
    def setup_context(ctx: Any, inputs: Sequence[Any], output: tuple[Tensor, Tensor]) -> None:
        """Save nothing: second derivatives are not supported."""

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> None:
        raise NotImplementedError("`linear_categorical_nll` can be differentiated only once")

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[Any], *given: Any) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        each = _one_by_one(_Gradient, info.batch_size, in_dims, given)
        return tuple(torch.stack(gradients) for gradients in zip(*each, strict=True)), (0, 0)


def _one_by_one(function: Any, size: int, in_dims: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """Apply the function to one example of vmap at a time, so that it needs no more memory than for one."""
    axes = list(zip(given, in_dims, strict=True))
    return [
        function.apply(*(value if axis is None else value.select(axis, i) for value, axis in axes))
        for i in range(size)
    ]
