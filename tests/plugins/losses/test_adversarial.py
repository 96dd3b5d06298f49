import pytest
import torch
import torch.nn.functional as F

from genloss_builtin.losses.adversarial import (
    hinge_discriminator,
    least_squares_discriminator,
    least_squares_generator,
    minimax_discriminator,
    minimax_generator,
    non_saturating_generator,
    wasserstein_discriminator,
)
from genloss_builtin.losses.relativistic import relativistic_discriminator, relativistic_generator

PAIRED = [
    minimax_discriminator,
    least_squares_discriminator,
    hinge_discriminator,
    wasserstein_discriminator,
    relativistic_discriminator,
    relativistic_generator,
]


@pytest.mark.parametrize("loss", PAIRED, ids=lambda loss: loss.name)
def test_patches_are_averaged_after_the_loss(loss):
    real, fake = torch.randn(2, 4, 1, 3, 3)
    each = loss(real_logits=real.flatten(), fake_logits=fake.flatten()).view(4, 9)
    torch.testing.assert_close(loss(real_logits=real, fake_logits=fake), each.mean(1))


def test_the_optimal_discriminator_has_no_gradient():
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    q = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    logits = (p / q).log().requires_grad_()
    # Expectations under p of real and under q of fake examples: 10 each, counted out.
    real = logits.repeat_interleave(torch.tensor([5, 3, 2]))
    fake = logits.repeat_interleave(torch.tensor([2, 2, 6]))
    (gradient,) = torch.autograd.grad(minimax_discriminator(real, fake).mean(), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(p))


def test_label_smoothing_is_one_sided():
    real, fake = torch.randn(2, 5)
    expected = F.binary_cross_entropy_with_logits(
        real, torch.full((5,), 0.9), reduction="none"
    ) + F.binary_cross_entropy_with_logits(fake, torch.zeros(5), reduction="none")
    torch.testing.assert_close(minimax_discriminator(real, fake, label_smoothing=0.1), expected)


def test_the_non_saturating_gradient_survives_where_a_logarithm_of_a_sigmoid_loses_it():
    logits = torch.tensor([-30.0], requires_grad=True)

    def gradient(value):
        return torch.autograd.grad(value.sum(), logits)[0]

    torch.testing.assert_close(gradient(non_saturating_generator(logits)), torch.tensor([-1.0]))
    assert gradient(-(logits.sigmoid() + 1e-8).log()).abs() < 1e-4
    assert gradient(minimax_generator(logits)).abs() < 1e-12


def test_least_squares_labels():
    real, fake = torch.tensor([2.0]), torch.tensor([3.0])
    assert least_squares_discriminator(real, fake, a=-1.0, b=1.0).item() == 0.5 * (1 + 16)
    assert least_squares_generator(fake, c=0.0).item() == 4.5
