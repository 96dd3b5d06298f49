"""What a loss makes of a batch: its order, its size, its parts, and what its examples know of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from genloss.conformance.losses import draw
from genloss.conformance.losses.case import Case, Subject
from genloss.conformance.losses.draw import batch_size, dimensions, each, rows
from genloss.conformance.losses.noise import Noise
from genloss.contracts.loss import Loss

TOLERANCE = 1e-9
"""Relative, in float64: another order of a sum changes no more."""

SUMMED = ("*event", "*latent", "*positions", "*variables")
"""Dimensions of independent parts of an event, over which a log-density is a sum."""


def permutation(subject: Subject) -> None:
    """Permuting the batch permutes the values, and leaves a batch-coupled one as it is."""
    for case in subject.moderate:
        given = case.draw()
        order = torch.randperm(batch_size(case.loss, given), generator=torch.Generator().manual_seed(1)).roll(
            1
        )
        noise = Noise(len(order))
        with noise.recorded():
            value = case.value(given)
        with noise.again(_taken(order)):
            permuted = case.value(rows(case.loss, given, _taken(order)))
        expected = value if case.loss.batch_coupled else value[order]
        if not close(permuted, expected):
            case.fail(
                f"expected {numbers(expected)} for the batch in the order {order.tolist()}, "
                f"got {numbers(permuted)}",
                hint="an example's value must not depend on its place in the batch",
            )


def repetition(subject: Subject) -> None:
    """A batch repeated twice has the same mean; a batch-coupled value does not grow with the batch."""
    for case in subject.moderate:
        given = case.draw()
        if case.loss.batch_coupled:
            _does_not_grow(case, given)
            continue
        noise = Noise(batch_size(case.loss, given))
        with noise.recorded():
            value = case.value(given)
        with noise.again(_twice(0)):
            twice = case.value(_repeated(case.loss, given, 2))
        if not close(twice.mean(), value.mean()):
            case.fail(
                f"the mean of its values is {numbers(value.mean())}, "
                f"and {numbers(twice.mean())} for the same batch repeated twice",
                hint="sum over the event, never over the batch; nothing is multiplied by the batch's size",
            )


def independence(subject: Subject) -> None:
    """An example's value depends neither on the other examples nor on their noise."""
    for case in subject.moderate:
        given, other = case.draw(seed=0), case.draw(seed=1)
        value = case.value(given)
        for place in (0, batch_size(case.loss, given) - 1):
            among_others = {
                name: _with_row(item, given[name], place)
                if draw.is_batched(case.loss.quantities[name])
                else given[name]
                for name, item in other.items()
            }
            alone = case.value(among_others)[place]
            if not close(alone, value[place]):
                case.fail(
                    f"expected {numbers(value[place])} for example {place} whatever the others are, "
                    f"got {numbers(alone)} among others",
                    hint="take norms, means and maxima over the event alone, as `flatten(1)` lets you; if "
                    'the batch is meant to be coupled, annotate what is returned with `Float[Tensor, ""]`',
                )
        if subject.is_random:
            _has_noise_of_its_own(case, given)


def micro_batches(subject: Subject) -> None:
    """Micro-batches, weighted by their sizes, give the value and the gradients of the whole batch."""
    for case in subject.moderate:
        given = case.draw()
        loss, size = case.loss, batch_size(case.loss, given)
        given, size = (_repeated(loss, given, 3), 3) if size == 1 else (given, size)
        noise = Noise(size)
        with noise.recorded():
            value, gradients = case.gradients(given, scale=torch.mean)
        total, parts = torch.zeros(()), []
        for part in (slice(0, 1), slice(1, size)):
            share = len(range(size)[part]) / size
            with noise.again(_taken(part)):
                taken = rows(loss, given, _taken(part))
                piece, found = case.gradients(taken, scale=_share(share))
            total = total + share * piece.mean()
            parts.append(_with_zeros(found, taken))
        if not close(total, value.mean()):
            case.fail(
                f"the mean of a batch of {size} is {numbers(value.mean())}, and {numbers(total)} from "
                f"micro-batches of 1 and {size - 1}, weighted by their sizes"
            )
        for name, wanted in _with_zeros(gradients, given).items():
            for index, whole in enumerate(wanted):
                pieces = [part[name][index] for part in parts]
                batched = draw.is_batched(loss.quantities[name])
                together = torch.cat(pieces) if batched else pieces[0] + pieces[1]
                if not close(together, whole):
                    case.fail(
                        f"the gradient by `{name}` of a batch of {size} is not that of micro-batches "
                        f"of 1 and {size - 1}, weighted by their sizes"
                    )


