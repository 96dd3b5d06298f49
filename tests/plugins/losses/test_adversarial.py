import math

import pytest
import torch
import torch.nn.functional as F

from genloss_builtin.losses.adversarial import (
    feature_matching,
    gradient_penalty,
    hinge_discriminator,
    hinge_generator,
    least_squares_discriminator,
    least_squares_generator,
    minimax_discriminator,
    minimax_generator,
    non_saturating_generator,
    r1,
    r2,
    relativistic_average_discriminator,
    relativistic_average_generator,
    relativistic_discriminator,
    relativistic_generator,
    wasserstein_discriminator,
    wasserstein_generator,
)

LN2 = math.log(2)
PAIRED = [
    minimax_discriminator,
    least_squares_discriminator,
    hinge_discriminator,
    wasserstein_discriminator,
    relativistic_discriminator,
    relativistic_generator,
]
SINGLE = [
    minimax_generator,
    non_saturating_generator,
    least_squares_generator,
    hinge_generator,
    wasserstein_generator,
]
AVERAGE = [relativistic_average_discriminator, relativistic_average_generator]
FORMS = ["logistic", "hinge", "least_squares"]


def gradient(value, *inputs):
    return torch.autograd.grad(value.sum(), inputs)


def logits_of(loss, value):
    names = [name for name in ("real_logits", "fake_logits") if name in loss.quantities]
    return {name: torch.full((2,), value, requires_grad=True) for name in names}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (minimax_discriminator, 2 * LN2),
        (minimax_generator, -LN2),
        (non_saturating_generator, LN2),
        (least_squares_discriminator, 0.5),
        (least_squares_generator, 0.5),
        (hinge_discriminator, 2.0),
        (hinge_generator, 0.0),
        (wasserstein_discriminator, 0.0),
        (wasserstein_generator, 0.0),
        (relativistic_discriminator, LN2),
        (relativistic_generator, LN2),
        (relativistic_average_discriminator, 2 * LN2),
        (relativistic_average_generator, 2 * LN2),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_zero_logits(loss, expected):
    value = loss(**logits_of(loss, 0.0))
    torch.testing.assert_close(value, torch.full_like(value, expected))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (minimax_discriminator, math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))),
        (least_squares_discriminator, 0.5 * (1 + 1)),
        (hinge_discriminator, 0.0),
        (wasserstein_discriminator, -3.0),
        (relativistic_discriminator, math.log1p(math.exp(-3))),
        (relativistic_generator, math.log1p(math.exp(3))),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_real_at_2_and_fake_at_minus_1(loss, expected):
    value = loss(real_logits=torch.full((3,), 2.0), fake_logits=torch.full((3,), -1.0))
    torch.testing.assert_close(value, torch.full((3,), expected))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (minimax_generator, -math.log1p(math.exp(2))),
        (non_saturating_generator, math.log1p(math.exp(-2))),
        (least_squares_generator, 0.5),
        (hinge_generator, -2.0),
        (wasserstein_generator, -2.0),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_fake_at_2(loss, expected):
    torch.testing.assert_close(loss(torch.full((3,), 2.0)), torch.full((3,), expected))


@pytest.mark.parametrize("loss", [*PAIRED, *SINGLE, *AVERAGE], ids=lambda loss: loss.name)
@pytest.mark.parametrize("level", [-1e4, -30.0, 30.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradient_are_finite_at_extreme_logits(loss, level, dtype):
    logits = {name: v.detach().to(dtype).requires_grad_() for name, v in logits_of(loss, level).items()}
    if "real_logits" in logits:  # on opposite sides, too
        logits["real_logits"] = (-logits["real_logits"].detach()).requires_grad_()
    value = loss(**logits)
    assert value.isfinite().all()
    assert all(slope.isfinite().all() for slope in gradient(value, *logits.values()))


@pytest.mark.parametrize("loss", PAIRED, ids=lambda loss: loss.name)
def test_patches_are_averaged_after_the_loss(loss):
    real, fake = torch.randn(2, 4, 1, 3, 3)
    each = loss(real_logits=real.flatten(), fake_logits=fake.flatten()).view(4, 9)
    torch.testing.assert_close(loss(real_logits=real, fake_logits=fake), each.mean(1))


# minimax


def test_the_optimal_discriminator_reaches_the_jensen_shannon_divergence():
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    q = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    m = (p + q) / 2
    jsd = 0.5 * ((p * (p / m).log()).sum() + (q * (q / m).log()).sum())
    logits = (p / q).log().requires_grad_()
    # Expectations under p of real and under q of fake examples: 10 each, counted out.
    real = logits.repeat_interleave(torch.tensor([5, 3, 2]))
    fake = logits.repeat_interleave(torch.tensor([2, 2, 6]))
    value = minimax_discriminator(real, fake).mean()
    torch.testing.assert_close(value, 2 * LN2 - 2 * jsd)
    torch.testing.assert_close(gradient(value, logits)[0], torch.zeros_like(p))


def test_label_smoothing_is_one_sided():
    real, fake = torch.randn(2, 5)
    expected = F.binary_cross_entropy_with_logits(
        real, torch.full((5,), 0.9), reduction="none"
    ) + F.binary_cross_entropy_with_logits(fake, torch.zeros(5), reduction="none")
    torch.testing.assert_close(minimax_discriminator(real, fake, label_smoothing=0.1), expected)


def test_the_non_saturating_gradient_survives_where_a_logarithm_of_a_sigmoid_loses_it():
    logits = torch.tensor([-30.0], requires_grad=True)
    torch.testing.assert_close(gradient(non_saturating_generator(logits), logits)[0], torch.tensor([-1.0]))
    naive = -(logits.sigmoid() + 1e-8).log()
    assert gradient(naive, logits)[0].abs() < 1e-4
    assert gradient(minimax_generator(logits), logits)[0].abs() < 1e-12


# least squares, relativistic


def test_least_squares_labels():
    real, fake = torch.tensor([2.0]), torch.tensor([3.0])
    assert least_squares_discriminator(real, fake, a=-1.0, b=1.0).item() == 0.5 * (1 + 16)
    assert least_squares_generator(fake, c=0.0).item() == 4.5


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


# penalties


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


# feature matching


def test_feature_matching_compares_means_and_adds_layers_up():
    real = [torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.full((2, 1, 2, 2), 1.0)]
    fake = [torch.tensor([[3.0, 4.0], [3.0, 4.0]]), torch.full((2, 1, 2, 2), 3.0)]
    assert feature_matching(real, fake).item() == 25 + 4 * 4
    assert feature_matching(real, fake, norm="l1").item() == 7 + 4 * 2


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_equal_features_have_no_distance_and_no_gradient(norm):
    features = [torch.randn(4, 3), torch.randn(4, 2, 5, 5)]
    fake = [v.clone().requires_grad_() for v in features]
    value = feature_matching(features, fake, norm=norm)
    assert value == 0
    assert all((slope == 0).all() for slope in gradient(value, *fake))


def test_the_same_layers_must_come_from_both():
    with pytest.raises(ValueError, match="zip"):
        feature_matching([torch.randn(2, 3)], [])
