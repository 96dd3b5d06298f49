"""What a loss leaves alone: its quantities, the host, the state of the program."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from genloss.conformance import generators
from genloss.conformance.host_reads import HostRead, trapped
from genloss.conformance.losses.batches import numbers
from genloss.conformance.losses.case import Subject
from genloss.conformance.losses.draw import each, tensors
from genloss.conformance.suite import Nonconformity


def inputs_unchanged(subject: Subject) -> None:
    """The quantities are not changed in place."""
    for case in subject.moderate:
        given = case.draw()
        before = each(given, torch.clone)
        versions = [tensor._version for tensor in tensors(given)]
        case.build(given)(**given)
        for name, value in given.items():
            if not all(map(torch.equal, tensors({"": value}), tensors({"": before[name]}))):
                case.fail(f"it changes `{name}` in place", hint="use the function without the underscore")
        if versions != [tensor._version for tensor in tensors(given)]:
            case.fail("it writes into a quantity", hint="use the function without the underscore")


def seed(subject: Subject) -> None:
    """One seed gives one value, and the generator goes on from where it was."""
    for case in subject.moderate:
        given = case.draw()
        function = case.build(given)
        first, *more = (case.value(given, seed=5, function=function) for _ in range(3))
        for again in more:
            if not torch.equal(again, first):
                case.fail(
                    f"its value is {numbers(first)}, and {numbers(again)} with the same seed once more",
                    hint="draw from torch's generator, which the trainer seeds, and keep nothing in between",
                )
        states = []
        for number in range(2):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(number)
                function(**each(given, torch.clone))
                states.append(torch.get_rng_state())
        if torch.equal(*states):
            case.fail("it seeds torch's generator", hint="the trainer seeds it; draw from it as it is")


def random_state(subject: Subject) -> None:
    """It neither uses nor changes the generators of NumPy and of Python."""
    for case in subject.moderate:
        given = case.draw()
        function = case.build(given)
        values = []
        for number in range(2):
            with generators.seeded(0):
                np.random.seed(number)
                random.seed(number)
                before = generators.other_states()
                values.append(case.value(given, function=function))
                for name, state in generators.other_states().items():
                    if state != before[name]:
                        case.fail(
                            f"it uses the generator of {name}", hint="draw from torch's, as `torch.rand` does"
                        )
        if not torch.equal(*values):
            case.fail("its value depends on the generators of NumPy or Python")


def global_state(subject: Subject) -> None:
    """torch's settings stay as they are: default dtype, gradient mode, threads, deterministic algorithms."""
    for case in subject.moderate:
        given = case.draw()
        function = case.build(given)
        with settings_kept() as before:
            case.value(given, function=function)
            after = _settings()
        for name, setting in before.items():
            if after[name] != setting:
                case.fail(f"it changes torch's {name} from {setting} to {after[name]}")


def host_reads(subject: Subject) -> None:
    """Nothing reads a tensor's values on the host, which would wait for the device at each step."""
    for case in subject.moderate:
        given = case.draw()
        function = case.build(given)
        try:
            with trapped():
                case.value(given, function=function)
        except HostRead as read:
            raise Nonconformity(
                f"{case}: it reads a tensor's values on the host, by {read}",
                hint="no `.item()`, no `if tensor:`, no mask as an index; use `torch.where`",
            ) from read


def device(subject: Subject) -> None:
    """No device is written down: it works where its quantities are, even on `meta`, which has no values."""
    for case in subject.moderate:
        given = each(case.draw(), lambda tensor: tensor.to("meta"))
        value = case.build(given)(**given)
        if value.device.type != "meta":
            case.fail(
                f"its quantities are on the device `meta`, and its value on `{value.device}`",
                hint="make tensors with `torch.zeros_like(x)` or `device=x.device`",
            )


def saved_state(subject: Subject) -> None:
    """A new instance that loads the state of another has its value."""
    for case in subject.moderate:
        given = case.draw()
        first = case.build(given)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            second = case.loss.build(**case.options)
        if isinstance(first, nn.Module) and isinstance(second, nn.Module):
            second.to(torch.float64)
            second.load_state_dict(first.state_dict())
            if not torch.equal(case.value(given, function=first), case.value(given, function=second)):
                case.fail(
                    "an instance that has loaded the state of another has another value",
                    hint="what is drawn or learned is a parameter or a buffer",
                )


def _settings() -> dict[str, Any]:
    return {
        "default dtype": torch.get_default_dtype(),
        "gradient mode": torch.is_grad_enabled(),
        "number of threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "precision of matrix products": torch.get_float32_matmul_precision(),
        "anomaly detection": torch.is_anomaly_enabled(),
    }


@contextmanager
def settings_kept() -> Iterator[Mapping[str, Any]]:
    """torch's settings, which are the same again afterwards."""
    settings = _settings()
    try:
        yield settings
    finally:
        torch.set_default_dtype(settings["default dtype"])
        torch.set_grad_enabled(settings["gradient mode"])
        torch.set_num_threads(settings["number of threads"])
        torch.use_deterministic_algorithms(settings["deterministic algorithms"])
        torch.set_float32_matmul_precision(settings["precision of matrix products"])
        torch.autograd.set_detect_anomaly(settings["anomaly detection"])
