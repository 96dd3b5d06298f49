"""What every built-in loss must do, on arguments drawn from its annotations."""

from typing import get_args

import pytest
import torch
from jaxtyping import AbstractArray
from torch import Tensor

import genloss_builtin

BATCH = 4
SIZES = {
    "batch": (BATCH,),
    "*event": (2, 3),
    "*latent": (3,),
    "*patches": (2,),
    "*positions": (3,),
    "*variables": (2,),
    "vocabulary": (5,),
    "classes": (4,),
    "channels": (2,),
    "height": (5,),
    "width": (4,),
}
OPTIONS = {
    "categorical_nll": [{"label_smoothing": 0.1}, {"reduce": "mean"}],
    "gaussian_nll": [{"variance": 0.3}],
    "laplace_nll": [{"scale": 0.3}],
    "z_loss": [{"reduce": "mean"}],
    "squared_error": [{"reduce": "mean"}],
    "huber": [{"delta": 0.3}],
    "charbonnier": [{"epsilon": 0.3}],
    "ssim_distance": [{"kernel_size": 5, "data_range": 2.0}],
    "gaussian_kl": [{"free_bits": 0.5}],
    "minimax_discriminator": [{"label_smoothing": 0.1}],
    "least_squares_discriminator": [{"a": -1.0, "b": 0.5}],
    "least_squares_generator": [{"c": 0.5}],
    "relativistic_average_discriminator": [{"form": "hinge"}, {"form": "least_squares"}],
    "relativistic_average_generator": [{"form": "hinge"}, {"form": "least_squares"}],
    "gradient_penalty": [{"target": 0.0}, {"one_sided": True}],
    "feature_matching": [{"norm": "l1"}],
}
LOSSES = list(genloss_builtin.genloss_losses())
CASES = [(loss, options) for loss in LOSSES for options in [{}, *OPTIONS.get(loss.name, [])]]
MINIMAL = [(loss, o) for loss, o in CASES if any(q.optional for q in loss.quantities.values())]

every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
every_case = pytest.mark.parametrize(
    ("loss", "options"), CASES, ids=[f"{loss.name} {options or ''}" for loss, options in CASES]
)
with_and_without_optional_quantities = pytest.mark.parametrize(
    ("loss", "options", "optional"),
    [(*case, True) for case in CASES] + [(*case, False) for case in MINIMAL],
    ids=[f"{loss.name} {options or ''}" for loss, options in CASES]
    + [f"{loss.name} {options or ''} minimal" for loss, options in MINIMAL],
)


