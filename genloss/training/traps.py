"""What an experiment may do, and its author probably did not mean: found in a trial, before training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from genloss.contracts.loss import Loss
from genloss.contracts.model import Model, Turn
from genloss.experiment.schema import Number, Schedule, Term
from genloss.text import count_of
from genloss.training import seeds
from genloss.training.trainer import Player, Trainer


class Finding(NamedTuple):
    """A remark's message and hint, and the player and the term that it is about, if it is about one."""

    message: str
    hint: str
    player: str = ""
    term: str = ""


NAMED = 3
"""Parameters that a remark names; it counts the others."""

FACTOR = 10
"""Ratio from which a larger weight or a clipped gradient draws a remark, since less may be intended."""


def of_parameters(model: Model) -> Iterator[Finding]:
    """Parameters that no player trains, and modules whose mode does not fit their use."""
    owned = {parameter for module in model.players().values() for parameter in module.parameters()}
    left = [name for name, p in model.named_parameters() if p.requires_grad and p not in owned]
    if left:
        shown = ", ".join(f"`{name}`" for name in left[:NAMED])
        more = f" and {len(left) - NAMED} more parameters" if len(left) > NAMED else ""
        belongs = "belongs" if len(left) == 1 else "belong"
        yield Finding(
            f"{shown}{more} {belongs} to no player and would not be trained",
            "give what is to be trained to one of the model's `players`, and freeze the rest: "
            "`.requires_grad_(False)`",
        )
    seen: list[nn.Module] = []
    for name, part in model.named_modules():
        if any(part is inner for above in seen for inner in above.modules()):
            continue
        parameters = list(part.parameters())
        trained = any(parameter.requires_grad for parameter in parameters)
        if (trained and part.training) or not parameters:
            continue
        seen.append(part)
        what = f"`{name}`" if name else "the model"
        count = sum(_has_modes(inner) and inner.training is not trained for inner in part.modules())
        layers = f"{count_of(count, 'layer')} of dropout or batch normalization"
        if count and trained:
            yield Finding(
                f"{what} was built in evaluation mode and stays in it while it is trained, with {layers}",
                "if that is not meant, as after `from_pretrained`, end the constructor with `.train()`",
            )
        elif count:
            yield Finding(
                f"{what} is frozen and in training mode, with {layers}",
                "if that is not meant, put it into evaluation mode in the constructor, where it then stays: "
                "`.eval()`",
            )


def _has_modes(part: nn.Module) -> bool:
    """Return whether a layer does something else in training than in evaluation."""
    return isinstance(part, _BatchNorm) or (isinstance(part, _DropoutNd) and part.p > 0)


def of_player(
    trainer: Trainer,
    player: Player,
    batch: Mapping[str, Tensor],
    terms: Sequence[Term],
    losses: Mapping[str, Loss[Any]],
) -> Iterator[Finding]:
    """What there is to remark of a player's objective, on the first examples, in evaluation mode."""
    size = batch["x"][0].numel()
    for finding in (*_rare(terms), *_means(terms, losses, size)):
        yield finding._replace(player=player.name)
    trainer.mode(training=True)
    for term in player.objective.terms:
        for quantity in term.bindings.values():
            if mixes(player.turn, trainer.model, batch, quantity):
                yield Finding(
                    f"`{quantity}` of an example depends on the other examples of its batch, and "
                    f"`{term.name}` takes it for the example's own",
                    "use layer, instance or group normalization in the discriminator",
                    player.name,
                    term.name,
                )
    trainer.mode(training=False)
    if player.clip is not None:
        yield from _clipped(player, player.clip, player.turn(trainer.model, batch, player.objective.needs))


def _rare(terms: Sequence[Term]) -> Iterator[Finding]:
    """Terms that are computed now and then, with a weight as if it were each step."""
    for term in terms:
        weight = _greatest(term.weight)
        if term.every > 1 and 0 < weight < term.every:
            yield Finding(
                f"`{term.name}` is computed every {term.every} steps alone, so that its weight of {weight:g} "
                f"counts as {weight / term.every:.3g} a step",
                f"`every` does not rescale it: if {weight:g} a step is meant, write "
                f"`weight: {weight * term.every:g}`",
                term=term.name,
            )


def _means(terms: Sequence[Term], losses: Mapping[str, Loss[Any]], size: int) -> Iterator[Finding]:
    """Means over an example beside a divergence that is a sum."""
    for mean in terms:
        if mean.options.get("reduce") != "mean" or "x" not in losses[mean.loss].quantities:
            continue
        for summed in terms:
            loss = losses[summed.loss]
            if loss.family != "divergence" or loss.unit != "nats" or "reduce" in loss.options:
                continue
            factor = size * _greatest(summed.weight) / (_greatest(mean.weight) or math.inf)
            if factor >= FACTOR:
                yield Finding(
                    f"`{mean.name}` is a mean over {size} elements, and `{summed.name}` beside it a sum: it "
                    f"weighs {factor:.4g} times what it does in a bound on the likelihood",
                    f"write `reduce: sum`, or give `{summed.name}` a smaller weight: else the posterior may "
                    "collapse to the prior",
                    term=mean.name,
                )


def _greatest(weight: Number) -> float:
    """A weight's magnitude, or the greatest that a schedule gives it."""
    if isinstance(weight, Schedule):
        return max(abs(weight.ramp.start), abs(weight.ramp.to))
    return abs(weight)


def _clipped(player: Player, clip: float, turn: Turn[Any]) -> Iterator[Finding]:
    """A gradient of which clipping leaves but a small part."""
    total, _ = player.objective(turn, 0)
    gradients = torch.autograd.grad(total, player.parameters, allow_unused=True)
    norm = float(torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None]))
    if norm >= FACTOR * clip:
        yield Finding(
            f"the gradient of `{player.name}` has the norm {norm:.3g} on the first {len(turn.x)} training "
            f"examples, and is clipped to {clip:g}",
            "losses are sums over an example's elements: choose a bound by "
            f"`{player.name}/gradient_norm`, which runs record, or leave `clip_gradients` out",
            player.name,
        )


def mixes(turn: type[Turn[Any]], model: Model, batch: Mapping[str, Tensor], quantity: str) -> bool:
    """Return whether a gradient by an example changes as the other examples of its batch do.

    Where the generated examples change with them, nothing can be said. The model is in training mode, and its
    buffers are left as they were.
    """
    if not quantity.endswith("_gradient") or len(batch["x"]) < 2 or not batch["x"].is_floating_point():
        return False
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    x = batch["x"].clone()
    x[1:] = x[1:].flip(0) / 2
    names = [quantity, *({"fake"} & turn.quantities().keys())]
    found: list[list[Tensor]] = []
    for of_batch in (batch, {**batch, "x": x}):
        with seeds.forked(0, batch["x"].device):
            seen = turn(model, of_batch, frozenset(names))
            found.append([getattr(seen, name)[0].detach() for name in names])
    with torch.no_grad():
        for buffer, value in buffers:  # running statistics
            buffer.copy_(value)
    same = [torch.allclose(one, other, rtol=1e-3, atol=1e-6) for one, other in zip(*found, strict=True)]
    return not same[0] and all(same[1:])
