"""The generative adversarial network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss_builtin.models.networks import (
    Network,
    Positive,
    decoder,
    encoder,
    initialise,
    normal,
    to_value_range,
)

Judged = tuple[Tensor, list[Tensor]]
"""The discriminator's output: logits and features."""

LEAKY_RELU = partial(nn.LeakyReLU, negative_slope=0.2)

REAL = frozenset({"real_logits", "real_features"})
FAKE = frozenset({"fake_logits", "fake_features"})
FEATURES = frozenset({"real_features", "fake_features"})
GRADIENTS = frozenset({"real_gradient", "fake_gradient"})


class GANTurn(genloss.Turn["GAN"]):
    """Quantities offered to both players of a GAN."""

    @cached_property
    def _judged_real(self) -> Judged:
        return self.model.judge(self.real)

    @cached_property
    def _judged_fake(self) -> Judged:
        return self.model.judge(self.fake)

    @cached_property
    def z(self) -> Float[Tensor, "batch latent"]:
        """The generator's noise, from N(0, I), drawn once per turn."""
        return normal(self.x, len(self.x), self.model.latent_dim)

    @cached_property
    def real(self) -> Float[Tensor, "batch *event"]:
        """The data."""
        return self.x

    @cached_property
    def fake(self) -> Float[Tensor, "batch *event"]:
        """Generated examples."""
        return self.model.generate(self.z)

    @cached_property
    def real_logits(self) -> Float[Tensor, "batch"]:
        """The discriminator's raw logits for the data."""
        return self._judged_real[0]

    @cached_property
    def fake_logits(self) -> Float[Tensor, "batch"]:
        """The discriminator's raw logits for the generated examples."""
        return self._judged_fake[0]

    @cached_property
    def real_features(self) -> list[Float[Tensor, "batch *features"]]:
        """The discriminator's hidden layers for the data."""
        return self._judged_real[1]

    @cached_property
    def fake_features(self) -> list[Float[Tensor, "batch *features"]]:
        """The discriminator's hidden layers for the generated examples."""
        return self._judged_fake[1]


class DiscriminatorTurn(GANTurn):
    """Quantities offered to the discriminator: no gradient flows to the generator.

    `real_gradient` and `fake_gradient` are available only if `needs` names them, since an input must require
    gradients before it is judged. They are computed even if the trainer has disabled gradients.
    """

    @cached_property
    def fake(self) -> Float[Tensor, "batch *event"]:
        """Generated examples, detached."""
        with torch.no_grad():
            return self.model.generate(self.z)

    @cached_property
    def _judged_both(self) -> tuple[Judged, Judged] | None:
        """Data and generated examples judged in one pass, which takes hardly longer than one of them."""
        if not (self.needs & REAL and self.needs & FAKE) or self.needs & GRADIENTS:
            return None
        logits, features = self.model.judge(torch.cat([self.real, self.fake]))
        real, fake = logits.chunk(2)
        halves = [layer.chunk(2) for layer in features] if self.needs & FEATURES else []
        return (real, [half[0] for half in halves]), (fake, [half[1] for half in halves])

    @cached_property
    def _tracked_real(self) -> Tensor:
        return self.real.detach().requires_grad_()

    @cached_property
    def _tracked_fake(self) -> Tensor:
        return self.fake.detach().requires_grad_()

    @cached_property
    def _judged_real(self) -> Judged:
        if self._judged_both is not None:
            return self._judged_both[0]
        if "real_gradient" not in self.needs:
            return super()._judged_real
        with torch.enable_grad():
            return self.model.judge(self._tracked_real)

    @cached_property
    def _judged_fake(self) -> Judged:
        if self._judged_both is not None:
            return self._judged_both[1]
        if "fake_gradient" not in self.needs:
            return super()._judged_fake
        with torch.enable_grad():
            return self.model.judge(self._tracked_fake)

    @cached_property
    def real_gradient(self) -> Float[Tensor, "batch *event"]:
        """Gradient of the discriminator's logit with respect to its input, at the data."""
        return _input_gradient(self.real_logits, self._tracked_real)

    @cached_property
    def fake_gradient(self) -> Float[Tensor, "batch *event"]:
        """Gradient of the discriminator's logit with respect to its input, at the generated examples."""
        return _input_gradient(self.fake_logits, self._tracked_fake)

    @cached_property
    def interpolated_gradient(self) -> Float[Tensor, "batch *event"]:
        """Gradient of the discriminator's logit with respect to its input, between real and fake examples.

        Evaluated at ε·real + (1 − ε)·fake, with one uniform ε per example.
        """
        one_each = (len(self.real), *[1] * (self.real.dim() - 1))
        epsilon = torch.rand(one_each, device=self.real.device, dtype=self.real.dtype)
        interpolated = torch.lerp(self.fake, self.real, epsilon).detach().requires_grad_()
        with torch.enable_grad():
            logits, _ = self.model.judge(interpolated)
        return _input_gradient(logits, interpolated)


