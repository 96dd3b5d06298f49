from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

import genloss
from genloss.errors import DefinitionError, RequestError
from genloss_builtin.models.networks import (
    MADE,
    Bounded,
    MaskedConv2d,
    Network,
    decoder,
    encoder,
    initialise,
    pixel_cnn,
    to_value_range,
)

POINTS = genloss.DataSpec((2,), "points", 10)
TOKENS = genloss.DataSpec((12,), "tokens", 10, vocabulary=5)


def image(*shape: int) -> genloss.DataSpec:
    return genloss.DataSpec(shape, "image", 10, value_range=(0.0, 1.0))


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("hidden", [(), (4,), (4, 6), (4, 6, 5)])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 8), (2, 13, 23), (1, 28, 28)])
def test_any_image_goes_in_and_comes_out(
    shape: tuple[int, ...], hidden: tuple[int, ...], network: Network
) -> None:
    data = image(*shape)
    assert encoder(data, 7, network=network, hidden=hidden)(torch.rand(2, *shape)).shape == (2, 7)
    decoded = decoder(data, 7, network=network, hidden=hidden, per_element=2)(torch.randn(2, 7))
    assert [part.shape for part in decoded.chunk(2, dim=1)] == [(2, *shape), (2, *shape)]


def linear_widths(network: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]


def test_a_decoder_has_the_widths_of_the_encoder_in_reverse() -> None:
    there = encoder(POINTS, 7, network="mlp", hidden=(5, 3))
    back = decoder(POINTS, 7, network="mlp", hidden=(5, 3))
    assert linear_widths(there) == [(2, 5), (5, 3), (3, 7)]
    assert linear_widths(back) == [(7, 3), (3, 5), (5, 2)]


def test_each_convolution_halves_the_image_and_sees_all_of_it() -> None:
    torch.manual_seed(0)
    network = encoder(image(1, 9, 8), 1, network="conv", hidden=(4, 6))
    x = torch.rand(1, 1, 9, 8, requires_grad=True)
    assert network[:2](x).shape == (1, 4, 4, 4)
    assert network[:4](x).shape == (1, 6, 2, 2)
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    assert gradient.count_nonzero() == 72


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_initialised_networks_keep_the_scale_of_values(network: Network) -> None:
    torch.manual_seed(0)
    data = image(64, 16, 16)
    there = encoder(data, 64, network=network, hidden=(64, 64, 64))
    back = decoder(data, 64, network=network, hidden=(64, 64, 64))
    for layers, inputs in ((there, torch.randn(64, 64, 16, 16)), (back, torch.randn(64, 64))):
        initialise(layers)
        # The last layer doubles the mean square, since no activation halves it; borders have fewer inputs.
        assert 0.5 < layers(inputs).square().mean().item() < 3
        assert not any(name.endswith("bias") and bias.any() for name, bias in layers.named_parameters())


def test_values_stay_in_their_range() -> None:
    values = torch.linspace(-50, 50, 101)
    for low, high in ((0.0, 1.0), (-1.0, 1.0), (2.0, 5.0)):
        mapped = to_value_range(genloss.DataSpec((2,), "points", 10, value_range=(low, high)))(values)
        assert mapped.min() >= low
        assert mapped.max() <= high
        torch.testing.assert_close(mapped[50], torch.tensor((low + high) / 2))
    assert to_value_range(POINTS)(values) is values


def test_the_range_from_minus_one_to_one_is_tanh() -> None:
    values = torch.linspace(-3, 3, 7, dtype=torch.float64)
    torch.testing.assert_close(Bounded(-1, 1)(2 * values), values.tanh())


@pytest.mark.parametrize(
    ("data", "network", "hidden", "message", "hint"),
    [
        (POINTS, "conv", (4,), r"`network: conv` needs images .* points of shape \(2,\)", "mlp"),
        (image(8, 8), "conv", (4,), r"`network: conv` needs images .* image of shape \(8, 8\)", "mlp"),
        (image(1, 8, 9), "conv", (4,) * 4, "has 4 layers, .* shorter side is 8", "at most 3"),
        (TOKENS, "mlp", (4,), "continuous data", "autoregressive"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_refused(
    data: genloss.DataSpec, network: Network, hidden: tuple[int, ...], message: str, hint: str
) -> None:
    for build in (encoder, decoder):
        with pytest.raises(DefinitionError, match=message) as caught:
            build(data, 3, network=network, hidden=hidden)
        assert isinstance(caught.value, RequestError)
        assert hint in (caught.value.hint or "")


def test_the_greatest_number_of_halvings_is_the_one_that_the_hint_names() -> None:
    assert encoder(image(1, 8, 9), 3, network="conv", hidden=(4,) * 3)(torch.rand(2, 1, 8, 9)).shape == (2, 3)


def test_masks_are_those_of_pixel_cnn() -> None:
    above, nothing = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
    a = MaskedConv2d(1, 1, 3, colours=1, see_self=False).mask
    b = MaskedConv2d(1, 1, 3, colours=1, see_self=True).mask
    assert a[0, 0].tolist() == [above, [1.0, 0.0, 0.0], nothing]
    assert b[0, 0].tolist() == [above, [1.0, 1.0, 0.0], nothing]


def test_at_its_own_pixel_a_colour_sees_the_colours_before_it() -> None:
    a = MaskedConv2d(3, 6, 3, colours=3, see_self=False).mask[:, :, 1, 1]
    b = MaskedConv2d(3, 6, 3, colours=3, see_self=True).mask[:, :, 1, 1]
    assert a.tolist() == 2 * [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    assert b.tolist() == 2 * [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def influence(network: nn.Module, *shape: int) -> Tensor:
    """Whether an output depends on an input `[outputs, inputs]`; all is positive, so that no unit is dead."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    jacobian = torch.autograd.functional.jacobian(network, torch.rand(1, *shape))
    return (jacobian != 0).reshape(-1, math.prod(shape))


@pytest.mark.parametrize("hidden", [(), (40,), (3,), (40, 30)])
def test_a_masked_mlp_sees_only_what_comes_before(hidden: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    positions, inputs, outputs = 6, 2, 3
    network = MADE(positions, inputs, hidden, outputs)
    seen = influence(network, positions * inputs)
    seen = seen.view(positions, outputs, positions, inputs).any(3).any(1)
    assert torch.equal(seen, torch.ones(6, 6, dtype=torch.bool).tril(-1))


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("hidden", [(), (12,), (12, 6, 9)])
def test_a_masked_cnn_sees_only_what_comes_before(colours: int, hidden: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    height, width, outputs = 4, 5, 2
    network = pixel_cnn(colours, hidden, outputs)
    seen = influence(network, colours, height, width)
    seen = seen.view(outputs, colours, height, width, colours, height, width).any(0)
    for c, i, j in product(range(colours), range(height), range(width)):
        earlier = torch.zeros(colours, height, width, dtype=torch.bool)
        earlier[:, :i] = True
        earlier[:, i, :j] = True
        earlier[:c, i, j] = True
        assert not (seen[c, i, j] & ~earlier).any()
        # Farther ones are out of reach of few layers; the neighbours never are.
        near = earlier.clone()
        near[:, :, : max(j - 1, 0)] = near[:, :, j + 2 :] = near[:, : max(i - 1, 0)] = False
        assert (seen[c, i, j] & near).equal(near)


def test_masks_are_no_part_of_the_stored_weights() -> None:
    for network in (MADE(4, 1, (5,), 2), pixel_cnn(1, (5,), 2)):
        assert {name.rsplit(".")[-1] for name in network.state_dict()} == {"weight", "bias"}
