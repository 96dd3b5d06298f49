"""Checks that training and sampling fit into the memory of the devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import torch

from genloss.contracts.dataset import DataSpec
from genloss.errors import ExperimentError, Location
from genloss.experiment.schema import Objective
from genloss.planning.work import Size
from genloss.training import machine
from genloss.training.devices import Device


def expect(objective: Objective, size: Size, devices: Sequence[Device], where: Location) -> None:
    """Raise unless each device has the memory for a step of each of its workers.

    Raises:
        ExperimentError: one has not.
    """
    for device in devices:
        limit = memory_of(device)
        if limit is None or size.step * device.workers <= limit:
            continue
        alone = size.step <= limit
        what = "weights, gradients, the optimizer's state"
        if size.work.kept is not None:
            what += f" and {size.work.kept / 2**30:.1f} GiB that the gradients are computed from"
        raise ExperimentError(
            f"model `{objective.model.name}` has {size.parameters:,} parameters, and a step takes at least "
            f"{gib(size.step)} in each of {device.workers} worker{'s' * (device.workers > 1)}: {what}; "
            f"`{device.name}` has {gib(limit)} here",
            where=where,
            hint="set `workers: 1`" if alone else "make the model or the batch smaller",
        )


def expect_samples(samples: int, spec: DataSpec, devices: Sequence[Device], where: Location) -> None:
    """Raise unless each device has the memory for an evaluation's samples.

    Raises:
        ExperimentError: one has not.
    """
    each = math.prod(spec.event_shape) * (8 if spec.kind == "tokens" else 4)
    for device in devices:
        limit = memory_of(device)
        if limit is not None and samples * each > limit:
            raise ExperimentError(
                f"`evaluation.samples`: {samples:,} samples take {gib(samples * each)}, and `{device.name}` "
                f"has {gib(limit)} here",
                where=where,
                hint=f"a few thousand do; {limit // each // 4:,} would be a quarter of the memory",
            )


def memory_of(device: Device) -> int | None:
    """The bytes of memory that a device has; None where they are not known."""
    if device.name.startswith("cuda"):
        with suppress(RuntimeError, AssertionError):  # the run itself says what is wrong with the device
            return int(torch.cuda.get_device_properties(device.name).total_memory)
    return machine.memory() if device.name in ("cpu", "mps") else None


def gib(size: float) -> str:
    """Bytes in the unit that suits them."""
    for unit, power in (("GiB", 30), ("MiB", 20)):
        if size >= 2**power:
            return f"{size / 2**power:,.1f} {unit}"
    return f"{size / 2**10:.1f} KiB"


def flop(count: float) -> str:
    """Floating-point operations in the unit that suits them."""
    for unit, power in (("TFLOP", 12), ("GFLOP", 9), ("MFLOP", 6), ("kFLOP", 3)):
        if count >= 10**power:
            return f"{count / 10**power:,.1f} {unit}"
    return f"{count:.0f} FLOP"
