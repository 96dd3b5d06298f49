from functools import partial

import pytest
import torch
import torch.nn.functional as F

import genloss
from genloss_builtin.losses import images as image_losses
from genloss_builtin.losses.images import total_variation

ssim_distance = partial(image_losses.ssim_distance, data_range=1.0)


def value_and_gradient(loss, x, x_hat, **options):
    x_hat = x_hat.detach().clone().requires_grad_()
    value = loss(x, x_hat, **options)
    return value, torch.autograd.grad(value.sum(), x_hat)[0]


@pytest.mark.parametrize(("side", "kernel_size"), [(16, 11), (8, 11), (6, 11), (8, 5), (2, 3)])
def test_ssim_of_equal_images_and_of_flat_ones(side, kernel_size):
    x = torch.rand(2, 3, side, side, dtype=torch.float64)
    value, gradient = value_and_gradient(ssim_distance, x, x, kernel_size=kernel_size)
    torch.testing.assert_close(value, torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(gradient, torch.zeros_like(x), rtol=0, atol=1e-9)
    a, b, c1 = 0.2, 0.7, 1e-4
    flat = ssim_distance(torch.full_like(x, a), torch.full_like(x, b), kernel_size=kernel_size)
    torch.testing.assert_close(flat, torch.full_like(flat, 1 - (2 * a * b + c1) / (a**2 + b**2 + c1)))


def test_ssim_scales_with_the_data_range():
    x, x_hat = torch.rand(2, 2, 1, 12, 12)
    torch.testing.assert_close(ssim_distance(255 * x, 255 * x_hat, data_range=255.0), ssim_distance(x, x_hat))


@pytest.mark.parametrize("kernel_size", [5, 11])
def test_ssim_by_its_formula(kernel_size):
    half = kernel_size // 2
    axis = torch.arange(-half, half + 1, dtype=torch.float64)
    axis = torch.exp(-0.5 * (axis / (1.5 * kernel_size / 11)) ** 2)
    window = torch.outer(axis, axis) / axis.sum() ** 2

    def windows(images):
        padded = F.pad(images, (half, half, half, half), mode="reflect")
        return padded.unfold(2, kernel_size, 1).unfold(3, kernel_size, 1)

    def mean(values):
        return (values * window).sum((-1, -2))

    images = torch.rand(2, 3, 2, 8, 9, dtype=torch.float64)
    x, x_hat = (windows(image) for image in images)
    covariance = mean(x * x_hat) - mean(x) * mean(x_hat)
    variances = mean(x * x) - mean(x) ** 2 + mean(x_hat * x_hat) - mean(x_hat) ** 2
    similarity = (2 * mean(x) * mean(x_hat) + 1e-4) * (2 * covariance + 9e-4)
    similarity = similarity / ((mean(x) ** 2 + mean(x_hat) ** 2 + 1e-4) * (variances + 9e-4))
    value = ssim_distance(*images, kernel_size=kernel_size)
    torch.testing.assert_close(value, 1 - similarity.mean((1, 2, 3)))


@pytest.mark.parametrize("level", [0.0, 1.0, 1e4])
def test_ssim_of_flat_images_has_a_finite_gradient(level):
    value, gradient = value_and_gradient(
        ssim_distance, torch.full((1, 1, 12, 12), level), torch.zeros(1, 1, 12, 12)
    )
    assert value.isfinite().all()
    assert gradient.isfinite().all()


def test_an_image_too_small_for_the_kernel_is_refused_with_the_size_that_fits():
    images = torch.rand(2, 1, 5, 9)
    with pytest.raises(genloss.GenlossError, match="5 × 9") as caught:
        ssim_distance(images, images)
    assert caught.value.hint == "set `kernel_size: 9`"
    assert ssim_distance(images, images, kernel_size=9).shape == (2,)
    with pytest.raises(genloss.GenlossError, match="1 × 9"):
        ssim_distance(images[:, :, :1], images[:, :, :1], kernel_size=3)


def test_ssim_takes_the_range_of_the_data():
    """Of data in [−1, 1], which were taken to be in [0, 1], and x against −x came out at 0.15."""
    x = torch.rand(2, 1, 12, 12) * 2 - 1
    told = image_losses.ssim_distance(x, -x, x_range=2.0)
    torch.testing.assert_close(told, image_losses.ssim_distance(x, -x, data_range=2.0))
    assert (told - ssim_distance(x, -x)).abs().max() > 1e-3
    with pytest.raises(genloss.GenlossError, match="does not know the range of the data") as caught:
        image_losses.ssim_distance(x, -x)
    assert "set `data_range`" in (caught.value.hint or "")
    with pytest.raises(genloss.GenlossError, match="does not know the range of the data"):
        image_losses.ssim_distance(x, -x, x_range=float("inf"))
    with pytest.raises(genloss.GenlossError, match="`data_range` 1, but the data has a range of 2"):
        ssim_distance(x, -x, x_range=2.0)


# total_variation


def test_total_variation_of_a_slope_and_of_a_flat_image():
    slope = torch.arange(4.0).expand(2, 3, 5, 4)
    torch.testing.assert_close(total_variation(slope), torch.full((2,), 3.0 * 5 * 3))
    torch.testing.assert_close(total_variation(slope.transpose(2, 3)), torch.full((2,), 3.0 * 5 * 3))
    assert (total_variation(torch.full((2, 1, 4, 4), 7.0)) == 0).all()


def test_total_variation_is_anisotropic():
    # A single pixel has four neighbours.
    image = torch.zeros(1, 1, 3, 3)
    image[..., 1, 1] = 2.0
    assert total_variation(image).item() == 8


def test_a_flat_image_has_no_gradient():
    image = torch.ones(1, 1, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(total_variation(image).sum(), image)
    assert (gradient == 0).all()
