"""What a process has besides its code and data, and what a plugin's code may change for all that follows."""

from __future__ import annotations

import math
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

import numpy as np
import torch

PATCHED = (
    torch,
    torch.linalg,
    torch.special,
    torch.fft,
    torch.autograd,
    torch.nn.functional,
    torch.Tensor,
    torch.nn.Module,
    np,
    random,
    math,
)
"""Modules and classes whose functions are put back."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def kept() -> Iterator[None]:
    """Put back afterwards what a plugin's code has changed of the process that it is tried out in.

    That process is the launcher's, or a notebook's; a run's own ends with the run. Threads that live on, and
    what else no one can see, are not put back.
    """
    restore = [
        _torch(),
        *(_functions(module) for module in PATCHED),
        _environment(),
        _folder(),
        _handlers(),
    ]
    try:
        # Grad mode is the thread's, and the filters are the block's.
        with torch.enable_grad(), warnings.catch_warnings():
            yield
    finally:
        for put_back in restore:
            put_back()


def _torch() -> Callable[[], None]:
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    anomaly = torch.is_anomaly_enabled()

    def put_back() -> None:
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        if torch.are_deterministic_algorithms_enabled() != deterministic:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.autograd.set_detect_anomaly(anomaly)

    return put_back


def _functions(of: ModuleType | type) -> Callable[[], None]:
    before = dict(vars(of))

    def put_back() -> None:
        for name in set(vars(of)) - set(before):
            # `torch.Tensor.mean` is inherited. What is new in other ways may be torch's own, imported late.
            if isinstance(of, type) and any(name in vars(base) for base in of.__mro__[1:]):
                delattr(of, name)
        for name, value in before.items():
            if vars(of).get(name) is not value and callable(value):
                setattr(of, name, value)

    return put_back


def _environment() -> Callable[[], None]:
    before = dict(os.environ)

    def put_back() -> None:
        if dict(os.environ) != before:
            os.environ.clear()
            os.environ.update(before)

    return put_back


def _folder() -> Callable[[], None]:
    before = os.getcwd()  # noqa: PTH109 - as text

    def put_back() -> None:
        with suppress(OSError):  # it is gone
            os.chdir(before)

    return put_back


def _handlers() -> Callable[[], None]:
    if threading.current_thread() is not threading.main_thread():  # which alone may set them
        return lambda: None
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in SIGNALS}

    def put_back() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)

    return put_back
