"""The generators of random numbers that a program shares: torch's, NumPy's and Python's."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All of them seeded within, and as they were afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed also notes the seed for devices that are not there, each time again.
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def torch_state() -> bytes:
    """The state of torch's generator for the CPU."""
    return torch.get_rng_state().numpy().tobytes()


def other_states() -> dict[str, bytes]:
    """The states of the others, by name; equal as long as nobody draws from them."""
    return {"NumPy": pickle.dumps(np.random.get_state()), "Python": pickle.dumps(random.getstate())}
