"""The work and memory of a training step: counted, not timed, so that load does not matter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from genloss.contracts.model import Model
from genloss.experiment.schema import Choice, Objective
from genloss.training import optimizers
from genloss.training.networks import DTYPES
from genloss.training.trainer import Trainer

STEP_FLOPS, PRODUCT_FLOPS = 1e9, 4e6
"""What a step, and a matrix product of it, must have for each thread: at 20 GFLOP a second, 50 ms and 0.2 ms.
Below that a second thread wins little, and loses much where it has to wait for a core: all threads wait for
the last one after each product."""


@dataclass(frozen=True)
class Work:
    """What a step computes.

    Attributes:
        flops: floating-point operations of its matrix products and convolutions, gradients included.
        products: how many of those there are.
        kept: bytes kept for the gradients, of the player that keeps most; None if that is not known.
    """

    flops: float
    products: int
    kept: float | None

    @property
    def threads(self) -> int:
        """As many as it keeps busy."""
        each = self.flops / max(self.products, 1)
        return max(1, math.floor(min(self.flops / STEP_FLOPS, each / PRODUCT_FLOPS)))


@dataclass(frozen=True)
class Size:
    """What training an objective takes.

    Attributes:
        parameters: how many the model has.
        state: bytes of weights and buffers.
        computed: bytes of buffers that are not kept in checkpoints.
        gradients: bytes of the gradients.
        moments: bytes of the optimizers' state.
        average: bytes of the average of the weights, if there is one.
        work: of a step.
    """

    parameters: int
    state: int
    computed: int
    gradients: int
    moments: int
    average: int
    work: Work

    @property
    def step(self) -> float:
        """Bytes of memory that a step takes at least: all of that, and what is kept for the gradients."""
        return self.state + self.gradients + self.moments + self.average + (self.work.kept or 0)

    @property
    def checkpoint(self) -> int:
        """Bytes of a checkpoint."""
        copies = 1 if not self.average else 2
        return copies * (self.state - self.computed) + self.moments

    def told(self) -> dict[str, float]:
        """What `genloss plan --json` says of it: bytes, and operations of a step."""
        return {
            "parameters": self.parameters,
            "step_bytes": round(self.step),
            "checkpoint_bytes": self.checkpoint,
            "step_flops": round(self.work.flops),
        }


def size(sketch: Model, objective: Objective, work: Work) -> Size:
    """What training takes, by the model as it is built without memory."""
    training = objective.training
    width = DTYPES[training.precision].itemsize
    if training.precision == "bfloat16":
        width = torch.float32.itemsize  # the weights stay in float32

    def bytes_of(tensors: Iterable[Tensor]) -> int:
        return sum(t.numel() * (width if t.is_floating_point() else t.element_size()) for t in tensors)

    state = bytes_of([*sketch.parameters(), *sketch.buffers()])
    kept = sketch.state_dict().keys()
    computed = bytes_of(buffer for name, buffer in sketch.named_buffers() if name not in kept)
    gradients, moments = 0, 0
    for name, module in sketch.players().items():
        settings = training.players.get(name)
        choice = (settings.optimizer if settings is not None else None) or training.optimizer
        trained = sum(p.numel() for p in module.parameters() if p.requires_grad) * width
        gradients += trained
        moments += round(trained * _moments(choice))
    return Size(
        parameters=sum(parameter.numel() for parameter in sketch.parameters()),
        state=state,
        computed=computed,
        gradients=gradients,
        moments=moments,
        average=0 if training.ema is None else state,
        work=work,
    )


def measure(trainer: Trainer, batch: Mapping[str, Tensor], objective: Objective) -> Work:
    """The work of a step, by that of a few examples; their gradients are thrown away."""
    count, wanted = len(batch["x"]), objective.training.batch_size
    flops, products, kept = _measured(trainer, batch)
    if count > 1 and wanted > count:
        # What does not grow with the batch, such as masked weights, is in both.
        less = count // 2
        _, _, some = _measured(trainer, {name: value[:less] for name, value in batch.items()})
        kept += max(kept - some, 0) / (count - less) * (wanted - count)
    return Work(flops * wanted / count, products, kept)


def _measured(trainer: Trainer, batch: Mapping[str, Tensor]) -> tuple[float, int, float]:
    """Operations, products, and bytes kept, of these examples."""
    own = {parameter.untyped_storage().data_ptr() for parameter in trainer.model.parameters()}
    flops, products, kept = 0, 0, 0
    for player in trainer.players:
        storages: dict[int, int] = {}

        def keep(tensor: Tensor, storages: dict[int, int] = storages) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with _Counter() as counter:
            with saved_tensors_hooks(keep, lambda tensor: tensor):
                turn = player.turn(trainer.model, batch, player.objective.needs)
                total, _ = player.objective(turn, 0)
            torch.autograd.grad(total, player.parameters, allow_unused=True)
        flops += counter.flops * player.updates
        products += counter.products * player.updates
        kept = max(kept, sum(storages.values()))
    return flops, products, kept


def least(sketch: Model, objective: Objective) -> Work:
    """The least that a step computes: with each weight once for an example, and twice for its gradient."""
    training = objective.training
    flops, products = 0, 0
    for name, module in sketch.players().items():
        settings = training.players.get(name)
        updates = 1 if settings is None else settings.updates_per_step
        weights = [parameter.numel() for parameter in module.parameters() if parameter.dim() > 1]
        flops += 6 * updates * training.batch_size * sum(weights)
        products += 3 * updates * len(weights)
    return Work(float(flops), products, None)


def _moments(choice: Choice) -> float:
    """Numbers that an optimizer keeps for each one that it trains: seen in one step of a small tensor."""
    parameter = torch.zeros(64, 64, requires_grad=True)
    parameter.grad = torch.ones_like(parameter)
    optimizer = optimizers.build(choice.name, [parameter], **choice.options)
    optimizers.update(optimizer)()
    held: Any = optimizer.state[parameter]
    tensors = [value for value in held.values() if isinstance(value, Tensor) and value.dim()]
    return sum(tensor.numel() for tensor in tensors) / parameter.numel()


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts as torch's `FlopCounterMode`, whose hooks on modules do not go with gradients of gradients."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops, self.products = 0, 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not for the compiler's sake, which nothing here uses: it would be imported, a second and 70 MB."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=out)
            self.products += 1
        return out
