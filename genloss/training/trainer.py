"""The trainer: one run, from the first step to the last.

    check the first batch against what the losses' signatures say
    until the last step:
        advance:  for each step
                      for each player, in their order (or all at once, if simultaneous)
                          for each of its updates in a step
                              draw a batch; take the player's turn at it
                              objective → total, and each term's value
                              gradients of the total by the player's own parameters
                              clip; update
                      the average of the weights follows, if there is one
                      the recorder keeps the step's values on the device
        then what is due: evaluate, checkpoint

Nothing in a step reads the device, calls a hook or writes a file. (`on_nonfinite: skip` alone looks at each
gradient before it is used.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from genloss.contracts.loss import Loss
from genloss.contracts.model import Model, Turn
from genloss.errors import GenlossError
from genloss.experiment.schema import Choice
from genloss.experiment.schema import Objective as ObjectiveConfig
from genloss.experiment.schema import Player as PlayerConfig
from genloss.record.events import Column
from genloss.record.recorder import Recorder
from genloss.training import networks, optimizers, seeds, states
from genloss.training.batches import Batches
from genloss.training.modes import Modes
from genloss.training.objective import Objective

NORM_EVERY = 20
"""Steps from one recorded gradient norm to the next: it is not a loss, and costs as much as a small update.
"""


class Interrupted(GenlossError):
    """The run was asked to stop."""


class Player:
    """A player with its optimizer and objective.

    Attributes:
        parameters: of its networks and of its losses.
        updates: how many it has in a step.
        update: takes a step of its optimizer.
        skipped: updates that were not made, as the gradient was not finite.
    """

    skipped: Tensor

    def __init__(
        self,
        name: str,
        module: nn.Module,
        turn: type[Turn[Any]],
        objective: Objective,
        config: PlayerConfig,
        default: Choice,
    ) -> None:
        self.name = name
        self.turn = turn
        self.objective = objective
        parts = chain(module.parameters(), objective.modules.parameters())
        self.parameters = [parameter for parameter in parts if parameter.requires_grad]
        self.updates = config.updates_per_step
        self.clip = config.clip_gradients
        choice = config.optimizer or default
        self.optimizer = optimizers.build(choice.name, self.parameters, **choice.options)
        self.update = optimizers.update(self.optimizer)

    def columns(self) -> list[Column]:
        """What it records each step."""
        terms = [Column(f"{self.name}/{term.name}", term.every) for term in self.objective.terms]
        return [*terms, Column(f"{self.name}/total"), Column(f"{self.name}/gradient_norm", NORM_EVERY)]

    def differentiate(self, model: Model, batch: Mapping[str, Tensor], step: int) -> list[Tensor | None]:
        """Leave the gradient of its objective in its parameters; return the values of `columns`."""
        turn = self.turn(model, batch, self.objective.needs)
        total, values = self.objective(turn, step)
        gradients = torch.autograd.grad(total, self.parameters, allow_unused=True)
        # Clipping scales in place, and two gradients may be one tensor.
        optimizers.assign(self.parameters, gradients, copy=self.clip is not None)
        norm = None
        if self.clip is not None or step % NORM_EVERY == 0:
            norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if self.clip is not None and norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        return [*values, total, None if step % NORM_EVERY else norm]

    def has_finite_gradient(self) -> bool:
        """Return whether its gradient is free of NaN and infinities; waits for the device."""
        finite = [p.grad.isfinite().all() for p in self.parameters if p.grad is not None]
        return not finite or bool(torch.stack(finite).all())


class Trainer:
    """Trains one objective with one seed.

    Args:
        model: builds the model; called with torch seeded for the weights.
        config: the objective with its training.
        losses: the losses that it names.
        batches: the training data.
        seed: the run's.
        device: where it is trained.
        should_stop: asked before each step; training ends with `Interrupted` when it says so.

    Attributes:
        step: steps done.
    """

    def __init__(
        self,
        model: Callable[[], Model],
        config: ObjectiveConfig,
        losses: Mapping[str, Loss[Any]],
        batches: Batches,
        *,
        seed: int,
        device: torch.device,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        training = config.training
        seeds.seed_all(seeds.derive(seed, "weights"))
        self.dtype = networks.DTYPES[training.precision]
        self.model = model().to(device, self.dtype)
        self.average = None
        if training.ema is not None:
            follow = get_ema_multi_avg_fn(training.ema)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(self.model, multi_avg_fn=follow).eval()
        for model in {self.model, self.eval_model}:
            if training.precision == "bfloat16":
                networks.compute_in_bfloat16(model, device)
            if training.compile:
                networks.compile_networks(model)
        turns, modules = self.model.turns(), self.model.players()
        self.players = []
        for name, module in modules.items():
            objective = Objective(name, config.players[name], losses, turns[name].quantities())
            objective.modules.to(device, self.dtype)
            player = training.players.get(name, PlayerConfig())
            self.players.append(Player(name, module, turns[name], objective, player, training.optimizer))
            self.players[-1].skipped = torch.zeros((), device=device, dtype=self.dtype)
        self.modes = [Modes(self.model), *(Modes(player.objective.modules) for player in self.players)]
        self.groups = [self.players] if training.order == "simultaneous" else [[p] for p in self.players]
        self.training = training
        self.batches = batches
        self.device = device
        self.step = 0
        self.should_stop = should_stop
        self.seed = seed
        self._built = {name: states.built(module) for name, module in self._modules().items()}

    @property
    def eval_model(self) -> Model:
        """The model that is evaluated and kept: with the averaged weights, if there are some."""
        return self.model if self.average is None else cast(Model, self.average.module)

    def columns(self) -> list[Column]:
        """What each step records."""
        columns = [column for player in self.players for column in player.columns()]
        if self.training.on_nonfinite == "skip":
            columns += [Column(f"{player.name}/skipped_updates") for player in self.players]
        return columns

    def check(self) -> None:
        """Compare a first batch with what the losses' signatures say; changes nothing.

        Raises:
            ContractError: they disagree.
        """
        batch = self.batches.first()
        self.mode(training=False)  # running statistics, of a model or a loss, stay as they are
        with seeds.forked(0, self.device), networks.explained():
            for player in self.players:
                turn = player.turn(self.model, batch, player.objective.needs)
                player.objective.check(turn, player.parameters, self.dtype)

    def mode(self, *, training: bool) -> None:
        """Put all into training or evaluation mode; what was built in the latter stays in it."""
        for modes in self.modes:
            modes.set(training=training)

    def train(self, recorder: Recorder, due: Mapping[int, Sequence[Callable[[], None]]]) -> None:
        """Train to the last step; `due` maps a number of finished steps to an action.

        What is due at the step that it begins with is done first.

        Raises:
            Interrupted: it was asked to stop.
            NonFiniteError: a value was not finite, and the run is to fail then.
            MismatchError: a value is not the one that was recorded before.
        """
        if self.step == 0:
            seeds.seed_all(seeds.derive(self.seed, "noise"))
        while True:
            for action in due.get(self.step, ()):
                action()
            if self.step >= self.training.steps:
                return
            self.mode(training=True)
            recorder.begin(self.step)
            later = [step for step in due if step > self.step]
            try:
                self.advance(min([*later, self.training.steps]), recorder)
            finally:
                recorder.flush()  # the last values before a failure, too

    def advance(self, until: int, recorder: Recorder) -> None:
        """The loop."""
        skip = self.training.on_nonfinite == "skip"
        while self.step < until:
            if self.should_stop():
                raise Interrupted(f"stopped at step {self.step}")
            row: list[Tensor | None] = []
            for group in self.groups:
                updates = []
                for _ in range(group[0].updates):
                    batch = next(self.batches)
                    values = [player.differentiate(self.model, batch, self.step) for player in group]
                    for player in group:
                        if not skip or player.has_finite_gradient():
                            player.update()
                        else:
                            player.skipped = player.skipped + 1
                    updates.append(list(chain.from_iterable(values)))
                row += updates[0] if len(updates) == 1 else mean(updates)
            if self.average is not None:
                self.average.update_parameters(self.model)
            if skip:
                row += [player.skipped for player in self.players]
            recorder.write(row)
            self.step += 1

    def state_dict(self) -> dict[str, Any]:
        """All that decides how training goes on; its tensors are those of the trainer."""
        return {
            "step": self.step,
            "modules": {
                name: states.of(module, self._built[name]) for name, module in self._modules().items()
            },
            "optimizers": {player.name: optimizers.state_dict(player.optimizer) for player in self.players},
            "batches": self.batches.state_dict(),
            "generators": seeds.state(self.device),
            "skipped": {player.name: player.skipped for player in self.players},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.step = state["step"]
        for name, module in self._modules().items():
            states.load(module, state["modules"][name], self.device)
        for player in self.players:
            optimizers.load_state_dict(player.optimizer, state["optimizers"][player.name])
            player.skipped = state["skipped"][player.name].to(self.device)
        self.batches.load_state_dict(state["batches"])
        seeds.restore(state["generators"], self.device)

    def _modules(self) -> dict[str, nn.Module]:
        """All that has parameters or buffers."""
        modules: dict[str, nn.Module] = {"model": self.model}
        if self.average is not None:
            modules["average"] = self.average
        return modules | {f"losses of {player.name}": player.objective.modules for player in self.players}


@torch.no_grad()
def mean(updates: Sequence[Sequence[Tensor | None]]) -> list[Tensor | None]:
    """The mean of each value over a step's updates."""
    return [
        None if any(v is None for v in values) else torch.stack([v for v in values if v is not None]).mean()
        for values in zip(*updates, strict=True)
    ]