class GeneratorTurn(GANTurn):
    """Quantities offered to the generator: gradients flow through the discriminator to generated examples."""

    @cached_property
    def _judged_real(self) -> Judged:
        with torch.no_grad():
            return super()._judged_real


class Discriminator(nn.Module):
    """A network that maps each example to one raw logit; called D or critic in papers."""

    def __init__(self, data: genloss.DataSpec, *, network: Network, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = encoder(data, 1, network=network, hidden=hidden, activation=LEAKY_RELU)

    def forward(self, x: Tensor) -> Judged:
        """Return the logits `[batch]` and the features: each hidden layer after its activation."""
        features = []
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                features.append(x)
        return x.squeeze(1), features


class GAN(genloss.Model):
    """A generator of examples, and a discriminator that distinguishes them from data.

    The discriminator returns raw, unbounded logits, and neither network has normalisation layers, so that
    every adversarial loss and gradient penalty can be used. For bounded data, the generator ends in a sigmoid
    scaled to the data's range. For images, weights are initialised as in He et al. 2015: with torch's smaller
    weights, the generator starts with almost the same image for all noise, and mostly stays there. For
    points, torch's initialisation is kept, whose smoother functions find more modes of a mixture.

    Options:
        latent_dim: dimension of the generator's noise (32).
        network: "mlp", or "conv" for images ("mlp").
        hidden: widths of the discriminator's hidden layers, reversed in the generator; with "conv" the
            channels of layers that halve the image ([128, 128]).

    Source:
        Goodfellow et al. 2014, "Generative Adversarial Networks", arXiv:1406.2661.
    """

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        latent_dim: Positive = 32,
        network: Network = "mlp",
        hidden: tuple[Positive, ...] = (128, 128),
    ) -> None:
        super().__init__(data)
        self.latent_dim = latent_dim
        self.discriminator = Discriminator(data, network=network, hidden=hidden)
        self.generator = decoder(data, latent_dim, network=network, hidden=hidden, activation=LEAKY_RELU)
        if data.kind == "image":
            initialise(self.discriminator.layers)
            initialise(self.generator)
        if data.value_range is not None:
            self.generator.append(to_value_range(data))

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"discriminator": DiscriminatorTurn, "generator": GeneratorTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def generate(self, z: Tensor) -> Tensor:
        """Generate examples `[batch, *event]` from noise `[batch, latent]`."""
        fake: Tensor = self.generator(z)
        return fake

    def judge(self, x: Tensor) -> Judged:
        """Return the discriminator's logits `[batch]` and features for examples `[batch, *event]`."""
        judged: Judged = self.discriminator(x)
        return judged

    def sample(self, count: int) -> Tensor:
        """Generate examples from noise z ~ N(0, I)."""
        with torch.no_grad():
            return self.generate(normal(next(self.parameters()), count, self.latent_dim))


def _input_gradient(logits: Tensor, x: Tensor) -> Tensor:
    # Each logit depends on its own example only, so a vector of ones yields per-example gradients.
    (gradient,) = torch.autograd.grad(logits, x, torch.ones_like(logits), create_graph=True)
    return gradient
