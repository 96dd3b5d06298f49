"""What a model must do besides training: sample, judge and reconstruct examples, be saved and copied."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor

from genloss.conformance import generators
from genloss.conformance.host_reads import is_host_read
from genloss.conformance.models.cases import Case, sampled
from genloss.conformance.values import same
from genloss.contracts.model import Model
from genloss.contracts.shapes import describe_value
from genloss.errors import told
from genloss.training.modes import Modes

SAMPLES = 7


def sample_shape(case: Case) -> None:
    """`sample(count)` gives `[count, *event]`: int64 tokens, or floats like weights; without gradients."""
    model = case.build().eval()
    for count in (1, 3):
        samples = sampled(model, count)
        expected = [count, *case.data.event_shape]
        if not isinstance(samples, Tensor) or list(samples.shape) != expected:
            case.fail(f"`sample({count})` must give the shape {expected}, got {describe_value(samples)}")
        dtype = torch.int64 if case.data.kind == "tokens" else torch.float32
        if samples.dtype != dtype:
            case.fail(
                f"`sample` must give {_short(dtype)}, got {_short(samples.dtype)}",
                hint="tokens are int64, all else has the dtype of the parameters",
            )
        if samples.requires_grad:
            case.fail("samples require gradients", hint="`sample` computes under `torch.no_grad()`")


def sample_values(case: Case) -> None:
    """Samples are finite, and within the data's value range or vocabulary."""
    samples = sampled(case.build().eval(), SAMPLES)
    if not samples.isfinite().all():
        case.fail("samples of newly drawn weights are not finite")
    bounds: tuple[float, float] | None = case.data.value_range
    if case.data.kind == "tokens" and case.data.vocabulary is not None:
        bounds = (0, case.data.vocabulary - 1)
    if bounds is None:
        return
    low, high = bounds
    slack = 1e-5 * (high - low)  # of rounding
    least, greatest = float(samples.min()), float(samples.max())
    if least < low - slack or greatest > high + slack:
        case.fail(
            f"samples must lie in [{low:g}, {high:g}], got values from {least:g} to {greatest:g}",
            hint="end in an activation of that range, or clamp: pictures and metrics rely on it",
        )


def sample_seed(case: Case) -> None:
    """One seed gives one set of samples, another seed another, and examples differ."""
    model = case.build().eval()
    drawn = [_drawn(model, seed) for seed in (1, 1, 2)]
    if not same(drawn[0], drawn[1]):
        case.fail("one seed gives different samples", hint="draw from torch's own generator")
    if same(drawn[1], drawn[2]):
        case.fail(
            "different seeds give the same samples",
            hint="draw them: a model of a distribution has no single best example",
        )
    if same(drawn[0][:1].expand_as(drawn[0]), drawn[0]):
        case.fail("all samples are the same", hint="draw noise for each example")


def sample_device(case: Case) -> None:
    """Samples are on the model's device, whichever that is (here the meta device)."""
    try:
        samples = sampled(case.build().eval().to("meta"), 2)
    except Exception as error:
        if is_host_read(error):  # as a sampler may, whose end depends on what it has drawn
            return
        case.fail(
            f"`sample` cannot be computed on another device: {told(error)}",
            hint="draw noise on the device of the parameters; register constant tensors as buffers",
            cause=error,
        )
    if not samples.is_meta:
        case.fail(f"samples are on {samples.device}, and the model is not")


def sample_float64(case: Case) -> None:
    """A model in float64 samples in float64 (or tokens)."""
    samples = sampled(case.build().eval().double(), 2)
    if samples.is_floating_point() and samples.dtype != torch.float64:
        case.fail(
            f"samples are {_short(samples.dtype)} in a model of float64",
            hint="write down no dtype: take that of the parameters",
        )