def draw(loss, dtype=torch.float64, *, seed=0, sizes=SIZES, optional=True):
    """Valid arguments, the optional ones too unless they are not wanted."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if loss.example is not None:
            drawn = dict(loss.example())
        else:
            drawn = {name: _tensor(quantity, sizes) for name, quantity in loss.quantities.items()}
    drawn = {name: v for name, v in drawn.items() if optional or not loss.quantities[name].optional}
    return each(drawn, lambda v: v.to(dtype) if v.is_floating_point() else v)


def _tensor(quantity, sizes):
    shape = [size for dimension in quantity.shape.split() for size in sizes[dimension]]
    parts = (quantity.annotation, *get_args(quantity.annotation))
    assert any(isinstance(part, type) and issubclass(part, AbstractArray) for part in parts)
    bounded = any(hasattr(part, "ge") for part in parts)
    return torch.rand(shape, dtype=torch.float64) if bounded else torch.randn(shape, dtype=torch.float64)


def each(arguments, change):
    """The arguments with every tensor changed; features are lists of tensors."""
    return {
        name: [change(item) for item in value] if isinstance(value, list) else change(value)
        for name, value in arguments.items()
    }


def leaves(arguments):
    """The arguments with fresh floating-point tensors that want a gradient, and those tensors."""
    found = []

    def leaf(value):
        if not value.is_floating_point():
            return value
        found.append(value.detach().clone().requires_grad_())
        return found[-1]

    return each(arguments, leaf), found


def value_and_gradients(function, arguments, options):
    given, wanted = leaves(arguments)
    value = function(**given, **options)
    return value, torch.autograd.grad(value.sum(), wanted)


def test_every_option_is_tried():
    for loss in LOSSES:
        tried = set().union(*OPTIONS.get(loss.name, []))
        assert set(loss.options) - tried <= {"reduce"}, loss.name


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_finite_value_per_example(loss, options, dtype):
    value = loss(**draw(loss, dtype), **options)
    size = len(value) if value.dim() else None
    batch = None if loss.batch_coupled else len(next(iter(draw(loss).values())))
    assert (value.dtype, value.dim(), size) == (dtype, 0 if loss.batch_coupled else 1, batch)
    assert value.isfinite().all()


@every_loss
def test_an_event_may_be_one_number(loss):
    scalars = {name: () if name.startswith("*") else size for name, size in SIZES.items()}
    value = loss(**draw(loss, sizes=scalars, optional=False))
    assert value.dim() == (0 if loss.batch_coupled else 1)


@every_case
def test_float32_and_bfloat16_agree_with_float64(loss, options):
    coarse = draw(loss, torch.bfloat16)
    exact = loss(**each(coarse, lambda v: v.double() if v.is_floating_point() else v), **options)
    single = loss(**each(coarse, lambda v: v.float() if v.is_floating_point() else v), **options)
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss(**coarse, **options).double(), exact, rtol=5e-2, atol=5e-2)


@with_and_without_optional_quantities
def test_gradients(loss, options, optional):
    given, wanted = leaves(draw(loss, optional=optional))

    def value(*tensors):
        replacements = iter(tensors)
        return loss(**each(given, lambda v: next(replacements) if v.is_floating_point() else v), **options)

    # Images are checked along random directions only: one element at a time takes seconds.
    assert torch.autograd.gradcheck(value, wanted, fast_mode=sum(v.numel() for v in wanted) > 200)


@every_case
def test_the_order_of_the_batch_does_not_matter(loss, options):
    given = draw(loss)
    value = loss(**given, **options)
    order = torch.randperm(len(value) if value.dim() else BATCH, generator=torch.Generator().manual_seed(1))
    permuted = loss(**each(given, lambda v: v[order]), **options)
    torch.testing.assert_close(permuted, value if loss.batch_coupled else value[order])


@every_case
def test_an_example_is_alone_unless_the_loss_says_so(loss, options):
    given = draw(loss)
    value, alone = loss(**given, **options), loss(**each(given, lambda v: v[:1]), **options)
    if loss.batch_coupled:
        assert not torch.isclose(alone, value)
    else:
        torch.testing.assert_close(alone, value[:1])


@with_and_without_optional_quantities
def test_no_host_read_and_no_device_written_down(loss, options, optional):
    # A meta tensor has no values: reading one on the host raises, and so does mixing it with a CPU tensor.
    value = loss(**each(draw(loss, optional=optional), lambda v: v.to("meta")), **options)
    assert value.is_meta


@every_case
def test_vmap(loss, options):
    one, two = draw(loss, seed=0), draw(loss, seed=1)
    others = iter([item for v in two.values() for item in (v if isinstance(v, list) else [v])])
    stacked = each(one, lambda v: torch.stack([v, next(others)]))
    mapped = torch.func.vmap(lambda given: loss(**given, **options))(stacked)
    torch.testing.assert_close(mapped, torch.stack([loss(**one, **options), loss(**two, **options)]))


@every_loss
def test_compiles_into_one_graph(loss):
    torch._dynamo.reset()
    given = draw(loss)
    compiled = torch.compile(loss.build(), backend="aot_eager", fullgraph=True)
    value, gradients = value_and_gradients(compiled, given, {})
    expected, expected_gradients = value_and_gradients(loss, given, {})
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradients, expected_gradients)


def test_a_quantity_is_never_changed():
    for loss in LOSSES:
        given = draw(loss)
        before = each(given, Tensor.clone)
        loss(**given)
        torch.testing.assert_close(given, before, rtol=0, atol=0)
