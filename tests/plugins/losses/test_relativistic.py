import pytest
import torch
import torch.nn.functional as F

from genloss_builtin.losses.relativistic import (
    relativistic_average_discriminator,
    relativistic_average_generator,
    relativistic_discriminator,
    relativistic_generator,
)

AVERAGE = [relativistic_average_discriminator, relativistic_average_generator]
FORMS = ["logistic", "hinge", "least_squares"]


def test_relativistic_losses_pair_by_index_and_mirror_each_other():
    real, fake = torch.randn(2, 6)
    torch.testing.assert_close(
        relativistic_discriminator(real, fake),
        torch.stack([F.softplus(f - r) for r, f in zip(real, fake, strict=True)]),
    )
    torch.testing.assert_close(relativistic_generator(real, fake), relativistic_discriminator(fake, real))


@pytest.mark.parametrize("form", FORMS)
def test_relativistic_average_is_the_sum_of_two_means(form):
    real, fake = torch.randn(2, 6)
    u, v = real - fake.mean(), fake - real.mean()
    above, below = {
        "logistic": (lambda d: -d.sigmoid().log(), lambda d: -(1 - d.sigmoid()).log()),
        "hinge": (lambda d: (1 - d).clamp(min=0), lambda d: (1 + d).clamp(min=0)),
        "least_squares": (lambda d: (d - 1) ** 2, lambda d: (d + 1) ** 2),
    }[form]
    torch.testing.assert_close(
        relativistic_average_discriminator(real, fake, form=form), above(u).mean() + below(v).mean()
    )
    torch.testing.assert_close(
        relativistic_average_generator(real, fake, form=form), above(v).mean() + below(u).mean()
    )


@pytest.mark.parametrize("loss", AVERAGE, ids=lambda loss: loss.name)
@pytest.mark.parametrize("form", FORMS)
def test_relativistic_average_sees_only_differences(loss, form):
    real, fake = torch.randn(2, 6, dtype=torch.float64)
    torch.testing.assert_close(loss(real + 5, fake + 5, form=form), loss(real, fake, form=form))
