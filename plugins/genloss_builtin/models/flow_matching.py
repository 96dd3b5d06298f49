"""The flow matching model: a velocity field that transports noise, or source examples, to data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.models.networks import Positive, normal
from genloss_builtin.models.time_networks import (
    ActivationName,
    TimeNetwork,
    UnitScale,
    per_example,
    time_network,
)


class FlowMatchingTurn(genloss.Turn["FlowMatching"]):
    """Quantities that flow matching offers to losses; time and noise are drawn once per example and turn.

    Bounded data is scaled to [−1, 1]; `noise`, `velocity` and `velocity_target` are on that scale.
    """

    @cached_property
    def t(self) -> Float[Tensor, "batch"]:
        """The time, uniform on [0, 1]: from noise to data."""
        return torch.rand(len(self.x), device=self.x.device, dtype=self.x.dtype)

    @cached_property
    def noise(self) -> Float[Tensor, "batch *event"]:
        """x₀ ~ N(0, I), where the path to the data begins; or the data's `source`, if it has one."""
        if self.model.data.source:
            source = self.model.scale.enter(self.batch["source"])
            noise = source[torch.randperm(len(source), device=source.device)]
        else:
            noise = torch.randn_like(self.x)
        return nearest_pairs(noise, self._scaled) if self.model.coupling == "optimal_transport" else noise

    @cached_property
    def _scaled(self) -> Tensor:
        return self.model.scale.enter(self.x)

    @cached_property
    def _on_path(self) -> Tensor:
        mean = torch.lerp(self.noise, self._scaled, per_example(self.t, self.x))
        sigma = self.model.sigma
        return mean + sigma * torch.randn_like(mean) if sigma else mean

    @cached_property
    def velocity(self) -> Float[Tensor, "batch *event"]:
        """The network's output for the point of the path at t."""
        return self.model.velocity(self._on_path, self.t)

    @cached_property
    def velocity_target(self) -> Float[Tensor, "batch *event"]:
        """The path's velocity x − x₀; its mean given the point and t is the velocity of the flow."""
        return self._scaled - self.noise

    @cached_property
    def x_hat(self) -> Float[Tensor, "batch *event"]:
        """Estimated mean of the data (plus the path's noise if σ > 0) given the point, in data space."""
        remaining = per_example(1 - self.t, self.x)
        return self.model.scale.leave(self._on_path + remaining * self.velocity)


class FlowMatching(genloss.Model):
    """A velocity field that transports N(0, I) at t = 0 to the data at t = 1, the mean of straight paths.

    A path leads from the noise x₀ to the data x at constant speed, through (1 − t) x₀ + t x. If the data has
    a field `source`, its examples take the place of noise, and `sample_from` generates samples from held-out
    source examples.

    With independent coupling, any noise can be paired with any example. With `optimal_transport`, each batch
    is paired so that the sum of squared distances is minimal, which makes the flow's paths straighter. POT
    solves this exactly on the CPU, so every turn copies a batch's distances to the CPU and the pairing back.

    Bounded data is scaled to [−1, 1], and samples are clipped to that range; other data is not scaled and
    should have a variance of about 1.

    Options:
        coupling: "independent" or "optimal_transport" ("independent").
        sampler: "euler", or "midpoint", which evaluates the network twice per step ("midpoint").
        sampling_steps: number of equal steps from t = 0 to t = 1 (50).
        sigma: standard deviation of Gaussian noise around the path, the σ of conditional flow matching; the
            flow then ends at the data plus that noise (0).
        network: "mlp", which adds a time embedding in each hidden layer; "plain_mlp", whose input is the
            concatenation of the example and the time; or "conv" for images, a U-Net ("mlp").
        hidden: widths of the hidden layers; with "conv" the channels at each resolution, each half of the
            previous one ([128, 128]).
        activation: activation between layers: "silu", "selu", "relu", "gelu" or "tanh" ("silu").

    Source:
        Lipman et al. 2023, "Flow Matching for Generative Modeling", arXiv:2210.02747, with σ_min = 0;
        σ, source and coupling: Tong et al. 2024, arXiv:2302.00482; coupling: Pooladian et al. 2023,
        arXiv:2304.14772.
    """

    example_options = ({"sampling_steps": 3, "hidden": [16, 16]},)
    exempt: ClassVar = {
        "host_reads[coupling=optimal_transport]": "POT couples the examples of a batch on the CPU"
    }

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        coupling: Literal["independent", "optimal_transport"] = "independent",
        sampler: Literal["euler", "midpoint"] = "midpoint",
        sampling_steps: Positive = 50,
        sigma: Annotated[float, Ge(0)] = 0.0,
        network: TimeNetwork = "mlp",
        hidden: tuple[Positive, ...] = (128, 128),
        activation: ActivationName = "silu",
    ) -> None:
        super().__init__(data)
        self.coupling = coupling
        self.sampler = sampler
        self.sampling_steps = sampling_steps
        self.sigma = sigma
        self.scale = UnitScale(data)
        self.network = time_network(data, network=network, hidden=hidden, activation=activation)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": FlowMatchingTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def velocity(self, x: Tensor, t: Float[Tensor, "batch"]) -> Tensor:
        """Return the velocity at the scaled points x `[batch, *event]` and the times t."""
        velocity: Tensor = self.network(x, t)
        return velocity

    def sample(self, count: int) -> Tensor:
        """Generate examples from noise; see the class.

        Raises:
            DefinitionError: the flow was trained to transport source examples.
        """
        if self.data.source:
            raise DefinitionError(
                "this flow starts from the data's sources, not from noise", hint="call `sample_from(source)`"
            )
        with torch.no_grad():
            return self.flow(normal(next(self.parameters()), count, *self.data.event_shape))

    def sample_from(self, source: Tensor) -> Tensor:
        """Transport source examples `[count, *event]` to data, in data space."""
        with torch.no_grad():
            return self.flow(self.scale.enter(source))

    def flow(self, noise: Tensor) -> Tensor:
        """Transport noise, or scaled source examples, `[batch, *event]` to data space."""
        x, step = noise, 1 / self.sampling_steps
        for start in torch.arange(self.sampling_steps, device=x.device, dtype=x.dtype) * step:
            t = start.expand(len(x))
            velocity = self.velocity(x, t)
            if self.sampler == "midpoint":
                velocity = self.velocity(x + step / 2 * velocity, t + step / 2)
            x = x + step * velocity
        return self.scale.leave(self.scale.clip(x))


def nearest_pairs(noise: Tensor, x: Tensor) -> Tensor:
    """Reorder the noise so that the sum of its squared distances from x, pair by pair, is minimal."""
    import ot

    distances = torch.cdist(x.detach().flatten(1), noise.flatten(1)).square()
    # Between equally many points of equal weight, an optimal plan pairs each point with a single other.
    plan = ot.emd([], [], distances.cpu().numpy(), numItermax=1_000_000)
    return noise[torch.from_numpy(plan.argmax(1)).to(noise.device)]
