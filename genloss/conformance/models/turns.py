"""What a model must offer to its players: named quantities that are what their annotations say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, get_args, get_origin

import torch
from jaxtyping import jaxtyped
from torch import Tensor

from genloss.conformance import generators
from genloss.conformance.host_reads import HostRead, is_host_read, trapped
from genloss.conformance.models import gradients
from genloss.conformance.models.cases import Case, listed, sampled
from genloss.conformance.values import same, tensors
from genloss.contracts.definition import Quantity, without_none
from genloss.contracts.model import Model
from genloss.contracts.shapes import describe_value, expected_value, matches
from genloss.errors import told
from genloss.training.modes import Modes
from genloss.training.networks import compute_in_bfloat16

EVENT_SHAPED = {
    "x_hat", "x_logits", "x_logvar", "real", "fake", "real_gradient", "fake_gradient",
    "interpolated_gradient", "noise", "prediction", "target", "score", "velocity", "velocity_target",
}  # fmt: skip
ONE_PER_EXAMPLE = {"log_qz", "log_pz", "real_logits", "fake_logits", "logdet"}
"""The names of the glossary whose shape is the same for every model."""


def documented_quantities(case: Case) -> None:
    """Each quantity has a docstring of one sentence, and its annotation says shape or type."""
    for player, turn in case.build().turns().items():
        for name, quantity in turn.quantities().items():
            what = f"quantity `{name}` of `{player}`"
            if not quantity.doc.split("\n\n")[0].rstrip().endswith("."):
                case.fail(f"{what} has no docstring that begins with a sentence", hint="losses choose by it")
            if quantity.annotation is Any or quantity.shape in ("Tensor", "list of Tensor"):
                case.fail(
                    f"{what} is annotated as `{quantity.shape}`, without a shape",
                    hint='write `Float[Tensor, "batch *event"]`, or whatever it is',
                )


def shapes(case: Case) -> None:
    """Each quantity has the shape and the type of its annotation, and one name is one size in a turn."""
    _check_shapes(case, case.build(), case.batch())
    # Held-out data may end with a batch of one.
    _check_shapes(case, case.build().eval(), case.batch(1))


def _check_shapes(case: Case, model: Model, batch: Mapping[str, Tensor]) -> None:
    for player, values in case.quantities(model, batch).items():
        offered = model.turns()[player].quantities()
        with jaxtyped("context"):
            # First what gives `batch` and `event` their sizes.
            for name in sorted(values, key=lambda name: name != "x"):
                if not _as_announced(values[name], offered[name], offered["x"], values["x"]):
                    _wrong_shape(case, player, offered[name], values)


def _as_announced(value: Any, quantity: Quantity, x: Quantity, data: Tensor) -> bool:
    annotation = without_none(quantity.annotation)
    if get_origin(annotation) is not list:
        return matches(value, annotation)
    if not isinstance(value, list):
        return False
    # Layers differ in width: dimensions that `x` does not have are each item's own.
    for item in value:
        with jaxtyped("context"):
            if not (matches(data, x.annotation) and matches(item, get_args(annotation)[0])):
                return False
    return True


def _wrong_shape(case: Case, player: str, quantity: Quantity, values: Mapping[str, Any]) -> None:
    shapes = {name: describe_value(value) for name, value in values.items() if isinstance(value, Tensor)}
    others = ", ".join(f"`{name}` is {shape}" for name, shape in shapes.items() if name != quantity.name)
    case.fail(
        f"quantity `{quantity.name}` of `{player}` is annotated as {expected_value(quantity.annotation)}, "
        f"and came as {describe_value(values[quantity.name])}",
        hint=others,
    )


def finite_quantities(case: Case) -> None:
    """Quantities of newly drawn weights are finite."""
    for player, values in case.quantities(case.build(), case.batch()).items():
        for name, value in values.items():
            for tensor in tensors(value):
                if not tensor.isfinite().all():
                    case.fail(f"quantity `{name}` of `{player}` is not finite")


def glossary(case: Case) -> None:
    """A quantity that bears a name of the glossary has the shape that the glossary says."""
    batch = case.batch()
    for player, values in case.quantities(case.build(), batch).items():
        for name, value in values.items():
            if name in EVENT_SHAPED:
                expected = list(batch["x"].shape)
            elif name in ONE_PER_EXAMPLE:
                expected = [len(batch["x"])]
            else:
                continue
            if not isinstance(value, Tensor) or list(value.shape) != expected:
                case.fail(
                    f"quantity `{name}` of `{player}` came as {describe_value(value)}, and by that name "
                    f"losses expect the shape {expected}",
                    hint="give it another name, or the shape",
                )


def computed_alone(case: Case) -> None:
    """Each quantity can be computed alone, and has the same shape as together with all others."""
    model, batch = case.build(), case.batch()
    for player, values in case.quantities(model, batch).items():
        for name, together in values.items():
            turn = model.turns()[player](model, batch, frozenset([name]))
            alone = case.ask(turn, player, name)
            if describe_value(alone) != describe_value(together):
                case.fail(
                    f"quantity `{name}` of `{player}` is {describe_value(alone)} where nothing else is "
                    f"needed, and {describe_value(together)} where all is"
                )


def batch_unchanged(case: Case) -> None:
    """The batch is not changed in place."""
    model, batch = case.build(), case.batch()
    before = {name: tensor.clone() for name, tensor in batch.items()}
    case.quantities(model, batch)
    for name, tensor in before.items():
        if not same(tensor, batch.get(name)):
            case.fail(
                f"a turn changes the batch's `{name}` in place",
                hint="the other players see the same batch: compute a new tensor",
            )


def weights_unchanged(case: Case) -> None:
    """A turn changes no parameter, and in evaluation mode no buffer either."""
    for training in (True, False):
        model = case.build()
        Modes(model).set(training=training)
        kept = model.named_parameters() if training else model.state_dict().items()
        before = {name: tensor.detach().clone() for name, tensor in kept}
        case.quantities(model, case.batch())
        after = dict(model.named_parameters()) if training else model.state_dict()
        for name, tensor in before.items():
            if not same(tensor, after[name].detach()):
                mode = "training" if training else "evaluation"
                case.fail(
                    f"a turn in {mode} mode changes `{name}`",
                    hint="optimizers change parameters; buffers change where `self.training` is true",
                )


def seed(case: Case) -> None:
    """One seed of torch's generator gives one value: of the weights, and of each quantity."""
    weights = [case.build(number).state_dict() for number in (0, 0, 1)]
    if not same(weights[0], weights[1]):
        case.fail("one seed gives different weights", hint="draw them from torch's own generator")
    trained = {name for name, parameter in case.build().named_parameters() if parameter.requires_grad}
    if all(same(weights[0][name], weights[2][name]) for name in trained & weights[0].keys()):
        case.fail(
            "different seeds give the same weights",
            hint="do not seed torch in a model: a run's seed does that for all its models alike",
        )
    model = case.build().eval()
    values = []
    for _ in range(2):
        with generators.seeded(1):
            values.append(case.quantities(model, case.batch()))
    for player, first in values[0].items():
        differ = [name for name, value in first.items() if not same(value, values[1][player][name])]
        if differ:
            case.fail(
                f"under one seed, `{player}` is offered two values of {listed(differ)}",
                hint="draw noise from torch's own generator, and keep nothing from turn to turn",
            )


