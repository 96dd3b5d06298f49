"""Devices: what `auto`, `cuda` or a list means on this machine, and how many workers train on each."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from genloss.errors import DeviceError
from genloss.text import count_of
from genloss.training.machine import cores, memory

if TYPE_CHECKING:
    import torch

WORKER = 256 * 2**20
"""Bytes of memory that a worker takes before it trains anything, at least: Python, torch and genloss."""


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
        threads, workers = count_of(self.threads, "thread"), count_of(self.workers, "worker")
        each = " each" if self.workers > 1 else ""
        return f"device {self.name} ({self.reason}), {workers} of {threads}{each}"


def requested() -> int | None:
    """The threads that `OMP_NUM_THREADS` asks for, if it does."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(said) if said.isdecimal() and int(said) > 0 else None


def choose(
    names: Sequence[str], *, runs: int, workers: int | None = None, threads: int | None = None
) -> tuple[Device, ...]:
    """The devices that `names` mean here.

    Several small runs side by side keep a machine busier than one run of many threads, so the CPU gets as
    many workers as cores (or runs, if they are fewer), and the cores are shared out among them. Another
    device gets one worker. A share is what a run may have at most; `busy` leaves what its work keeps busy.

    Args:
        names: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        runs: how many runs there are to train.
        workers: processes per device, if the user says so.
        threads: of each worker, if the user says so.

    Raises:
        DeviceError: a device that is not there, or more workers than there is memory for.
    """
    chosen = dict(_resolve(name) for name in names)
    shared = shares(chosen, runs=runs, workers=workers, threads=threads)
    limit, count = memory(), sum(count for count, _ in shared.values())
    if limit is not None and count > max(1, limit // WORKER):
        raise DeviceError(
            f"{count} workers need {count * WORKER / 2**30:.0f} GiB before they train anything, and this "
            f"machine has {limit / 2**30:.1f} GiB",
            hint=f"`workers` may be {max(1, limit // WORKER // len(shared))} here; more than cores, of which "
            f"there are {cores()}, train no sooner",
        )
    return tuple(Device(name, reason, *shared[name]) for name, reason in chosen.items())


def shares(
    names: Collection[str], *, runs: int, workers: int | None = None, threads: int | None = None
) -> dict[str, tuple[int, int]]:
    """For each device its workers, and the threads of each; see `choose`."""
    side_by_side = max(1, cores() // (threads or 1))
    counts = {name: workers or (min(side_by_side, runs) if name == "cpu" else 1) for name in names}
    each = threads or max(1, cores() // sum(counts.values()))
    return {name: (min(count, runs), each) for name, count in counts.items()}


def busy(devices: Sequence[Device], threads: int) -> tuple[Device, ...]:
    """The devices, those on the CPU with no more threads than a step's work keeps busy.

    A thread that waits for the others keeps its core, and where another process has that, all threads wait:
    beside one busy process a core, a small model takes five times as long with two threads as with one.
    """
    return tuple(
        replace(device, threads=min(device.threads, threads)) if device.name == "cpu" else device
        for device in devices
    )


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
            f"`{name}` is not a device that genloss knows",
            hint="write `auto`, `cpu`, `cuda`, `cuda:1`, `mps` or a list of them",
            subject=name,
        )
    if device.type == "cuda":
        if (device.index or 0) >= gpus:
            raise DeviceError(
                f"there is no device `{name}` here: torch {torch.__version__} sees {gpus} CUDA devices",
                hint="`devices: auto` takes what there is",
                subject=name,
            )
        return f"cuda:{device.index or 0}", "as asked for"
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(
            "there is no device `mps` here", hint="`devices: auto` takes what there is", subject=name
        )
    return device.type, "as asked for"


def describe(device: torch.device) -> str:
    """The device's own name, such as that of the graphics card."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return device.type
