"""What value a loss has: its shape, dtype and precision, and at the edges of its domain."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from genloss.conformance.losses import draw
from genloss.conformance.losses.case import Case, Subject
from genloss.conformance.losses.draw import EXPONENT, Domain, batch_size, cast, each, split, tensors
from genloss.conformance.losses.noise import Noise
from genloss.conformance.suite import Nonconformity
from genloss.contracts.definition import Quantity
from genloss.contracts.loss import Loss
from genloss.contracts.shapes import check_arguments, check_value
from genloss.errors import ContractError, GenlossError

LARGE = 1e4
MODERATE = 30.0
TINY = 1e-6


def value(subject: Subject) -> None:
    """One finite value per example, or one scalar where that is declared; for all sizes and options."""
    loss = subject.loss
    least = 2 if loss.batch_coupled else 1
    usual = draw.sizes(loss)
    others = (
        draw.sizes(loss, batch=least),
        draw.sizes(loss, batch=least, variadic=()),
        draw.sizes(loss, batch=least, variadic=(1,), single=1),
        draw.sizes(loss, batch=7, variadic=(3, 1, 2)),
    )
    for case in subject.every:
        for sizes in (usual, *others):
            given = case.draw(sizes)
            shapes = ", ".join(f"`{name}` {_describe(item)}" for name, item in given.items())
            try:
                check_arguments(loss, given)
                result = case.value(given)
                check_value(loss, result, batch_size(loss, given))
            except ContractError as error:
                raise Nonconformity(f"{error.message}; {case} was given {shapes}", hint=error.hint) from error
            except GenlossError:
                if sizes is usual:
                    raise
                continue  # refused, with a message
            except Exception as error:
                error.add_note(f"{case} was given {shapes}")
                raise
            if not bool(result.isfinite().all()):
                case.fail(f"expected finite values, got {_numbers(result)} for {shapes}")


def dtype(subject: Subject) -> None:
    """The value has the dtype of the quantities and all its digits, whatever torch's default dtype is."""
    for case in subject.moderate:
        for wanted in (torch.float32, torch.float64):
            given = case.draw(dtype=wanted)
            function = case.build(given)
            results = []
            for default in (torch.float32, torch.float64):
                with _default_dtype(default):
                    result = case.value(given, function=function)
                if result.dtype is not wanted:
                    case.fail(
                        f"expected {_name(wanted)} for {_name(wanted)} quantities, got {_name(result.dtype)} "
                        f"where torch's default is {_name(default)}",
                        hint="take dtype and device from a quantity, as `torch.zeros_like(x)` does",
                    )
                results.append(result)
            if not subject.is_random and not torch.equal(*results):
                case.fail(
                    f"its value of {_name(wanted)} quantities depends on torch's default dtype: "
                    f"{_numbers(results[0])} with float32, {_numbers(results[1])} with float64",
                    hint="a constant is made in the default dtype; use a Python number, or `x.new_tensor`",
                )


def precision(subject: Subject) -> None:
    """float32 agrees with float64 in value and gradient, bfloat16 loosely in value."""
    for case in subject.moderate:
        coarse = case.draw(dtype=torch.bfloat16)
        noise = Noise(batch_size(case.loss, coarse))
        with noise.recorded():
            exact, gradients = case.gradients(cast(coarse, torch.float64))
        with noise.again(lambda drawn: drawn):
            single, single_gradients = case.gradients(cast(coarse, torch.float32))
        _agree(case, "value", "float32", single, exact, 1e-5)
        for name, wanted in gradients.items():
            for got, item in zip(single_gradients[name], wanted, strict=True):
                if got is not None and item is not None:
                    _agree(case, f"gradient by `{name}`", "float32", got, item, 1e-4)
        with noise.again(lambda drawn: drawn):
            rough = case.value(coarse)
        if rough.dtype is not torch.bfloat16:
            case.fail(f"expected bfloat16 for bfloat16 quantities, got {_name(rough.dtype)}")
        _agree(case, "value", "bfloat16", rough, exact, 5e-2)


def edge_values(subject: Subject) -> None:
    """Value and gradient are finite at ±30 and ±1e4, zeros, equal quantities, tiny variances, bounds."""
    for case in subject.every:
        given = case.draw(dtype=torch.float32)
        for said, arguments in _edges(case.loss, given):
            result, gradients = case.gradients(arguments)
            if not bool(result.isfinite().all()):
                case.fail(
                    f"expected a finite value at {said}, got {_numbers(result)}",
                    hint="use torch's stable forms (softplus, logsumexp, log_softmax, expm1), or state the "
                    "domain in the annotation: `Annotated[…, Ge(0)]`",
                )
            for name, items in gradients.items():
                for item in items:
                    if item is not None and not bool(item.isfinite().all()):
                        case.fail(
                            f"expected a finite gradient by `{name}` at {said}, got {_numbers(item)}",
                            hint="√ and norms have an infinite slope at 0, and `torch.where` lets the NaN of "
                            "the branch not taken into the gradient",
                        )