def _with_zeros(
    gradients: Mapping[str, list[Tensor | None]], given: Mapping[str, Any]
) -> dict[str, list[Tensor]]:
    """The gradients, with zeros where none arrives."""
    return {
        name: [
            torch.zeros_like(tensor) if gradient is None else gradient
            for gradient, tensor in zip(found, draw.tensors({name: given[name]}), strict=True)
        ]
        for name, found in gradients.items()
    }


def repeated_samples(subject: Subject) -> None:
    """A dimension `samples` holds draws of one distribution: each of them taken twice changes nothing."""
    for case in subject.moderate:
        given = case.draw()
        value = case.value(given)
        twice = case.value(_doubled(case.loss, given, "samples"))
        if not close(twice, value):
            case.fail(
                f"expected {numbers(value)} for each of the samples taken twice, got {numbers(twice)}",
                hint="a mean over K samples divides by K: `logsumexp(1) − log K`",
            )


def event_sum(subject: Subject) -> None:
    """But for losses of unit 1, it is a sum over the event: two equal halves have twice the value of one."""
    for case in (subject.default, *(case for case in subject.every if not case.optional)):
        name = summed_dimension(case.loss)
        given = case.draw()
        value = case.value(given)
        twice = case.value(_doubled(case.loss, given, str(name)))
        if not close(twice, 2 * value):
            case.fail(
                f"expected {numbers(2 * value)} for two equal halves of `{name}`, each of which has "
                f"{numbers(value)}, got {numbers(twice)}",
                hint="sum over the event's dimensions; a mean is the option `reduce`, off by default",
            )


def summed_dimension(loss: Loss[Any]) -> str | None:
    """The one over which a loss of unit nats or data is a sum, if all its batched tensors have it."""
    if loss.unit == "1" or loss.batch_coupled:
        return None
    found = [dimensions(quantity) for quantity in loss.quantities.values() if draw.is_batched(quantity)]
    names = {name for name in SUMMED if found and all(name in each for each in found)}
    return names.pop() if len(names) == 1 else None


def close(got: Tensor, expected: Tensor) -> bool:
    """Return whether two values are equal but for rounding in float64."""
    if got.shape != expected.shape:
        return False
    scale = max(1.0, float(expected.detach().abs().max())) if expected.numel() else 1.0
    return bool((got - expected).abs().le(TOLERANCE * scale).all())


def numbers(value: Tensor) -> str:
    """A value as a person reads it."""
    rounded = [f"{number:.6g}" for number in value.detach().flatten().tolist()]
    return f"[{', '.join(rounded)}]" if value.dim() else rounded[0]


def _taken(places: Tensor | slice) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor[places]


def _share(share: float) -> Callable[[Tensor], Tensor]:
    return lambda value: share * value.mean()


def _twice(axis: int) -> Callable[[Tensor], Tensor]:
    return lambda tensor: torch.cat([tensor, tensor], dim=axis)


def _does_not_grow(case: Case, given: Mapping[str, Any]) -> None:
    value = {times: case.value(_repeated(case.loss, given, times)) for times in (2, 4, 16)}
    steps = [float(value[4].abs() / value[2].abs()), float(value[16].abs() / value[4].abs())]
    if steps[0] > 1.25 and steps[1] > 1.5:
        case.fail(
            f"its value is {numbers(value[2])} for a batch repeated twice, {numbers(value[4])} four times, "
            f"and {numbers(value[16])} sixteen times",
            hint="take means over the batch, not sums",
        )


def _has_noise_of_its_own(case: Case, given: Mapping[str, Any]) -> None:
    same = rows(case.loss, given, lambda tensor: tensor[:1].expand_as(tensor).clone())
    value, again = case.value(same, seed=0), case.value(same, seed=1)
    if len(value) > 1 and not torch.equal(value, again) and bool((value == value[0]).all()):
        case.fail(
            f"equal examples share their noise: all have the value {numbers(value[0])}",
            hint="draw one number an example: `torch.rand_like(x[:, :1])`, not `torch.rand(1)`",
        )


def _repeated(loss: Loss[Any], arguments: Mapping[str, Any], times: int) -> dict[str, Any]:
    return rows(loss, arguments, lambda tensor: tensor.repeat(times, *[1] * (tensor.dim() - 1)))


def _doubled(loss: Loss[Any], arguments: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The arguments with the last axis of a dimension given twice, one copy after the other."""
    changed = dict(arguments)
    for parameter, value in arguments.items():
        names = dimensions(loss.quantities[parameter])
        if name in names:
            axis = names.index(name) - len(names)
            changed[parameter] = each({"": value}, _twice(axis))[""]
    return changed


def _with_row(value: Any, source: Any, place: int) -> Any:
    """The value with one example of another."""
    if isinstance(value, list):
        return [_with_row(item, other, place) for item, other in zip(value, source, strict=True)]
    changed = value.clone()
    changed[place] = source[place]
    return changed
