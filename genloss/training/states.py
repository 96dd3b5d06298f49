"""The state of modules: what torch's `state_dict` has, and the buffers that it leaves out.

Of those, one that still is as the constructor made it, such as a mask, is computed again and not kept: a
digest is, so that another one is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from genloss.contracts.dataset import digest


def built(module: nn.Module) -> dict[str, str]:
    """Digests of the buffers that torch's `state_dict` leaves out; of a module as it was built."""
    kept = module.state_dict().keys()
    return {name: digest({"": buffer}) for name, buffer in module.named_buffers() if name not in kept}


def of(module: nn.Module, as_built: Mapping[str, str]) -> dict[str, Any]:
    """All parameters and buffers, persistent or not; the tensors are those of the module.

    Args:
        module: the module.
        as_built: what `built` gave of it.
    """
    same = built(module).items() & as_built.items()
    computed = dict(same)
    buffers = {name: buffer.detach() for name, buffer in module.named_buffers() if name not in computed}
    return {"state": module.state_dict(), "buffers": buffers, "as_built": computed}


@torch.no_grad()
def load(module: nn.Module, state: Mapping[str, Any], device: torch.device) -> None:
    """Puts a module, as it was built, in the state that `of` gave of another one like it.

    Raises:
        RuntimeError: it is not like that one.
        AttributeError: the same.
    """
    computed, now = state.get("as_built", {}), built(module)
    for name in computed:
        if now.get(name) != computed[name]:
            raise RuntimeError(f"its constructor computes another buffer `{name}`")
    for path, value in state["buffers"].items():
        parent, _, name = path.rpartition(".")
        owner = module.get_submodule(parent)
        buffer = getattr(owner, name)
        if buffer is None or buffer.shape != value.shape:  # made when it is first needed
            setattr(owner, name, value.to(device))
        else:
            buffer.copy_(value)
    module.load_state_dict(state["state"])