def sample_traceless(case: Case) -> None:
    """Sampling changes neither weights nor buffers, nor the mode of training or evaluation."""
    model = case.build()
    built = Modes(model)
    for training in (True, False):
        built.set(training=training)
        modes = [module.training for module in model.modules()]
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        sampled(model, 2)
        if [module.training for module in model.modules()] != modes:
            case.fail(
                "`sample` leaves a part of the model in another mode than before",
                hint="delete `.train()` and `.eval()`: the evaluation puts the model into its mode",
            )
        if not training:
            for name, tensor in model.state_dict().items():
                if not same(before[name], tensor):
                    case.fail(f"`sample` changes `{name}`")


def saved_state(case: Case) -> None:
    """A new instance that loads the saved weights gives the same samples."""
    model, other = case.build(0).eval(), case.build(1).eval()
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "weights.safetensors")
        save_model(model, file)
        load_model(other, file)
    _require_same_samples(case, model, other, "an instance that loaded the saved weights")


def copied(case: Case) -> None:
    """A deep copy, in which averaged weights are kept, gives the same samples and shares no parameter."""
    model = case.build().eval()
    case.quantities(model, case.batch())
    try:
        other = copy.deepcopy(model)
    except Exception as error:
        case.fail(
            f"a deep copy after a turn raises {told(error)}",
            hint="keep nothing of a turn in the model",
            cause=error,
        )
    _require_same_samples(case, model, other, "a deep copy")
    theirs = {parameter for module in other.players().values() for parameter in module.parameters()}
    if not theirs.isdisjoint(model.parameters()):
        case.fail(
            "the players of a deep copy still train the original's parameters",
            hint="`players` gives attributes of `self`, looked up when it is called",
        )


def log_likelihood(case: Case) -> None:
    """`log_likelihood(x)` gives one finite number an example, and leaves x as it is."""
    model, batch = case.build().eval(), case.batch()
    values = _judged(case, model, "log_likelihood", batch["x"])
    if not isinstance(values, Tensor) or list(values.shape) != [len(batch["x"])]:
        case.fail(
            f"`log_likelihood` must give the shape [{len(batch['x'])}], got {describe_value(values)}",
            hint="sum over the event's dimensions, in nats",
        )
    if not (values.is_floating_point() and values.isfinite().all()):
        case.fail("`log_likelihood` of newly drawn weights is not finite")
    if case.data.vocabulary is not None and case.data.kind == "tokens" and bool((values > 1e-4).any()):
        case.fail("`log_likelihood` of tokens is a log-probability, and came above 0")
    if len(model.log_likelihood(batch["x"][:1])) != 1:  # type: ignore[operator]
        case.fail("`log_likelihood` of one example must give one number")


def reconstruct(case: Case) -> None:
    """`reconstruct(x)` gives the shape of x, and leaves x as it is."""
    model, batch = case.build().eval(), case.batch()
    came = _judged(case, model, "reconstruct", batch["x"])
    if not isinstance(came, Tensor) or came.shape != batch["x"].shape:
        case.fail(f"`reconstruct` must give {describe_value(batch['x'])}, got {describe_value(came)}")


def _judged(case: Case, model: Model, method: str, x: Tensor) -> object:
    before = x.clone()
    with torch.no_grad():
        value: object = getattr(model, method)(x)
    if not same(before, x):
        case.fail(f"`{method}` changes its input in place")
    return value


def _drawn(model: Model, seed: int) -> Tensor:
    with generators.seeded(seed):
        return sampled(model, SAMPLES)


def _require_same_samples(case: Case, model: Model, other: Model, what: str) -> None:
    if not same(_drawn(model, 1), _drawn(other, 1)):
        case.fail(
            f"{what} gives other samples under the same seed",
            hint="sampling depends on parameters, (persistent) buffers and options alone",
        )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


CHECKS: tuple[Callable[[Case], None], ...] = (
    sample_shape,
    sample_values,
    sample_seed,
    sample_device,
    sample_float64,
    sample_traceless,
    saved_state,
    copied,
)
OF_METHODS: dict[str, Callable[[Case], None]] = {"log_likelihood": log_likelihood, "reconstruct": reconstruct}
"""The checks of methods that a model may have."""
