import pytest
import torch

from genloss_builtin.losses.diffusion import denoising, denoising_score_matching, flow_matching

PARAMETERIZATIONS = ["epsilon", "x0", "v"]
WEIGHTINGS = ["uniform", "min_snr", "edm", "debiased"]


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("snr", [1e-12, 1e12])
def test_weights_are_finite_and_positive_far_out(snr, weighting, parameterization):
    error, none = torch.ones(1, 3), torch.zeros(1, 3)
    value = denoising(error, none, torch.tensor([snr]), parameterization, weighting=weighting)
    assert value.isfinite().all()
    assert (value > 0).all()


def test_gamma_is_the_greatest_weight_of_the_error_of_x0():
    snr = torch.tensor([0.5, 2.0, 8.0])
    value = denoising(torch.ones(3, 1), torch.zeros(3, 1), snr, "x0", weighting="min_snr", gamma=3.0)
    torch.testing.assert_close(value, torch.tensor([0.5, 2.0, 3.0]))


def test_edm_weighs_its_own_network_s_error_by_one():
    # EDM's denoiser is c_skip x + c_out F with c_out = σ σ_data / √(σ² + σ_data²).
    sigma, sigma_data = torch.tensor([0.1, 1.0, 10.0]), 0.7
    c_out = sigma * sigma_data / (sigma**2 + sigma_data**2).sqrt()
    error = torch.randn(3, 4)
    value = denoising(
        c_out[:, None] * error, torch.zeros(3, 4), sigma**-2, "x0", weighting="edm", sigma_data=sigma_data
    )
    torch.testing.assert_close(value, error.square().sum(1))


def test_each_example_has_its_own_weight():
    prediction, target, snr = torch.randn(4, 2, 3), torch.randn(4, 2, 3), torch.rand(4) + 0.5
    together = denoising(prediction, target, snr, "v", weighting="edm")
    each = [
        denoising(prediction[i : i + 1], target[i : i + 1], snr[i : i + 1], "v", weighting="edm")
        for i in range(4)
    ]
    torch.testing.assert_close(together, torch.cat(each))


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 1, 5, 5)])
def test_the_score_s_noise_level_is_the_example_s(shape):
    score, noise, sigma = torch.randn(shape), torch.randn(shape), torch.tensor([1e-3, 0.5, 1.0, 50.0])
    each = [(s**2 * (score[i] + noise[i] / s).square()).sum() for i, s in enumerate(sigma)]
    torch.testing.assert_close(
        denoising_score_matching(score, noise, sigma), torch.stack(each), rtol=1e-4, atol=1e-5
    )


def test_no_score_is_better_than_the_data_s():
    # Gaussian data of variance s²: any other slope of a linear score has a greater expectation.
    s, sigma = 0.8, 0.6
    x, noise = torch.tensor([[s], [s], [-s], [-s]]), torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    slopes = -torch.linspace(0.5, 2, 31) / (s**2 + sigma**2)
    values = [
        denoising_score_matching(slope * (x + sigma * noise), noise, torch.full((4,), sigma)).mean()
        for slope in slopes
    ]
    assert torch.stack(values).argmin() == 10  # where the factor is 1


def test_flow_matching_is_a_squared_distance():
    velocity, target = torch.randn(2, 4, 2, 5)
    expected = (velocity - target).square()
    torch.testing.assert_close(flow_matching(velocity, target), expected.sum((1, 2)))
    torch.testing.assert_close(flow_matching(velocity, target, reduce="mean"), expected.mean((1, 2)))
