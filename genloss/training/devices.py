"""Devices: what `auto`, `cuda` or a list means on this machine, and how many workers train on each."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genloss.errors import DeviceError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    """A device with the reason it was chosen, and the workers that train on it.

    Attributes:
        name: torch's name, such as `cuda:0`.
        reason: why this one.
        workers: processes that train on it side by side.
        threads: CPU threads of each.
    """

    name: str
    reason: str
    workers: int
    threads: int

    def __str__(self) -> str:
        threads = f"{self.threads} thread" + ("s" if self.threads > 1 else "")
        workers = f"{self.workers} worker" + ("s" if self.workers > 1 else "")
        each = " each" if self.workers > 1 else ""
        return f"device {self.name} ({self.reason}), {workers} of {threads}{each}"


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose(names: Sequence[str], *, runs: int, workers: int | None = None) -> tuple[Device, ...]:
    """The devices that `names` mean here.

    Several small runs side by side keep a machine busier than one run of many threads, so the CPU gets as
    many workers as cores (or runs, if they are fewer), and the cores are shared out among them. Another
    device gets one worker. A run's threads decide the order of sums, and so its last bits: `workers` settles
    them, however many runs there are.

    Args:
        names: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        runs: how many runs there are to train.
        workers: processes per device, if the user says so.

    Raises:
        DeviceError: a device that is not there.
    """
    chosen = dict(_resolve(name) for name in names)
    shared = shares(chosen, runs=runs, workers=workers)
    return tuple(Device(name, reason, *shared[name]) for name, reason in chosen.items())


def shares(names: Collection[str], *, runs: int, workers: int | None = None) -> dict[str, tuple[int, int]]:
    """For each device its workers, and the threads of each; see `choose`."""
    counts = {name: workers or (min(cores(), runs) if name == "cpu" else 1) for name in names}
    threads = max(1, cores() // sum(counts.values()))
    return {name: (min(count, runs), threads) for name, count in counts.items()}


def guess(names: Sequence[str]) -> list[str]:
    """What `names` probably mean here: torch, which knows, takes a second to import."""
    auto = "cpu"
    if sys.platform == "darwin":
        auto = "mps"
    elif Path("/dev/nvidiactl").exists():
        auto = "cuda:0"
    return [auto if name == "auto" else name for name in dict.fromkeys(names)]


def _resolve(name: str) -> tuple[str, str]:
    import torch

    gpus = torch.cuda.device_count()
    if name == "auto":
        if gpus:
            return "cuda:0", "the first of " + (f"{gpus} GPUs" if gpus > 1 else "one GPU")
        if torch.backends.mps.is_available():
            return "mps", "no CUDA device here"
        return "cpu", "neither CUDA nor MPS here"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(
            f"`{name}` is no device that genloss knows",
            hint="write `auto`, `cpu`, `cuda`, `cuda:1`, `mps` or a list of them",
        )
    if device.type == "cuda":
        if (device.index or 0) >= gpus:
            raise DeviceError(
                f"there is no device `{name}` here: torch {torch.__version__} sees {gpus} CUDA devices",
                hint="`devices: auto` takes what there is",
            )
        return f"cuda:{device.index or 0}", "as asked for"
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("there is no device `mps` here", hint="`devices: auto` takes what there is")
    return device.type, "as asked for"


def describe(device: torch.device) -> str:
    """The device's own name, such as that of the graphics card."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return device.type