def random_state(case: Case) -> None:
    """Random numbers come from torch's generator, which is not seeded; NumPy's and Python's are not used."""
    ends = []
    for number in (0, 1):
        with generators.seeded(number):
            before = generators.other_states()
            # Built here, where its draws are seen.
            model = case.definition.build(case.data, **case.definition.validated(case.options))
            case.quantities(model, case.batch())
            sampled(model.eval(), 2)
            after = generators.other_states()
            ends.append(generators.torch_state())
        for name, state in before.items():
            if after[name] != state:
                case.fail(
                    f"it draws from {name}'s global generator",
                    hint="a run seeds torch's alone: draw with torch.rand, torch.randn, torch.randint …",
                )
    if ends[0] == ends[1]:
        case.fail(
            "it seeds torch's generator",
            hint="delete `torch.manual_seed`: the trainer seeds weights, batches and noise",
        )


def host_reads(case: Case) -> None:
    """Nothing in a turn reads a value from the device, which would have to wait for it."""
    model, batch = case.build(), case.batch()
    for player, kind in model.turns().items():
        names = kind.quantities()
        for name in names:
            try:
                with trapped():
                    getattr(kind(model, batch, frozenset(names)), name)
            except HostRead as error:
                _fail_host_read(case, player, name, error)
    # What `.to("cpu")` copies is seen only where there is nothing to copy.
    for player, name, value in _without_values(case):
        if isinstance(value, Exception) and is_host_read(value):
            _fail_host_read(case, player, name, value)


