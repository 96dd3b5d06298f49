"""What a loss makes of its options."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_origin

import torch
from torch import nn

from genloss.conformance.losses import draw
from genloss.conformance.losses.case import Case, Subject, values_of
from genloss.conformance.losses.draw import each, split
from genloss.conformance.options import check_defaults
from genloss.conformance.suite import Nonconformity
from genloss.contracts.definition import Option
from genloss.errors import GenlossError

SEEDS = range(3)
SCALES = (1.0, 0.1)
"""Of the quantities without a domain: some options matter for small ones alone."""


def options(subject: Subject) -> None:
    """Each option has an effect, and its default is one of its values."""
    loss = subject.loss
    check_defaults(loss)
    for option in loss.options.values():
        tried = [value for value, _ in values_of(option)]
        if len(tried) + (not option.required) < 2:
            continue
        if not any(_matters(case, option, tried) for case in _combinations(subject, option)):
            raise Nonconformity(
                f"the option `{option.name}` of loss `{loss.name}` has no effect on its value",
                hint="delete it, or use it",
            )


def smoothing(subject: Subject) -> None:
    """Smoothing of labels is off unless it is asked for."""
    for option in smoothing_options(subject):
        if option.default != 0:
            raise Nonconformity(
                f"the option `{option.name}` of loss `{subject.loss.name}` is {option.default!r} by default, "
                "expected 0",
                hint="what the paper's formula does not have is off by default",
            )


def smoothing_options(subject: Subject) -> list[Option]:
    return [option for option in subject.loss.options.values() if option.name.endswith("smoothing")]


def schedules(subject: Subject) -> None:
    """An option that takes a schedule may be set again at each step, as the attribute of its name."""
    for option in subject.loss.options.values():
        if not option.takes_schedule:
            continue
        for value, _ in values_of(option):
            case = Case(subject.loss, {**subject.default.options, option.name: value})
            given = case.draw()
            module = subject.default.build(given)
            if isinstance(module, nn.Module):
                setattr(module, option.name, value)
                if not torch.equal(case.value(given, function=module), case.value(given)):
                    case.fail(
                        f"the trainer sets `{option.name}` at each step, and its value does not follow",
                        hint=f"keep it as `self.{option.name}` and read it in `forward`",
                    )


def _combinations(subject: Subject, option: Option) -> Iterator[Case]:
    """The default, then each combination of the other options that have but a few values."""
    base = subject.default
    yield base
    others = {
        other.name: [value for value, _ in values_of(other)]
        for other in subject.loss.options.values()
        if other.name != option.name and _has_few(other)
    }
    chosen = [case.chosen for case in subject.every if case.chosen] or [{}]
    for combination in itertools.product(*others.values()):
        options = {**base.options, **dict(zip(others, combination, strict=True))}
        yield from (Case(subject.loss, options, quantities) for quantities in chosen)


def _matters(case: Case, option: Option, tried: list[Any]) -> bool:
    for seed, scale in itertools.product(SEEDS, SCALES):
        found = []
        given = _scaled(case, case.draw(seed=seed), scale)
        for value in tried if option.required else [option.default, *tried]:
            try:
                found.append(Case(case.loss, {**case.options, option.name: value}).value(given))
            except GenlossError:
                continue
        if any(not torch.equal(found[0], other) for other in found[1:]):
            return True
    return False


def _scaled(case: Case, given: Mapping[str, Any], scale: float) -> dict[str, Any]:
    drawn = draw.example(case.loss, draw.sizes(case.loss))
    return {
        name: each({name: value}, lambda tensor: scale * tensor)[name]
        if draw.is_floating(quantity) and name not in drawn and split(quantity.annotation)[1].free
        else value
        for name, value in given.items()
        for quantity in [case.loss.quantities[name]]
    }


def _has_few(option: Option) -> bool:
    annotation, _ = split(option.annotation)
    return annotation is bool or get_origin(annotation) is Literal
