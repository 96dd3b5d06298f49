import math

import pytest
import torch
import torch.nn.functional as F

from genloss_builtin.losses.reconstruction import (
    absolute_error,
    charbonnier,
    cosine_distance,
    huber,
    log_cosh,
    squared_error,
)

ELEMENTWISE = [squared_error, absolute_error, huber, charbonnier, log_cosh]
elementwise = pytest.mark.parametrize("loss", ELEMENTWISE, ids=lambda loss: loss.name)


def value_and_gradient(loss, x, x_hat, **options):
    x_hat = x_hat.detach().clone().requires_grad_()
    value = loss(x, x_hat, **options)
    return value, torch.autograd.grad(value.sum(), x_hat)[0]


@pytest.mark.parametrize(
    ("loss", "function"),
    [
        (squared_error, lambda d: d.square()),
        (absolute_error, lambda d: d.abs()),
        (huber, lambda d: F.smooth_l1_loss(d, torch.zeros_like(d), reduction="none")),
        (charbonnier, lambda d: (d.square() + 1e-6).sqrt()),
        (log_cosh, lambda d: d.cosh().log()),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_formula_summed_or_averaged_over_the_event(loss, function):
    x, x_hat = 3 * torch.randn(2, 4, 2, 5, dtype=torch.float64)
    expected = function(x - x_hat)
    torch.testing.assert_close(loss(x, x_hat), expected.sum((1, 2)))
    torch.testing.assert_close(loss(x, x_hat, reduce="mean"), expected.mean((1, 2)))


def test_huber_is_quadratic_up_to_delta_and_linear_beyond():
    x = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    value = huber(x, torch.zeros(4, 1), delta=2.0)
    torch.testing.assert_close(value, torch.tensor([0.0, 0.5, 2.0, 18.0]))


@elementwise
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_inputs_have_no_gradient(loss, dtype):
    x = torch.randn(3, 4, dtype=dtype)
    value, gradient = value_and_gradient(loss, x, x)
    assert (gradient == 0).all()
    torch.testing.assert_close(value, torch.full((3,), 4e-3 if loss is charbonnier else 0.0, dtype=dtype))


@elementwise
@pytest.mark.parametrize("error", [-1e4, -30.0, 30.0, 1e4])
def test_large_errors(loss, error):
    x = torch.full((1, 2), error)
    value, gradient = value_and_gradient(loss, x, torch.zeros(1, 2))
    size = abs(error)
    expected = {
        squared_error: size**2,
        absolute_error: size,
        huber: size - 0.5,
        charbonnier: size,
        log_cosh: size - math.log(2),
    }[loss]
    torch.testing.assert_close(value, torch.tensor([2 * expected]))
    slope = 2 * size if loss is squared_error else 1.0
    torch.testing.assert_close(gradient, torch.full((1, 2), -math.copysign(slope, error)))


def test_charbonnier_keeps_its_gradient_at_an_epsilon_whose_square_underflows():
    value, gradient = value_and_gradient(charbonnier, torch.zeros(1, 1), torch.zeros(1, 1), epsilon=1e-30)
    torch.testing.assert_close(value, torch.tensor([1e-30]), rtol=1e-6, atol=0)
    assert (gradient == 0).all()


# cosine_distance


def test_cosine_distance():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    x_hat = torch.tensor([[5.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(cosine_distance(x, x_hat), torch.tensor([0.0, 1.0, 2.0, 1 - math.sqrt(0.5)]))


def test_cosine_distance_takes_the_event_as_one_vector():
    x, x_hat = torch.randn(2, 4, 2, 3)
    torch.testing.assert_close(cosine_distance(x, x_hat), cosine_distance(x.flatten(1), x_hat.flatten(1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("left", "right"), [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)])
def test_a_zero_vector_is_at_distance_one(left, right, dtype):
    x = torch.full((1, 3), left, dtype=dtype)
    value, gradient = value_and_gradient(cosine_distance, x, torch.full((1, 3), right, dtype=dtype))
    assert value.item() == 1
    assert gradient.isfinite().all()
