"""Points in the plane: their densities are exact, and the points are drawn from them."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.integrate import quad

from genloss_builtin.datasets.points import (
    gaussian_grid,
    gaussian_ring,
    moons_to_gaussians,
    s_curve,
    swiss_roll,
    two_moons,
)

ALL = [gaussian_ring, gaussian_grid, two_moons, swiss_roll, s_curve, moons_to_gaussians]
every_dataset = pytest.mark.parametrize("dataset", ALL, ids=lambda dataset: dataset.name)


def grid_around(x, step):
    """The points of a square lattice that reaches 10 steps beyond the data."""
    sides = [
        torch.arange(lo - 10 * step, hi + 10 * step, step)
        for lo, hi in zip(x.amin(0), x.amax(0), strict=True)
    ]
    return torch.cartesian_prod(*(side.double() for side in sides))


@every_dataset
def test_spec_and_shapes(dataset):
    data = dataset(size=100, held_out=50)
    assert data.spec.kind == "points"
    assert data.spec.event_shape == (2,)
    assert data.spec.size == 100
    assert data.train["x"].shape == (100, 2)
    assert data.held_out["x"].shape == (50, 2)
    assert data.train["x"].dtype == torch.float32


@pytest.mark.parametrize(
    ("data", "step"),
    [
        (gaussian_ring(scale=0.1), 0.05),
        (gaussian_grid(side=2, spacing=0.7, scale=0.1), 0.05),
        (two_moons(), 0.05),
        (two_moons(noise=0.05), 0.025),
        (two_moons(noise=0.05, scale=2.0, shift=(-1.0, 3.0)), 0.05),
        (swiss_roll(), 0.1),
        (s_curve(), 0.05),
        (s_curve(noise=0.05, scale=1.5), 0.0375),
        (moons_to_gaussians(radius=2.0, scale=0.2), 0.1),
    ],
    ids=["ring", "grid", "moons", "thin_moons", "moved_moons", "roll", "s", "thin_s", "ring_from_moons"],
)
def test_density_integrates_to_one_and_its_entropy_is_the_points(data, step):
    log_density = data.truth["log_density"]
    logs = torch.cat([log_density(block) for block in grid_around(data.train["x"], step).split(10_000)])
    # On a lattice finer than the noise, sums of Gaussians converge faster than any power of the step.
    assert logs.exp().sum().item() * step**2 == pytest.approx(1, abs=1e-4)

    entropy = -(logs * logs.exp()).sum().item() * step**2
    surprise = -log_density(data.train["x"].double())
    assert surprise.mean().item() == pytest.approx(entropy, abs=4 * surprise.std().item() / math.sqrt(10_000))


@pytest.mark.parametrize("noise", [0.01, 0.2, 2.0])
@pytest.mark.parametrize("x", [(-0.95, 0.3), (0.0, 0.49), (1.97, 0.3)])
def test_two_moons_density_against_adaptive_quadrature(noise, x):
    def integrand(t, centre):
        squared = (x[0] - centre[0](t)) ** 2 + (x[1] - centre[1](t)) ** 2
        return math.exp(-squared / (2 * noise**2)) / (2 * math.pi * noise**2) / (2 * math.pi)

    moons = [(math.cos, math.sin), (lambda t: 1 - math.cos(t), lambda t: 0.5 - math.sin(t))]
    split = [k * math.pi / 200 for k in range(201)]
    density = sum(
        quad(integrand, a, b, args=(moon,), epsabs=0, epsrel=1e-10)[0]
        for moon in moons
        for a, b in itertools.pairwise(split)
    )
    log_density = two_moons(noise=noise, size=2, held_out=2).truth["log_density"]
    assert log_density(torch.tensor([x], dtype=torch.float64)).item() == pytest.approx(
        math.log(density), rel=1e-9
    )


def test_mixture_density_is_exact():
    data = gaussian_ring(modes=2, radius=3.0, scale=0.5, size=2, held_out=2)
    # At (3, 0), one Gaussian's maximum; the other's centre is 6 = 12 standard deviations away.
    expected = math.log((1 + math.exp(-72)) / 2 / (2 * math.pi * 0.25))
    at_mode = data.truth["log_density"](torch.tensor([[3.0, 0.0]], dtype=torch.float64))
    assert at_mode.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dataset", [gaussian_ring, gaussian_grid])
def test_held_out_nll_of_separate_gaussians_is_their_entropy(dataset):
    data = dataset()
    modes, scale = data.truth["modes"], data.truth["mode_scale"]
    entropy = math.log(len(modes)) + math.log(2 * math.pi * math.e * scale**2)
    nll = -data.truth["log_density"](data.held_out["x"]).mean().item()
    assert nll == pytest.approx(entropy, abs=4 / math.sqrt(2_500))


def test_default_modes_are_those_of_pacgan():
    ring, grid = gaussian_ring(), gaussian_grid()
    assert (len(ring.truth["modes"]), ring.truth["mode_scale"]) == (8, 0.01)
    assert torch.allclose(ring.truth["modes"].norm(dim=1), torch.ones(8))
    assert torch.allclose(ring.truth["modes"][1], torch.full((2,), math.sqrt(0.5)))
    assert grid.truth["mode_scale"] == 0.05
    assert {tuple(mode) for mode in grid.truth["modes"].tolist()} == {
        (x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)
    }


def test_scaled_and_shifted_moons_are_the_same_points_elsewhere():
    shift = torch.tensor([-1.0, 3.0])
    moved, moons = two_moons(scale=2.0, shift=(-1.0, 3.0)), two_moons()
    torch.testing.assert_close(moved.train["x"], 2 * moons.train["x"] + shift)
    at, scaled = moons.held_out["x"].double(), 2 * moons.held_out["x"].double() + shift
    logs = moons.truth["log_density"](at) - math.log(4)
    torch.testing.assert_close(moved.truth["log_density"](scaled), logs)


def test_the_s_is_scikit_learns():
    make_s_curve = pytest.importorskip("sklearn.datasets").make_s_curve
    theirs = torch.from_numpy(make_s_curve(20_000, noise=0.05, random_state=0)[0][:, [0, 2]]) * 1.5
    ours = s_curve(noise=0.05, scale=1.5, size=20_000).train["x"].double()
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), rtol=0, atol=0.04)
    torch.testing.assert_close(ours.T.cov(), theirs.T.cov(), rtol=0, atol=0.06)
    # As likely under our density as ours: none of theirs lies off the curve.
    log_density = s_curve(noise=0.05, scale=1.5).truth["log_density"]
    assert log_density(theirs).mean().item() == pytest.approx(log_density(ours).mean().item(), abs=0.03)


def test_the_moons_that_are_a_source_are_standardised_and_independent_of_the_ring():
    data = moons_to_gaussians(size=50_000)
    source, x = data.train["source"].double(), data.train["x"].double()
    assert source.mean().item() == pytest.approx(0, abs=0.1)
    assert source.std().item() == pytest.approx(7, rel=0.01)
    assert torch.cat([source, x], 1).T.corrcoef()[:2, 2:].abs().max() < 0.02
    scale = 7 / math.sqrt(43 / 64 - 1 / (2 * math.pi) + 0.01)
    back = source / scale + 3 / 8
    log_density = two_moons().truth["log_density"]
    ours, expected = log_density(back), log_density(two_moons().train["x"].double())
    assert ours.mean().item() == pytest.approx(expected.mean().item(), abs=0.03)
    assert not torch.equal(data.held_out["source"][:100], data.train["source"][:100])


@pytest.mark.parametrize("dataset", [gaussian_ring, gaussian_grid, moons_to_gaussians])
def test_modes_are_equally_likely(dataset):
    data = dataset()
    counts = torch.cdist(data.train["x"], data.truth["modes"]).argmin(1).bincount().double()
    expected = 10_000 / len(data.truth["modes"])
    assert ((counts - expected).abs() < 5 * math.sqrt(expected)).all()


@every_dataset
def test_seed_alone_decides_what_is_drawn(dataset):
    state = torch.get_rng_state()
    data = dataset(size=100, held_out=50)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert dataset(size=100, held_out=50).digest == data.digest
    assert dataset(size=100, held_out=50, seed=1).digest != data.digest


@every_dataset
def test_held_out_points_do_not_depend_on_the_training_set(dataset):
    small, large = dataset(size=10, held_out=50), dataset(size=100, held_out=50)
    assert torch.equal(small.held_out["x"], large.held_out["x"])
    assert not torch.equal(small.held_out["x"][:10], small.train["x"])


@every_dataset
def test_log_density_keeps_the_precision_it_is_given(dataset):
    data = dataset(size=2, held_out=50)
    x = data.held_out["x"]
    single, double = (data.truth["log_density"](x.to(dtype)) for dtype in (torch.float32, torch.float64))
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    assert torch.allclose(single.double(), double, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("dataset", "option", "value"),
    [
        (gaussian_ring, "modes", 0),
        (gaussian_ring, "scale", 0),
        (gaussian_grid, "side", 2.5),
        (two_moons, "noise", 0.001),
        (two_moons, "scale", 0),
        (two_moons, "shift", [1.0]),
        (s_curve, "noise", 0.001),
        (moons_to_gaussians, "spread", -1),
        (swiss_roll, "held_out", 1),
        (swiss_roll, "size", "many"),
    ],
)
def test_options_out_of_bounds_are_refused(dataset, option, value):
    with pytest.raises(ValueError, match="expected"):
        dataset.options[option].validate(value)
