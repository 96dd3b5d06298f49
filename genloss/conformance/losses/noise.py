"""Giving a random loss the same noise twice, though its quantities have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from genloss.conformance.suite import Nonconformity


class Noise:
    """What torch's generator gave to a loss, to be given again.

    Args:
        batch: examples in the recorded batch; noise of that length is taken to be one an example.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._drawn: list[Tensor] = []

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Remember what is drawn within."""

        def remember(drawn: Tensor) -> Tensor:
            self._drawn.append(drawn.clone())
            return drawn

        with _Random(remember):
            yield

    @contextmanager
    def again(self, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Return the same within, that of the examples changed as the examples are.

        Raises:
            Nonconformity: within, noise of another number or shape is drawn.
        """
        earlier = iter(self._drawn)

        def replace(drawn: Tensor) -> Tensor:
            noise = next(earlier, None)
            if noise is not None and noise.dim() and len(noise) == self._batch:
                noise = change(noise)
            if noise is None or noise.shape != drawn.shape:
                raise Nonconformity(
                    f"it draws noise of the shape {list(drawn.shape)}, and before "
                    + ("none" if noise is None else str(list(noise.shape)))
                )
            return noise.to(drawn.dtype)

        with _Random(replace):
            yield


class _Random(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, replace: Callable[[Tensor], Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._replace = replace

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        drawn = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded not in func.tags or not isinstance(drawn, Tensor):
            return drawn
        noise = self._replace(drawn)
        if func._schema.is_mutable:
            return drawn.copy_(noise)
        return noise
