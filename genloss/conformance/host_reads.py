"""Finding reads of a value from the device, each of which waits until the device has computed it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

METHODS = {
    getattr(Tensor, name): name
    for name in (
        "__bool__",
        "__int__",
        "__float__",
        "__index__",
        "__array__",
        "item",
        "tolist",
        "numpy",
        "cpu",
    )
}
CONTENTS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


class HostRead(Exception):
    """A value was read from the device."""


@contextmanager
def trapped() -> Iterator[None]:
    """Raise HostRead, on the CPU as well, for what waits for a device; `.to("cpu")` alone is not seen."""
    with _Methods(), _Operators():  # type: ignore[no-untyped-call]
        yield


def is_host_read(error: Exception) -> bool:
    """Return whether it is what torch says on the meta device where a value is needed, and there is none."""
    return "meta" in str(error).lower() and "expected device" not in str(error)


class _Methods(TorchFunctionMode):
    """Finds the methods that read a tensor, of which some call no operator."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in METHODS:
            raise HostRead(f"`Tensor.{METHODS[func]}`")
        return func(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Finds the operators whose result, or whose shape, depends on values that the host must know."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(tag in func.tags for tag in CONTENTS) and not _gathers(func, args):
            raise HostRead(f"`{func.name().removesuffix('.default')}`")
        return func(*args, **(kwargs or {}))


def _gathers(func: Any, args: Any) -> bool:
    """Return whether an index has no mask: then the shape is known beforehand."""
    if func.overloadpacket not in (torch.ops.aten.index, torch.ops.aten.index_put):
        return False
    return all(index is None or index.dtype not in (torch.bool, torch.uint8) for index in args[1])
