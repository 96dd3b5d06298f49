"""Whether a loss keeps its digits: float32 against float64 where its quantities are small, great or close."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from genloss.conformance.losses import draw
from genloss.conformance.losses.case import Case, Subject
from genloss.conformance.losses.draw import EXPONENT, batch_size, each, split, tensors
from genloss.conformance.losses.noise import Noise
from genloss.contracts.loss import Loss

SMALL = (1e-5, 1e-2)
GREAT = (1e3, 1e6)
FLOAT32 = torch.finfo(torch.float32)
CHANGES = 3
"""How often the quantities' last digits are changed, to see how far they alone move a result."""
ALLOWED = 32.0
"""In units of that and of the result's own last digit. Sums of a hundred numbers stay far below."""


def magnitudes(subject: Subject) -> None:
    """float32 keeps its digits for quantities of 1e-5 to 1e6, and for nearly equal ones."""
    for case in subject.moderate:
        given = case.draw(dtype=torch.float32)
        noise = Noise(batch_size(case.loss, given))
        with noise.recorded():
            case.value(given)
        for said, arguments in _arguments(case.loss, given):
            _compare(case, said, arguments, noise)


def _compare(case: Case, said: str, arguments: Mapping[str, Any], noise: Noise) -> None:
    """Fails if float32 differs from float64 by more than the rounding of quantities and result explains."""
    exact = draw.cast(arguments, torch.float64)
    single, double = _results(case, arguments, noise), _results(case, exact, noise)
    changed = [_results(case, _changed(exact, seed), noise) for seed in range(CHANGES)]
    for what, expected in double.items():
        greatest = float(expected.abs().max()) if expected.numel() else 0.0
        if not 0 < greatest < FLOAT32.max / 1e3 or what not in single:
            continue
        # A slope of 0 may well be one of 1 less another; a value is what people see.
        scale = greatest if what == "value" else max(greatest, 1.0)
        inevitable = max(_distance(other[what], expected) for other in changed)
        error = _distance(single[what], expected)
        if not error <= ALLOWED * (FLOAT32.eps * scale + inevitable) + FLOAT32.tiny:
            case.fail(
                f"at {said} its {what} in float32 differs by {error:.2g} from that in float64, which is "
                f"up to {greatest:.3g}",
                hint="nearly equal numbers are subtracted, or a great one is added and taken away again; "
                "torch has expm1, log1p, hypot and logsumexp, and near 0 the beginning of a series does",
            )


def _results(case: Case, arguments: Mapping[str, Any], noise: Noise) -> dict[str, Tensor]:
    """Value and gradients by what they are called, in float64."""
    with noise.again(lambda tensor: tensor):
        value, gradients = case.gradients(arguments)
    found = {"value": value.double()}
    for name, items in gradients.items():
        flat = [item.double().flatten() for item in items if item is not None]
        if flat:
            found[f"gradient by `{name}`"] = torch.cat(flat)
    return found


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def _changed(arguments: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The arguments, each number off by up to half a unit in float32's last place."""
    generator = torch.Generator().manual_seed(seed)

    def change(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        off = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) - 0.5
        return tensor * (1 + FLOAT32.eps * off)

    return each(arguments, change)


def _arguments(loss: Loss[Any], given: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Small and great ones, and such whose likes are nearly equal; what `example` draws stays."""
    drawn = draw.example(loss, draw.sizes(loss))
    quantities = {
        name: loss.quantities[name]
        for name in given
        if name not in drawn and draw.is_floating(loss.quantities[name])
    }
    domains = {name: split(quantity.annotation)[1] for name, quantity in quantities.items()}
    for size in (*SMALL, *GREAT):
        scaled = {
            name: _scaled(given[name], size)
            for name, domain in domains.items()
            if domain.scales and (size < 1 or not EXPONENT.search(name))
        }
        if scaled:
            yield f"{' and '.join(f'`{name}`' for name in scaled)} of about {size:g}", {**given, **scaled}
    pairs = [
        (name, other)
        for name, other in itertools.combinations(quantities, 2)
        if domains[name].free
        and draw.alike(quantities[name], quantities[other])
        and _shapes(given[name]) == _shapes(given[other])
    ]
    for size in SMALL if pairs else ():
        near = dict(given)
        for name, other in reversed(pairs):
            near[name] = _beside(near[other], given[name], size)
        said = " and ".join(f"`{name}` ≈ `{other}`" for name, other in pairs)
        yield f"{said}, about {size:g} apart", near


def _scaled(value: Any, size: float) -> Any:
    return each({"": value}, lambda tensor: tensor * size)[""]


def _beside(value: Any, other: Any, size: float) -> Any:
    """A value's tensors, moved a little in the direction of others."""
    near = [a + size * b for a, b in zip(tensors({"": value}), tensors({"": other}), strict=True)]
    return near if isinstance(value, list) else near[0]


def _shapes(value: Any) -> list[torch.Size]:
    return [tensor.shape for tensor in tensors({"": value})]
