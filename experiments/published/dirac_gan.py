"""The Dirac-GAN: the smallest adversarial game, with one parameter per player.

Source: Mescheder, Geiger & Nowozin 2018, arXiv:1801.04406, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss.errors import DefinitionError


@genloss.dataset(exempt={"unseen": "all examples are the same point"})
def dirac(*, size: Annotated[int, Ge(1)] = 1) -> genloss.Data:
    """Points on a line that are all 0.

    Fields: `x` `[batch, 1]`.

    Options:
        size: number of training examples, and of held-out ones; 1 by default.

    Source: Mescheder et al. 2018, arXiv:1801.04406, definition 2.1.
    """
    return genloss.Data(
        genloss.DataSpec((1,), "points", size=size),
        train={"x": torch.zeros(size, 1)},
        held_out={"x": torch.zeros(size, 1)},
    )


class DiracTurn(genloss.Turn["DiracGAN"]):
    """Quantities offered to both players. The discriminator is linear, so its gradient is constant."""

    @cached_property
    def fake(self) -> Float[Tensor, "batch dimensions"]:
        """Generated examples, all equal to θ."""
        return self.model.generate(len(self.x))

    @cached_property
    def real_logits(self) -> Float[Tensor, "batch"]:
        """The discriminator's logits for the data."""
        return self.model.judge(self.x)

    @cached_property
    def fake_logits(self) -> Float[Tensor, "batch"]:
        """The discriminator's logits for the generated examples."""
        return self.model.judge(self.fake)


class DiracGeneratorTurn(DiracTurn):
    """Quantities offered to the generator: gradients flow through the discriminator to generated examples."""

    @cached_property
    def real_logits(self) -> Float[Tensor, "batch"]:
        """The discriminator's logits for the data, detached."""
        return super().real_logits.detach()


class DiracDiscriminatorTurn(DiracTurn):
    """Quantities offered to the discriminator: no gradient flows to the generator."""

    @cached_property
    def fake(self) -> Float[Tensor, "batch dimensions"]:
        """Generated examples, detached."""
        return self.model.generate(len(self.x)).detach()

    @cached_property
    def real_gradient(self) -> Float[Tensor, "batch dimensions"]:
        """Gradient of the logit with respect to its input, at the data: −ψ."""
        return -self.model.discriminator.psi.expand_as(self.x)

    @cached_property
    def interpolated_gradient(self) -> Float[Tensor, "batch dimensions"]:
        """Gradient of the logit with respect to its input, between data and generated examples: −ψ."""
        return self.real_gradient


class DiracGenerator(nn.Module):
    """θ `[dimensions]`, the position of all generated examples."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(dimensions))


class DiracDiscriminator(nn.Module):
    """ψ `[dimensions]`, the slope of the discriminator."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.ones(dimensions))


class DiracGAN(genloss.Model):
    """The generator outputs θ, the discriminator is D(x) = ψ·x; both start at 1, the equilibrium is at 0.

    In the paper, D is high for generated examples, while losses expect a logit that is high for real ones; so
    the logit is −ψ·x, and θ and ψ are as in the paper. The generator is updated first, as in the authors'
    simulation.

    Source:
        Mescheder et al. 2018, arXiv:1801.04406, definition 2.1.
    """

    name = "dirac_gan"
    exempt: ClassVar = {
        "seed": "both parameters start at 1, as in the source",
        "sample_seed": "the generator always returns the same point",
    }

    def __init__(self, data: genloss.DataSpec) -> None:
        super().__init__(data)
        if data.kind != "points":
            raise DefinitionError("model `dirac_gan` is for points", hint="`data: {name: dirac}`")
        (dimensions,) = data.event_shape
        self.generator = DiracGenerator(dimensions)
        self.discriminator = DiracDiscriminator(dimensions)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"generator": DiracGeneratorTurn, "discriminator": DiracDiscriminatorTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def generate(self, count: int) -> Tensor:
        """Generate examples `[count, dimensions]`."""
        return self.generator.theta.expand(count, -1)

    def judge(self, x: Tensor) -> Tensor:
        """Return the logits `[batch]` of examples `[batch, dimensions]`."""
        return -(x * self.discriminator.psi).sum(1)

    def sample(self, count: int) -> Tensor:
        """Return `count` copies of θ."""
        return self.generate(count).detach()


@genloss.loss(family="states", unit="1", source="Mescheder et al. 2018, arXiv:1801.04406")
def theta(fake: Float[Tensor, "batch dimensions"]) -> Float[Tensor, "batch"]:
    """θ itself: not to be minimised, but used as a term of weight 0 that records the generator's state.

    Formula:
        θ

    Quantities:
        fake: `[batch, dimensions]`, θ in each row; several dimensions are summed.

    Source:
        Mescheder et al. 2018, arXiv:1801.04406, definition 2.1.

    Example:
        >>> theta(torch.tensor([[0.5], [0.5]]))
        tensor([0.5000, 0.5000])
    """
    return fake.sum(1)


@genloss.loss(family="states", unit="1", source="Mescheder et al. 2018, arXiv:1801.04406")
def psi(real_gradient: Float[Tensor, "batch dimensions"]) -> Float[Tensor, "batch"]:
    """ψ itself: not to be minimised, but used as a term of weight 0 that records the discriminator's state.

    Formula:
        ψ

    Quantities:
        real_gradient: `[batch, dimensions]`, −ψ in each row; several dimensions are summed.

    Source:
        Mescheder et al. 2018, arXiv:1801.04406, definition 2.1.

    Example:
        >>> psi(torch.tensor([[-0.5], [-0.5]]))
        tensor([0.5000, 0.5000])
    """
    return -real_gradient.sum(1)


@genloss.metric(
    unit="1",
    higher_is_better=False,
    example=lambda: {"model": DiracGAN(genloss.DataSpec((1,), "points", size=1)).eval()},
)
def distance(model: genloss.Model) -> float:
    """Distance of a Dirac-GAN from its equilibrium.

    Formula: √(θ² + ψ²)

    Unit: none.
    Direction: lower is better.
    Reference: none; 0 at the equilibrium.
    Source: Mescheder et al. 2018, arXiv:1801.04406.

    Raises:
        DefinitionError: the model is not a `dirac_gan`.
    """
    if not isinstance(model, DiracGAN):
        raise DefinitionError("metric `distance` is for the model `dirac_gan`")
    state = torch.cat([model.generator.theta, model.discriminator.psi])
    return float(state.detach().norm())


@genloss.hookimpl
def genloss_datasets() -> Iterator[object]:
    yield dirac


@genloss.hookimpl
def genloss_models() -> Iterator[object]:
    yield DiracGAN


@genloss.hookimpl
def genloss_losses() -> Iterator[object]:
    yield theta
    yield psi


@genloss.hookimpl
def genloss_metrics() -> Iterator[object]:
    yield distance