def raw_logits(subject: Subject) -> None:
    """Logits are raw: at +1e4 or at −1e4 there still is a gradient, so no activation stands before them."""
    for case in subject.moderate:
        if not case.optional:
            continue  # equal logits may be the optimum where nothing else is given
        given = case.draw()
        for quantity in logits(case.loss):
            slopes = []
            for sign in (1, -1):
                far = {**given, quantity.name: _filled(given[quantity.name], sign * LARGE)}
                _, gradients = case.gradients(far)
                slopes += [item for item in gradients[quantity.name] if item is not None]
            if not any(bool(slope.any()) for slope in slopes):
                case.fail(
                    f"the gradient by `{quantity.name}` is 0 at +1e4 and at −1e4",
                    hint="logits are raw: no tanh, sigmoid or clamp of them unless the paper has it",
                )


def logits(loss: Loss[Any]) -> list[Quantity]:
    """The quantities that are logits, and get a gradient."""
    return [
        quantity
        for quantity in loss.quantities.values()
        if quantity.name.endswith("logits")
        and draw.is_floating(quantity)
        and quantity.name not in loss.stop_gradient
    ]


def _edges(loss: Loss[Any], given: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Arguments at the edges of what the annotations allow; what `example` draws stays, but for logits."""
    drawn = draw.example(loss, draw.sizes(loss))
    quantities = {name: loss.quantities[name] for name in given if draw.is_floating(loss.quantities[name])}
    own = {name: split(q.annotation)[1] for name, q in quantities.items() if name not in drawn}
    free = [name for name, domain in own.items() if domain.free]
    exponents = [name for name in free if EXPONENT.search(name)]
    far = [name for name in free if name not in exponents]
    far += [q.name for q in logits(loss) if q.name in given and q.name not in far]
    if free:
        yield "zeros", {**given, **{name: _filled(given[name], 0.0) for name in free}}
    equal = {
        name: other
        for name, other in itertools.combinations(quantities, 2)
        if draw.alike(quantities[name], quantities[other]) and _shapes(given[name]) == _shapes(given[other])
    }
    if equal:
        said = " and ".join(f"`{name}` = `{other}`" for name, other in equal.items())
        arguments = dict(given)
        for name, other in reversed(equal.items()):
            arguments[name] = arguments[other]
        yield said, arguments
    for size, (said, sign) in itertools.product((MODERATE, LARGE) if far else (), SIGNS.items()):
        names = " and ".join(f"`{name}`" for name in far)
        arguments = {name: sign(number, _filled(given[name], size)) for number, name in enumerate(far)}
        yield f"{names} of {said} {size:g}", {**given, **arguments}
    for said, bound in (("tiny", -MODERATE), ("great", MODERATE)):
        arguments = {name: _filled(given[name], bound) for name in exponents}
        arguments |= {name: _bound(given[name], own[name], bound) for name in own if name not in free}
        if arguments:
            names = " and ".join(f"`{name}`" for name in arguments)
            yield f"{said} {names}", {**given, **arguments}


def _mixed(number: int, value: Any) -> Any:
    """Signs that alternate from number to number of a tensor."""

    def change(tensor: Tensor) -> Tensor:
        sign = 1 - 2 * ((torch.arange(tensor.numel()) + number) % 2)
        return tensor * sign.view(tensor.shape).to(tensor.dtype)

    return each({"": value}, change)[""]


def _alternating(number: int, value: Any) -> Any:
    return each({"": value}, lambda tensor: tensor if number % 2 else -tensor)[""]


SIGNS: Mapping[str, Callable[[int, Any], Any]] = {
    "+": lambda _, value: value,
    "−": lambda _, value: each({"": value}, torch.neg)[""],
    "− and + in turn": _alternating,
    "± element by element": _mixed,
}


def _filled(value: Any, number: float) -> Any:
    return each({"": value}, lambda tensor: torch.full_like(tensor, number))[""]


def _bound(value: Any, domain: Domain, towards: float) -> Any:
    """The quantity at its bound, or just inside an open one; far out where there is no bound."""
    if towards < 0:
        open_, bound, step = domain.lower_open, domain.lower, TINY
    else:
        open_, bound, step = domain.upper_open, domain.upper, -TINY
    if bound is None:
        return _filled(value, -LARGE if towards < 0 else LARGE)
    return _filled(value, bound + step if open_ else bound)


def _agree(case: Case, what: str, dtype: str, got: Tensor, expected: Tensor, tolerance: float) -> None:
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    error = float((got.double() - expected.double()).abs().max()) if expected.numel() else 0.0
    if not error <= tolerance * max(scale, 1.0):
        case.fail(
            f"its {what} in {dtype} differs by {error:.2g} from that in float64, which is up to {scale:.3g}",
            hint="do not subtract nearly equal numbers; torch has expm1, log1p, log_softmax",
        )


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _shapes(value: Any) -> list[torch.Size]:
    return [tensor.shape for tensor in tensors({"": value})]


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return str(list(value.shape))
    if isinstance(value, list):
        return "[" + ", ".join(_describe(item) for item in value) + "]"
    return repr(value)


def _numbers(tensor: Tensor) -> str:
    flat = tensor.detach().flatten()
    shown = ", ".join(f"{number:.7g}" for number in flat[:4].tolist())
    return f"[{shown}{', …' if len(flat) > 4 else ''}]" if tensor.dim() else shown


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
