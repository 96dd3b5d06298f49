import math

import pytest
import torch
import torch.nn.functional as F

from genloss_builtin.losses import _linear_nll
from genloss_builtin.losses.categorical import categorical_nll, linear_categorical_nll, z_loss


def gradient(value, *inputs):
    return torch.autograd.grad(value.sum(), inputs)


# categorical_nll


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_categorical_nll_is_cross_entropy(smoothing):
    logits, targets = torch.randn(4, 6, 5), torch.randint(5, (4, 6))
    expected = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none", label_smoothing=smoothing)
    total = categorical_nll(logits, targets, label_smoothing=smoothing)
    per_token = categorical_nll(logits, targets, label_smoothing=smoothing, reduce="mean")
    torch.testing.assert_close(total, expected.sum(1))
    torch.testing.assert_close(per_token, expected.mean(1))


def test_one_class_an_example_and_tokens_agree():
    logits, targets = torch.randn(4, 5), torch.randint(5, (4,))
    one_token = categorical_nll(logits[:, None], targets[:, None])
    for mask in (None, torch.ones(4), torch.ones(4, dtype=torch.bool)):
        torch.testing.assert_close(categorical_nll(logits, targets, mask), one_token)
        torch.testing.assert_close(categorical_nll(logits, targets, mask, reduce="mean"), one_token)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_the_mask_says_which_positions_count(dtype):
    logits, targets = torch.randn(3, 4, 5), torch.randint(5, (3, 4))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]).to(dtype)
    total, mean = (
        categorical_nll(logits, targets, mask),
        categorical_nll(logits, targets, mask, reduce="mean"),
    )
    first_two = categorical_nll(logits[1:2, :2], targets[1:2, :2])[0]
    torch.testing.assert_close(
        total, torch.stack([categorical_nll(logits[:1], targets[:1])[0], first_two, 0 * first_two])
    )
    torch.testing.assert_close(mean, total / torch.tensor([4.0, 2.0, 1.0]))


def test_a_masked_position_may_hold_anything_and_gets_no_gradient():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    targets, mask = torch.tensor([[1, 2, -1], [3, 999, -100]]), torch.tensor([[1, 1, 0], [1, 0, 0]])
    value = categorical_nll(logits, targets, mask, label_smoothing=0.1)
    (slope,) = gradient(value, logits)
    assert value.isfinite().all()
    assert (slope[mask == 0] == 0).all()
    assert (slope[mask == 1] != 0).all()


def test_a_float_mask_weighs_positions():
    logits, targets = torch.randn(1, 2, 5), torch.tensor([[0, 1]])
    first, second = F.cross_entropy(logits[0], targets[0], reduction="none")
    mask = torch.tensor([[0.5, 0.25]])
    torch.testing.assert_close(categorical_nll(logits, targets, mask)[0], 0.5 * first + 0.25 * second)
    torch.testing.assert_close(
        categorical_nll(logits, targets, mask, reduce="mean")[0], (0.5 * first + 0.25 * second) / 0.75
    )


@pytest.mark.parametrize("scale", [30.0, 1e4])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_categorical_nll_at_extreme_logits(scale, smoothing):
    logits = torch.tensor([[scale, -scale, 0.0], [-scale, scale, 0.0]], requires_grad=True)
    value = categorical_nll(logits, torch.tensor([0, 0]), label_smoothing=smoothing)
    (slope,) = gradient(value, logits)
    torch.testing.assert_close(
        value, torch.tensor([smoothing * scale, 2 * scale * (1 - smoothing) + smoothing * scale])
    )
    torch.testing.assert_close(
        slope[1], torch.tensor([smoothing * 2 / 3 - 1, 1 - smoothing / 3, -smoothing / 3])
    )


# linear_categorical_nll


def layer(dtype=torch.float64, batch=3, positions=5, features=4, vocabulary=11):
    hidden = torch.randn(batch, positions, features, dtype=dtype).requires_grad_()
    weight = torch.randn(vocabulary, features, dtype=dtype).requires_grad_()
    return hidden, weight, torch.randint(vocabulary, (batch, positions))


@pytest.fixture(params=[1, 50, 2**22], ids=["as features", "some", "all"])
def _chunk(request, monkeypatch):
    """The least number of logits at a time; with few, a chunk has as many tokens as features."""
    monkeypatch.setattr(_linear_nll, "_LOGITS", request.param)


@pytest.mark.usefixtures("_chunk")
@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_categorical_nll_of_the_logits_gradients_included(masked, smoothing, reduce):
    hidden, weight, targets = layer()
    mask = (
        torch.rand(targets.shape, dtype=torch.float64).mul(torch.rand(targets.shape) < 0.7)
        if masked
        else None
    )
    options = {"label_smoothing": smoothing, "reduce": reduce}
    # Each example and position has a slope of its own.
    slopes = torch.randn(3, dtype=torch.float64)
    value = linear_categorical_nll(hidden, weight, targets, mask, **options)
    expected = categorical_nll(hidden @ weight.T, targets, mask, **options)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(
        gradient(value * slopes, hidden, weight), gradient(expected * slopes, hidden, weight)
    )


