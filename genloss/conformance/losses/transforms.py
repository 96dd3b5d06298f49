"""What torch makes of a loss: a batch of batches, one compiled graph."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from genloss.conformance.losses.batches import close, numbers
from genloss.conformance.losses.case import Subject
from genloss.conformance.losses.draw import each, tensors


def vmap(subject: Subject) -> None:
    """`torch.func.vmap` over two batches gives the values of both."""
    for case in subject.moderate:
        first, second = case.draw(seed=0), case.draw(seed=1)
        stacked = each(first, _stacked(tensors(second)))
        mapped = {name: value for name, value in stacked.items() if list(tensors({"": value}))}
        rest = {name: value for name, value in stacked.items() if name not in mapped}
        function = case.build(first)
        with torch.random.fork_rng(devices=[]):
            mapping = torch.func.vmap(functools.partial(_call, function, rest), randomness="different")
            both = mapping(mapped)
        expected = torch.stack([case.value(first), case.value(second)])
        if both.shape != expected.shape or not (subject.is_random or close(both, expected)):
            case.fail(f"expected {numbers(expected)} under `torch.func.vmap`, got {numbers(both)}")


def compile(subject: Subject) -> None:
    """`torch.compile` makes one graph of it, with the same value and gradients."""
    for case in [subject.default, *(case for case in subject.every if not case.optional)]:
        given = case.draw()
        function = case.build(given)
        expected, gradients = case.gradients(given, function=function)
        torch._dynamo.reset()
        compiled: Callable[..., Tensor] = torch.compile(
            function, backend="aot_eager", fullgraph=True, dynamic=False
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, of its compiler
            value, found = case.gradients(given, function=compiled)
        torch._dynamo.reset()
        if not close(value, expected):
            case.fail(f"expected {numbers(expected)} when compiled, got {numbers(value)}")
        for name, wanted in gradients.items():
            for got, item in zip(found[name], wanted, strict=True):
                if not _same(got, item):
                    case.fail(f"its gradient by `{name}` is another one when compiled")


def _stacked(others: Iterator[Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda tensor: torch.stack([tensor, next(others)])


def _call(function: Callable[..., Tensor], rest: Mapping[str, Any], given: Mapping[str, Any]) -> Tensor:
    return function(**given, **rest)


def _same(got: Tensor | None, expected: Tensor | None) -> bool:
    zero: Any = torch.zeros(())
    got, expected = (zero if item is None else item for item in (got, expected))
    return not (got.any() or expected.any()) or close(got, expected)
