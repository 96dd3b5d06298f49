"""One seed gives independent random streams: for weights, data order, noise and evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Stream = Literal["weights", "order", "noise", "evaluation"]


def derive(seed: int, stream: Stream) -> int:
    """A 63-bit seed for one stream; neighbouring seeds give unrelated streams."""
    return int.from_bytes(hashlib.sha256(f"genloss {stream} {seed}".encode()).digest()[:8], "big") >> 1


@contextmanager
def forked(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's generators seeded within, and as they were afterwards."""
    accelerators = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=accelerators, device_type=device.type if accelerators else "cuda"):
        torch.manual_seed(seed)
        yield