def test_one_class_an_example():
    hidden, weight, targets = layer(positions=1)
    value = linear_categorical_nll(hidden[:, 0], weight, targets[:, 0])
    torch.testing.assert_close(value, linear_categorical_nll(hidden, weight, targets))


def test_a_target_outside_of_the_vocabulary_is_an_error():
    hidden, weight, targets = layer()
    targets[0, 1] = -100
    with pytest.raises(IndexError, match="out of bounds"):
        categorical_nll(hidden @ weight.T, targets)
    with pytest.raises(RuntimeError, match="out of bounds"):
        linear_categorical_nll(hidden, weight, targets)


def test_no_positions_have_no_loss():
    hidden, weight, targets = layer()
    value = linear_categorical_nll(hidden[:, :0], weight, targets[:, :0])
    assert torch.equal(value, torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize(("tokens", "features"), [(8, 64), (1024, 16), (40, 3)])
def test_no_chunk_has_the_logits_of_more_than_a_quarter_of_the_positions(tokens, features):
    chunks = _linear_nll._chunks(torch.zeros(tokens, features), torch.zeros(50, features))
    sizes = [len(logits) for _, logits in chunks]
    assert sum(sizes) == tokens
    assert max(sizes) <= tokens / 4


def test_it_agrees_with_torch_s_own():
    if not hasattr(torch.nn, "LinearCrossEntropyOptions"):
        pytest.skip("torch < 2.13 has no linear_cross_entropy in chunks")
    hidden, weight, targets = layer()
    theirs = F.linear_cross_entropy(
        hidden.flatten(0, 1),
        weight,
        targets.flatten(),
        reduction="sum",
        options=torch.nn.LinearCrossEntropyOptions(),
    )
    value = linear_categorical_nll(hidden, weight, targets).sum()
    torch.testing.assert_close(value, theirs)
    torch.testing.assert_close(gradient(value, hidden, weight), gradient(theirs, hidden, weight))


def test_a_masked_target_may_be_anything():
    hidden, weight, targets = layer()
    mask = torch.arange(5) < torch.tensor([[2], [5], [0]])
    wild = targets.masked_fill(~mask, -100)
    value = linear_categorical_nll(hidden, weight, wild, mask)
    torch.testing.assert_close(value, linear_categorical_nll(hidden, weight, targets, mask))
    (slope,) = gradient(value, hidden)
    assert (slope[~mask] == 0).all()
    assert (slope[mask] != 0).all()


@pytest.mark.usefixtures("_chunk")
def test_bfloat16_gradients_are_added_up_in_full_precision():
    hidden, weight, targets = layer(torch.bfloat16, batch=64, positions=8)
    exact = linear_categorical_nll(hidden.double(), weight.double(), targets)
    value = linear_categorical_nll(hidden, weight, targets)
    assert value.dtype == torch.bfloat16
    torch.testing.assert_close(value, exact.bfloat16(), rtol=2**-7, atol=0)
    for found, wanted in zip(gradient(value, hidden, weight), gradient(exact, hidden, weight), strict=True):
        # No more than two roundings of the result.
        torch.testing.assert_close(found, wanted, rtol=2**-7, atol=2**-7)


def test_gradients_of_the_hidden_features_alone_and_of_the_weight_alone():
    hidden, weight, targets = layer()
    both = gradient(linear_categorical_nll(hidden, weight, targets), hidden, weight)
    for which, kept in enumerate((hidden, weight)):
        leaves = [hidden.detach(), weight.detach()]
        leaves[which] = kept
        (alone,) = gradient(linear_categorical_nll(*leaves, targets), kept)
        torch.testing.assert_close(alone, both[which])


@pytest.mark.usefixtures("_chunk")
def test_gradients_of_each_example_by_vmap():
    hidden, weight, targets = (v.detach() for v in layer())

    def of_one(loss):
        def value(hidden, weight, targets):
            return loss(hidden[None], weight, targets[None])[0]

        return torch.func.vmap(torch.func.grad(value, argnums=(0, 1)), in_dims=(0, None, 0))

    torch.testing.assert_close(
        of_one(linear_categorical_nll)(hidden, weight, targets),
        of_one(lambda h, w, t: categorical_nll(h @ w.T, t))(hidden, weight, targets),
    )


def test_a_second_derivative_is_refused():
    hidden, weight, targets = layer()
    value = linear_categorical_nll(hidden, weight, targets).sum()
    (slope,) = torch.autograd.grad(value, hidden, create_graph=True)
    with pytest.raises(NotImplementedError, match="differentiated only once"):
        slope.sum().backward()


# z_loss


def test_z_loss_vanishes_for_normalised_logits():
    value = z_loss(torch.randn(4, 7, dtype=torch.float64).log_softmax(-1))
    torch.testing.assert_close(value, torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("scale", [30.0, 1e4])
def test_z_loss_at_extreme_logits(scale):
    logits = torch.tensor([[scale, -scale, 0.0], [-scale, -scale, -scale]], requires_grad=True)
    value = z_loss(logits)
    torch.testing.assert_close(value, torch.tensor([scale**2, (math.log(3) - scale) ** 2]))
    assert gradient(value, logits)[0].isfinite().all()
