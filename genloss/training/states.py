"""The state of modules: what torch's `state_dict` has, and the buffers that it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def of(module: nn.Module) -> dict[str, Any]:
    """All parameters and buffers, persistent or not; the tensors are those of the module."""
    buffers = {name: buffer.detach() for name, buffer in module.named_buffers()}
    return {"state": module.state_dict(), "buffers": buffers}


@torch.no_grad()
def load(module: nn.Module, state: Mapping[str, Any], device: torch.device) -> None:
    """Puts a module in the state that `of` gave of another one like it.

    Raises:
        RuntimeError: it is not like that one.
        AttributeError: the same.
    """
    for path, value in state["buffers"].items():
        parent, _, name = path.rpartition(".")
        owner = module.get_submodule(parent)
        buffer = getattr(owner, name)
        if buffer is None or buffer.shape != value.shape:  # made when it is first needed
            setattr(owner, name, value.to(device))
        else:
            buffer.copy_(value)
    module.load_state_dict(state["state"])
