"""One seed gives independent random streams: for weights, data order with what a data set draws, noise and
evaluation.

Whatever a stream is for, all generators that are shared by a process are seeded with it: Torch's, on the
device too, NumPy's and Python's.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch

Stream = Literal["weights", "order", "noise", "evaluation"]


def derive(seed: int, stream: Stream) -> int:
    """A 63-bit seed for one stream; neighbouring seeds give unrelated streams."""
    return _hashed(f"genloss {stream} {seed}")


def of_example(epoch: int, place: int) -> int:
    """A 63-bit seed for what a data set draws for the example at this place of an epoch."""
    return _hashed(f"genloss example {epoch} {place}")


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_all(seed: int) -> None:
    """Seeds the generators that a process shares."""
    torch.manual_seed(seed)
    sow_host(seed)


def sow_host(seed: int) -> None:
    """Seeds those of the host alone."""
    torch.default_generator.manual_seed(seed)
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])
    # Of the number itself it would give NumPy's very stream: both are the same Mersenne Twister.
    random.seed(f"genloss {seed}")


@contextmanager
def kept() -> Iterator[None]:
    """The generators of the host are afterwards as they were."""
    host = torch.device("cpu")
    before = state(host)
    try:
        yield
    finally:
        restore(before, host)


@contextmanager
def forked(seed: int, device: torch.device) -> Iterator[None]:
    """The generators seeded within, and as they were afterwards."""
    before = state(device)
    try:
        seed_all(seed)
        yield
    finally:
        restore(before, device)


def state(device: torch.device) -> dict[str, Any]:
    """Where the generators are, in what a checkpoint can hold: tensors and plain numbers."""
    numpy = np.random.get_state(legacy=False)
    version, words, gauss = random.getstate()
    found = {
        "torch": torch.get_rng_state(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": _tensor(numpy["state"]["key"])}},
        "python": {"version": version, "words": _tensor(words), "gauss": gauss},
    }
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        found["mps"] = torch.mps.get_rng_state()
    return found


def restore(state: Mapping[str, Any], device: torch.device) -> None:
    """Put the generators where they were."""
    torch.set_rng_state(state["torch"])
    numpy, python = state["numpy"], state["python"]
    key = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state["mps"])


def _tensor(words: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(words, dtype=np.int64))
