import pytest
import torch

from genloss_builtin.losses.gradient_penalty import gradient_penalty, r1, r2


def gradient(value, *inputs):
    return torch.autograd.grad(value.sum(), inputs)


def linear_gradient(a, count=3):
    """The gradient of D(x) = a·x by its input, at `count` points."""
    x = torch.randn(count, *a.shape, requires_grad=True)
    return torch.autograd.grad((x * a).sum(), x)[0]


@pytest.mark.parametrize("shape", [(3,), (2, 4, 4)])
def test_penalties_of_a_linear_discriminator(shape):
    a = torch.randn(shape)
    norm, slope = a.norm(), linear_gradient(a)
    torch.testing.assert_close(gradient_penalty(slope), ((norm - 1) ** 2).expand(3))
    torch.testing.assert_close(gradient_penalty(slope, target=0.5), ((norm - 0.5) ** 2).expand(3))
    for penalty in (r1, r2):
        torch.testing.assert_close(penalty(slope), (norm**2 / 2).expand(3))


def test_one_norm_an_example():
    slope = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    torch.testing.assert_close(gradient_penalty(slope), torch.tensor([16.0, 0.0]))


def test_the_one_sided_penalty_leaves_small_gradients_alone():
    slope = torch.tensor([[3.0, 4.0], [0.3, 0.4]], requires_grad=True)
    value = gradient_penalty(slope, one_sided=True)
    torch.testing.assert_close(value, torch.tensor([16.0, 0.0]))
    assert (gradient(value, slope)[0][1] == 0).all()
    torch.testing.assert_close(gradient_penalty(slope), torch.tensor([16.0, 0.25]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-20, 1e10])
def test_penalties_at_vanishing_and_large_gradients(size, dtype):
    slope = torch.full((1, 3), size, dtype=dtype, requires_grad=True)
    for penalty in (gradient_penalty, r1, r2):
        value = penalty(slope)
        assert value.isfinite().all()
        assert gradient(value, slope)[0].isfinite().all()


def test_the_penalty_reaches_the_weights_through_the_gradient():
    # As in training: the penalty's own gradient is of second order in the discriminator.
    a = torch.tensor([3.0, 4.0], requires_grad=True)
    x = torch.randn(2, 2, requires_grad=True)
    (slope,) = torch.autograd.grad((x @ a).sum(), x, create_graph=True)
    (direction,) = gradient(gradient_penalty(slope), a)
    torch.testing.assert_close(direction, 2 * 2 * (5 - 1) * a.detach() / 5)
