import pytest
import torch

import genloss
from genloss_builtin.losses.discrepancy import mmd

KERNELS = ["rbf", "imq", "energy"]
every_kernel = pytest.mark.parametrize("kernel", KERNELS)


def by_loops(x, y, kernel, scales, unbiased):
    """The definition, pair by pair."""

    def k(a, b):
        square = (a - b).square().sum()
        if kernel == "energy":
            return -square.sqrt()
        if kernel == "rbf":
            return sum(torch.exp(-square / (2 * s**2)) for s in scales)
        return sum(2 * a.numel() * s**2 / (2 * a.numel() * s**2 + square) for s in scales)

    def mean(a, b, apart):
        pairs = [k(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (apart and i == j)]
        return torch.stack(pairs).mean()

    return mean(x, x, unbiased) + mean(y, y, unbiased) - 2 * mean(x, y, False)


@every_kernel
@pytest.mark.parametrize("unbiased", [False, True])
def test_the_definition_for_samples_of_two_sizes(kernel, unbiased):
    x, y = torch.randn(4, 2, 3, dtype=torch.float64), torch.randn(6, 2, 3, dtype=torch.float64)
    options = {"kernel": kernel, "scales": (0.5, 2.0), "unbiased": unbiased}
    torch.testing.assert_close(mmd(x, y, **options), by_loops(x, y, **options))


@every_kernel
def test_equal_samples_have_no_distance_and_no_gradient(kernel):
    x = torch.randn(5, 3, requires_grad=True)
    value = mmd(x, x.detach().clone(), kernel=kernel)
    torch.testing.assert_close(value, torch.tensor(0.0), rtol=0, atol=1e-6)
    (slope,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(slope, torch.zeros(5, 3), rtol=0, atol=1e-6)


@every_kernel
def test_the_unbiased_estimate_is_right_on_average_and_the_other_is_above(kernel):
    # Two samples of one distribution, whose distance is 0.
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(400, 2, 20, 2, generator=generator)
    for unbiased in (True, False):
        values = torch.stack([mmd(x, y, kernel=kernel, unbiased=unbiased) for x, y in samples])
        error = values.std() / len(values) ** 0.5
        assert (abs(values.mean()) < 4 * error) == unbiased
        assert (values.min() < 0) == unbiased


@every_kernel
def test_the_gradient_draws_samples_together(kernel):
    x, y = torch.randn(64, 2), torch.randn(64, 2) + 2
    x.requires_grad_()
    (slope,) = torch.autograd.grad(mmd(x, y, kernel=kernel), x)
    assert (-slope.mean(0) > 0).all()


def test_far_samples_keep_a_gradient_under_the_energy_kernel():
    x = torch.full((4, 2), 1e4).requires_grad_()
    (slope,) = torch.autograd.grad(mmd(x, torch.zeros(4, 2), kernel="energy"), x)
    torch.testing.assert_close(slope.sum(0), torch.full((2,), 2 * 0.5**0.5))


def test_the_unbiased_estimate_needs_two_examples():
    with pytest.raises(genloss.GenlossError, match="sample of size one"):
        mmd(torch.zeros(1, 2), torch.zeros(3, 2), unbiased=True)


def test_scales_are_validated():
    option = mmd.options["scales"]
    assert option.validate([1, 2.5]) == (1.0, 2.5)
    for wrong in ([], [0.0], [-1.0], 1.0):
        with pytest.raises(ValueError, match="expected list of float"):
            option.validate(wrong)
