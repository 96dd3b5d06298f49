"""Losses where numbers are small, great, or infinite with a finite limit; the truth is mpmath's."""

import mpmath
import pytest
import torch

from genloss_builtin.losses._digits import expm1_residual, log_cosh, log_mean_exp
from genloss_builtin.losses.divergence import categorical_kl, gaussian_kl
from genloss_builtin.losses.likelihood import continuous_bernoulli_nll
from genloss_builtin.losses.reconstruction import cosine_distance
from genloss_builtin.losses.variational import iwae

INFINITE = float("inf")
MAGNITUDES = [10.0**exponent for exponent in range(-8, 9)]
SLACK = {torch.float32: 5e-6, torch.float64: 1e-12}
"""Relative errors: an epsilon over the threshold below which there is a series."""


def assert_digits(function, exact, numbers, dtype):
    """Value and slope agree with what mpmath finds with fifty digits."""
    mpmath.mp.dps = 50
    x = torch.tensor(numbers, dtype=dtype, requires_grad=True)
    value = function(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    for number, got, rises in zip(x.tolist(), value.tolist(), slope.tolist(), strict=True):
        for name, found, truth in (
            ("value", got, exact(mpmath.mpf(number))),
            ("slope", rises, mpmath.diff(exact, mpmath.mpf(number), h=mpmath.mpf(10) ** -20)),
        ):
            assert abs(found - truth) <= SLACK[dtype] * abs(truth), (name, number, found, truth)


@pytest.mark.parametrize("dtype", SLACK, ids=str)
def test_log_cosh(dtype):
    numbers = [sign * size * factor for size in MAGNITUDES for sign in (1, -1) for factor in (1, 3.3)]
    assert_digits(log_cosh, lambda x: mpmath.log(mpmath.cosh(x)), numbers, dtype)


@pytest.mark.parametrize("dtype", SLACK, ids=str)
def test_what_the_exponential_has_beyond_its_tangent(dtype):
    numbers = [*(size for size in MAGNITUDES if size < 80), *(-size for size in MAGNITUDES)]
    assert_digits(expm1_residual, lambda x: mpmath.exp(x) - 1 - x, numbers, dtype)


@pytest.mark.parametrize("x", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("dtype", SLACK, ids=str)
def test_the_continuous_bernoulli(x, dtype):
    def exact(logit):
        norm = mpmath.log(logit / mpmath.tanh(logit / 2))
        return mpmath.log(1 + mpmath.exp(logit)) - x * logit - norm

    def loss(logits):
        return continuous_bernoulli_nll(x=torch.full_like(logits, x), x_logits=logits)

    # Where its value crosses 0 there are no digits to keep.
    numbers = [sign * size for size in (1e-8, 1e-6, 1e-4, 1e-2, 0.1, 0.3, 1e2, 1e4, 1e8) for sign in (1, -1)]
    if x == 0.25:
        assert_digits(loss, exact, numbers, dtype)
    else:
        logits = torch.tensor(numbers, dtype=dtype)
        truth = torch.tensor([float(exact(mpmath.mpf(number))) for number in logits.tolist()], dtype=dtype)
        torch.testing.assert_close(loss(logits), truth, rtol=SLACK[dtype], atol=0)


@pytest.mark.parametrize("size", [1e-8, 1e-4, 1e-2, 1.0, 30.0, 1e4, 1e8])
def test_the_mean_of_exponentials(size):
    weights = size * torch.tensor([[0.3, -1.0, 0.8, 0.2, -0.1]])
    mpmath.mp.dps = 50
    truth = mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(w)) for w in weights[0].tolist()) / 5)
    assert float(log_mean_exp(weights, 1)) == pytest.approx(float(truth), rel=5e-6)
    assert float(iwae(log_weights=weights)) == pytest.approx(-float(truth), rel=5e-6)
    assert float(iwae(log_weights=torch.tensor([[0.0, -INFINITE]]))) == pytest.approx(float(mpmath.log(2)))


@pytest.mark.parametrize("size", [1e-8, 1e-4, 1e-2, 1.0, 30.0, 1e4])
def test_the_divergence_of_classes(size):
    generator = torch.Generator().manual_seed(0)
    p, q = (size * torch.randn(1, 1, 6, generator=generator) for _ in range(2))
    mpmath.mp.dps = 50

    def logs(logits):
        exact = [mpmath.mpf(logit) for logit in logits.flatten().tolist()]
        total = mpmath.log(mpmath.fsum(map(mpmath.exp, exact)))
        return [logit - total for logit in exact]

    for prior, given in ((logs(q), q), ([-mpmath.log(6)] * 6, None)):
        pairs = zip(logs(p), prior, strict=True)
        truth = float(mpmath.fsum(mpmath.exp(a) * (a - b) for a, b in pairs))
        assert float(categorical_kl(p, given)) == pytest.approx(truth, rel=1e-5)


def test_a_class_that_is_left_out_is_no_class():
    p = torch.tensor([[[0.3, -INFINITE, 1.0]]], requires_grad=True)
    q = torch.tensor([[[0.1, 2.0, -0.5]]], requires_grad=True)
    for prior in (q, torch.tensor([[[0.1, -INFINITE, -0.5]]]), None):
        value = categorical_kl(p, prior)
        log_p = p.detach()[..., [0, 2]].log_softmax(-1)
        log_q = (torch.zeros(1, 1, 3) if prior is None else prior.detach()).log_softmax(-1)[..., [0, 2]]
        torch.testing.assert_close(value.detach(), (log_p.exp() * (log_p - log_q)).sum((1, 2)))
        (slope,) = torch.autograd.grad(value.sum(), p)
        assert slope.isfinite().all()
        assert slope[0, 0, 1] == 0
    (slope,) = torch.autograd.grad(categorical_kl(p, q).sum(), q)
    torch.testing.assert_close(slope, q.softmax(-1).detach() - p.softmax(-1).detach())
    # What the prior leaves out, and the posterior does not, is infinitely far.
    assert categorical_kl(q, p).item() == INFINITE


@pytest.mark.parametrize("logvar", [-100.0, -170.0, -1e4])
def test_equal_gaussians_are_0_apart_however_narrow(logvar):
    mu = torch.full((1, 2), 0.7, requires_grad=True)
    narrow = torch.full((1, 2), logvar, requires_grad=True)
    value = gaussian_kl(mu, narrow, mu.detach(), narrow.detach())
    assert value.item() == 0
    for slope in torch.autograd.grad(value.sum(), (mu, narrow)):
        torch.testing.assert_close(slope, torch.zeros(1, 2))
    if logvar > -177:  # the square of the distance, in units of the variance, is a float32's
        near = gaussian_kl(mu + 1e-19, narrow, mu, narrow)
        assert near.isfinite().all()


def test_the_angle_between_vectors_of_any_length():
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 3.0**0.5]])
    for size in (1e-30, 1e-12, 1e-8, 1.0, 1e20, 1e30):
        torch.testing.assert_close(cosine_distance(size * a, b), torch.tensor([0.5]))
        torch.testing.assert_close(cosine_distance(size * a, size * a), torch.tensor([0.0]))
    for angle in (1e-6, 1e-4, 1e-2):
        turned = torch.tensor([[1.0, angle]])
        assert cosine_distance(a, turned).item() == pytest.approx(
            1 - mpmath.cos(mpmath.atan(angle)), rel=1e-5
        )
    zero = torch.zeros(1, 2, requires_grad=True)
    value = cosine_distance(zero, b)
    assert (value.item(), cosine_distance(zero, zero).item()) == (1, 1)
    assert torch.autograd.grad(value.sum(), zero)[0].isfinite().all()
