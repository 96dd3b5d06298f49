import pytest
import torch

from genloss_builtin.losses.feature_matching import feature_matching


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
    assert all((slope == 0).all() for slope in torch.autograd.grad(value, fake))


def test_the_same_layers_must_come_from_both():
    with pytest.raises(ValueError, match="zip"):
        feature_matching([torch.randn(2, 3)], [])
