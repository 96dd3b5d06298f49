"""What an experiment may do and its author did not mean is a remark of the plan, with a number."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from genloss.errors import ExperimentError
from genloss.planning.plan import plan
from genloss.planning.remarks import Remark
from genloss.training import networks

VAE: dict[str, Any] = {"name": "vae", "latent_dim": 2, "hidden": [8]}
GAN: dict[str, Any] = {"name": "gan", "latent_dim": 2, "hidden": [8]}


def remarks(network: Any = None, *, discriminator: Any = None, **training: Any) -> tuple[Remark, ...]:
    """Of an experiment on digits; of a VAE, or of a GAN."""
    players = {"network": network}
    if discriminator is not None:
        players = {"discriminator": discriminator, "generator": "wasserstein_generator"}
    return plan(
        {
            "name": "traps",
            "data": "digits",
            "model": VAE if discriminator is None else GAN,
            "objectives": {"only": players},
            "training": {"steps": 10, "batch_size": 16, **training},
            "seeds": 1,
            "devices": "cpu",
        }
    ).remarks


def only(found: tuple[Remark, ...]) -> str:
    (remark,) = found
    assert remark.where is not None
    return str(remark)


ERROR = "squared_error"


class TestMeans:
    """`digits` has 64 pixels."""

    def test_a_mean_beside_a_summed_divergence(self) -> None:
        said = only(remarks([{ERROR: {"reduce": "mean"}}, "gaussian_kl"]))
        assert said.startswith(
            f"`{ERROR}` is a mean over 64 elements, and `gaussian_kl` beside it a sum: it weighs 64 times "
            "what it does in a bound on the likelihood"
        )

    def test_the_greatest_weight_of_a_schedule_counts(self) -> None:
        warm = {"weight": {"linear": {"from": 0.0, "to": 0.5, "steps": 5}}}
        assert "it weighs 32 times" in only(remarks([{ERROR: {"reduce": "mean"}}, {"gaussian_kl": warm}]))

    @pytest.mark.parametrize(
        "terms",
        [
            [ERROR, "gaussian_kl"],
            [ERROR, {"gaussian_kl": {"weight": 30}}],
            [{ERROR: {"reduce": "mean"}}, {"gaussian_kl": {"weight": 1 / 64}}],
            [{ERROR: {"reduce": "mean", "weight": 64}}, "gaussian_kl"],
            [{ERROR: {"reduce": "mean"}}],
        ],
    )
    def test_what_is_meant_is_not_remarked(self, terms: Any) -> None:
        assert remarks(terms) == ()


class TestEvery:
    def test_a_weight_that_is_not_rescaled(self) -> None:
        said = only(remarks([ERROR, {"gaussian_kl": {"every": 16, "weight": 10}}]))
        assert said.startswith(
            "`gaussian_kl` is computed every 16 steps alone, so that its weight of 10 counts as 0.625 a step"
        )
        assert "if 10 a step is meant, write `weight: 160`" in said

    def test_a_weight_that_is(self) -> None:
        assert remarks([ERROR, {"gaussian_kl": {"every": 16, "weight": 160}}]) == ()


class TestClipping:
    def test_a_gradient_of_which_little_is_left(self) -> None:
        terms = [ERROR, "gaussian_kl"]
        said = only(remarks(terms, players={"network": {"clip_gradients": 0.1}}))
        assert said.startswith("the gradient of `network` has the norm ")
        assert "on the first 8 training examples, and is clipped to 0.1" in said
        assert remarks(terms, players={"network": {"clip_gradients": 1000.0}}) == ()


class TestMixing:
    """A discriminator with batch normalization."""

    PENALTY: ClassVar[Any] = ["wasserstein_discriminator", {"gradient_penalty": {"weight": 10}}]

    @pytest.fixture
    def batch_normalized(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from genloss_builtin.models.gan import GAN

        built = GAN.__init__

        def init(self: Any, *args: Any, **options: Any) -> None:
            built(self, *args, **options)
            self.discriminator = Normalized(self.discriminator)

        monkeypatch.setattr(GAN, "__init__", init)

    @pytest.mark.usefixtures("batch_normalized")
    def test_under_a_gradient_penalty(self) -> None:
        found = [remark.message for remark in remarks(discriminator=self.PENALTY)]
        assert found == [
            "`interpolated_gradient` of an example depends on the other examples of its batch, and "
            "`gradient_penalty` takes it for the example's own"
        ]

    @pytest.mark.usefixtures("batch_normalized")
    def test_under_none(self) -> None:
        assert remarks(discriminator="wasserstein_discriminator") == ()

    def test_without_it(self) -> None:
        assert remarks(discriminator=self.PENALTY) == ()


class Normalized(nn.Module):
    """A discriminator of batch-normalized pixels."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.inner = inner

    def forward(self, x: Tensor, *args: Any) -> Any:
        return self.inner(self.norm(x), *args)


class TestCompiling:
    def test_a_gradient_penalty_is_refused(self) -> None:
        said = r"torch\.compile cannot differentiate a network's gradient"
        with pytest.raises(ExperimentError, match=said) as caught:
            remarks(discriminator=TestMixing.PENALTY, compile=True)
        assert str(caught.value.where).endswith("training.compile")
        assert caught.value.hint is not None

    @pytest.mark.parametrize("discriminator", ["wasserstein_discriminator", "minimax_discriminator"])
    def test_what_it_can_do_is_planned(self, discriminator: str) -> None:
        assert remarks(discriminator=discriminator, compile=True) == ()
        assert remarks([ERROR, "gaussian_kl"], compile=True) == ()

    def test_gradients_are_what_they_are(self) -> None:
        network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        model = nn.Module()
        model.network = network
        x = torch.randn(4, 2, requires_grad=True)
        parameters = [x, *network.parameters()]
        expected = torch.autograd.grad(network(x).sum(), parameters)
        with networks.differentiated_once(model):
            found = torch.autograd.grad(network(x).sum(), parameters)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