def _fail_host_read(case: Case, player: str, name: str, error: Exception) -> NoReturn:
    case.fail(
        f"quantity `{name}` of `{player}` reads a value from the device, by {error}",
        hint="`.item()`, `.numpy()`, `float(…)`, `if tensor:` and indexing by a mask wait for the device",
        cause=error,
    )


def device(case: Case) -> None:
    """Quantities are computed on the model's device, whichever that is (here the meta device)."""
    raised = []
    for player, name, value in _without_values(case):
        if isinstance(value, Exception):
            if not is_host_read(value):
                raised.append((player, name, value))
        elif not all(tensor.is_meta for tensor in tensors(value)):
            case.fail(
                f"quantity `{name}` of `{player}` is on another device than the model",
                hint="write down no device: take that of `x`",
            )
    for player, name, error in raised:
        case.fail(
            f"quantity `{name}` of `{player}` cannot be computed on another device: {told(error)}",
            hint="register constant tensors as buffers, and draw noise on the device of `x`",
            cause=error,
        )


def _without_values(case: Case) -> Iterator[tuple[str, str, Any]]:
    """Player, name and value of each quantity on torch's meta device, or the error that it raises there."""
    model = case.build().to("meta")
    batch = {name: tensor.to("meta") for name, tensor in case.batch().items()}
    for player, kind in model.turns().items():
        names = kind.quantities()
        turn = kind(model, batch, frozenset(names))
        for name in names:
            try:
                yield player, name, getattr(turn, name)
            except Exception as error:
                yield player, name, error


def float64(case: Case) -> None:
    """A model in float64 computes quantities in float64."""
    model = case.build().double()
    for player, values in case.quantities(model, case.batch(dtype=torch.float64)).items():
        for name, value in values.items():
            for tensor in tensors(value):
                if tensor.is_floating_point() and tensor.dtype != torch.float64:
                    case.fail(
                        f"quantity `{name}` of `{player}` is {describe_value(tensor)} in a model of float64",
                        hint="write down no dtype: take that of `x` or of the parameters",
                    )


def bfloat16(case: Case) -> None:
    """With its networks in bfloat16, as `training.precision: bfloat16` has them, quantities stay float32."""
    model = case.build()
    compute_in_bfloat16(model, torch.device("cpu"))
    for player, values in case.quantities(model, case.batch()).items():
        for name, value in values.items():
            for tensor in tensors(value):
                if tensor.is_floating_point() and tensor.dtype != torch.float32:
                    case.fail(
                        f"quantity `{name}` of `{player}` is {describe_value(tensor)} with its networks in "
                        "bfloat16",
                        hint="what the model's direct parts give is brought back to float32: let them return "
                        "tensors, or lists, tuples, mappings or dataclasses of them",
                    )


CHECKS: tuple[Callable[[Case], None], ...] = (
    documented_quantities,
    shapes,
    computed_alone,
    glossary,
    finite_quantities,
    *gradients.CHECKS,
    batch_unchanged,
    weights_unchanged,
    seed,
    random_state,
    host_reads,
    device,
    float64,
    bfloat16,
)
