"""The loop: the same numbers as loops written by hand, the same run twice, every key of the YAML's table."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import genloss
from genloss.errors import ContractError, MismatchError, NonFiniteError
from genloss.experiment.schema import Choice, Player, Ramp, Schedule
from genloss.record import checkpoint
from genloss.record.frame import Values
from genloss.record.recorder import Recorder
from genloss.training import seeds
from genloss.training.trainer import Interrupted
from tests.training.support import (
    NON_SATURATING,
    WGAN_GP,
    Rows,
    recorder,
    same,
    term,
    train,
    trainer,
    weights,
)

VAE = {"network": (term("squared_error"), term("gaussian_kl"))}


@pytest.mark.parametrize("players", [NON_SATURATING, WGAN_GP])
def test_one_seed_gives_the_same_run_twice_bit_for_bit(players: Any) -> None:
    first, second = trainer(players), trainer(players)
    assert np.array_equal(train(first).values, train(second).values)
    assert same(weights(first), weights(second))


def test_another_seed_gives_another_run() -> None:
    assert not same(weights(trainer(seed=0)), weights(trainer(seed=1)))


def test_objectives_of_one_seed_share_initial_weights_and_batches() -> None:
    first, second = trainer(NON_SATURATING), trainer(WGAN_GP)
    assert same(weights(first), weights(second))
    for _ in range(30):
        assert torch.equal(next(first.batches)["x"], next(second.batches)["x"])


def by_hand(trained: Any, steps: int, *, updates: int = 1, simultaneous: bool = False) -> list[list[float]]:
    """Trains a non-saturating GAN as tutorials do; gives the two losses of each step."""
    model = trained.model
    d = torch.optim.Adam(model.discriminator.parameters(), lr=1e-3)
    g = torch.optim.Adam(model.generator.parameters(), lr=1e-3)
    said = []
    for _ in range(steps):
        losses: list[list[float]] = [[], []]

        def discriminate() -> Tensor:
            real = next(trained.batches)["x"]
            fake = model.generate(torch.randn(len(real), 2)).detach()
            logits, _ = model.judge(torch.cat([real, fake]))
            return (F.softplus(-logits[: len(real)]) + F.softplus(logits[len(real) :])).mean()

        def generate() -> Tensor:
            return F.softplus(-model.judge(model.generate(torch.randn(16, 2)))[0]).mean()

        if simultaneous:
            ahead, behind = discriminate(), generate()
            losses[0].append(ahead.item())
            losses[1].append(behind.item())
            of_d = torch.autograd.grad(ahead, list(model.discriminator.parameters()), retain_graph=True)
            of_g = torch.autograd.grad(behind, list(model.generator.parameters()))
            for optimizer, module, gradients in ((d, model.discriminator, of_d), (g, model.generator, of_g)):
                for parameter, gradient in zip(module.parameters(), gradients, strict=True):
                    parameter.grad = gradient
                optimizer.step()
        else:
            for _ in range(updates):
                loss = discriminate()
                losses[0].append(loss.item())
                d.zero_grad()
                loss.backward()
                d.step()
            next(trained.batches)
            loss = generate()
            losses[1].append(loss.item())
            g.zero_grad()
            loss.backward()
            g.step()
        said.append([float(np.mean(each)) for each in losses])
    return said


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"players": {"discriminator": Player(updates_per_step=3)}},
        {"order": "simultaneous"},
    ],
    ids=["alternating", "three updates", "simultaneous"],
)
def test_the_loop_gives_the_numbers_of_one_written_by_hand(settings: dict[str, Any]) -> None:
    ours, twin = (trainer(precision="float64", **_renamed(settings)) for _ in range(2))
    rows = train(ours)
    torch.manual_seed(seeds.derive(0, "noise"))
    said = _hand(twin, settings)
    for index, key in enumerate(
        ("discriminator/minimax_discriminator", "generator/non_saturating_generator")
    ):
        np.testing.assert_allclose(rows.of(ours, key), [losses[index] for losses in said], rtol=1e-10)
    for ours_now, theirs in zip(ours.model.parameters(), twin.model.parameters(), strict=True):
        torch.testing.assert_close(ours_now, theirs, rtol=1e-8, atol=1e-10)


def _renamed(settings: dict[str, Any]) -> dict[str, Any]:
    return {("training_players" if key == "players" else key): value for key, value in settings.items()}


def _hand(twin: Any, settings: dict[str, Any]) -> list[list[float]]:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return by_hand(
            twin,
            20,
            updates=settings["players"]["discriminator"].updates_per_step if "players" in settings else 1,
            simultaneous=settings.get("order") == "simultaneous",
        )
    finally:
        torch.set_default_dtype(default)


def test_the_total_is_the_weighted_sum_of_the_raw_terms() -> None:
    trained = trainer(WGAN_GP)
    rows = train(trained)
    raw = rows.of(trained, "discriminator/wasserstein_discriminator")
    penalty = rows.of(trained, "discriminator/gradient_penalty")
    np.testing.assert_allclose(rows.of(trained, "discriminator/total"), raw + 10 * penalty, rtol=1e-5)


def test_a_weight_may_follow_a_schedule() -> None:
    ramp = Schedule(linear=Ramp(start=0.0, to=2.0, steps=10))
    trained = trainer({"network": (term("squared_error"), term("gaussian_kl", weight=ramp))}, model="vae")
    rows = train(trained)
    weight = np.minimum(np.arange(20) / 10, 1) * 2
    expected = rows.of(trained, "network/squared_error") + weight * rows.of(trained, "network/gaussian_kl")
    np.testing.assert_allclose(rows.of(trained, "network/total"), expected, rtol=1e-5)


def test_an_option_may_follow_a_schedule() -> None:
    smoothing = {"linear": {"from": 0.0, "to": 1.0, "steps": 20}}
    scheduled = trainer(
        {
            **NON_SATURATING,
            "discriminator": (term("minimax_discriminator", options={"label_smoothing": smoothing}),),
        },
        steps=2,
    )
    constant = trainer(steps=2)
    ours, theirs = train(scheduled), train(constant)
    key = "discriminator/minimax_discriminator"
    assert ours.of(scheduled, key)[0] == theirs.of(constant, key)[0]
    assert ours.of(scheduled, key)[1] != theirs.of(constant, key)[1]


def test_a_term_each_nth_step_has_a_row_at_those_steps_alone() -> None:
    lazy = {
        **WGAN_GP,
        "discriminator": (WGAN_GP["discriminator"][0], term("gradient_penalty", weight=10.0, every=4)),
    }
    trained = trainer(lazy)
    rows = train(trained)
    assert len(rows.of(trained, "discriminator/gradient_penalty")) == 5
    total, raw = (
        rows.of(trained, "discriminator/total"),
        rows.of(trained, "discriminator/wasserstein_discriminator"),
    )
    due = np.arange(20) % 4 == 0
    np.testing.assert_array_equal(total[~due], raw[~due])
    np.testing.assert_allclose(
        total[due], (raw + 0)[due] + 10 * rows.of(trained, "discriminator/gradient_penalty"), rtol=1e-5
    )


def test_clipping_bounds_the_gradient() -> None:
    tight = trainer(training_players={"generator": Player(clip_gradients=1e-6)})
    rows = train(tight)
    assert (rows.of(tight, "generator/gradient_norm") > 1e-6).all()  # what is recorded is the norm before
    norm = torch.nn.utils.get_total_norm([p.grad for p in tight.players[1].parameters if p.grad is not None])
    assert float(norm) <= 1.001e-6


def test_each_player_may_have_its_own_optimizer() -> None:
    trained = trainer(
        training_players={"generator": Player(optimizer=Choice(name="sgd", options={"lr": 0.1}))}
    )
    assert [type(player.optimizer).__name__ for player in trained.players] == ["Adam", "SGD"]


def test_float64_trains_in_float64() -> None:
    trained = trainer(VAE, model="vae", precision="float64")
    rows = train(trained)
    assert all(parameter.dtype is torch.float64 for parameter in trained.model.parameters())
    single = rows.values.astype(np.float32).astype(np.float64)
    assert not np.array_equal(single, rows.values)


def test_it_goes_on_from_a_checkpoint_bit_for_bit(tmp_path: Any) -> None:
    whole = trainer(WGAN_GP)
    all_rows = train(whole)
    first = trainer(WGAN_GP)
    train(first, {7: [lambda: checkpoint.save(tmp_path, first.step, first.state_dict())]})
    state = checkpoint.load(tmp_path).state
    assert state is not None
    second = trainer(WGAN_GP)
    second.load_state_dict(state)
    rows = train(second)
    assert rows[0].first_step == 7
    assert np.array_equal(rows.values, all_rows.values[7:])
    assert same(weights(second), weights(whole))


def test_it_stops_before_a_step_when_asked_to() -> None:
    trained = trainer()
    asked = iter([False, False, False, True])
    trained.should_stop = lambda: next(asked)
    rows = Rows()
    with closing(recorder(trained, rows)) as kept, pytest.raises(Interrupted):
        trained.train(kept, {})
    assert trained.step == 3
    assert len(rows.values) == 3


def test_what_is_due_happens_once_so_many_steps_are_done() -> None:
    trained = trainer()
    rows = Rows()
    seen: list[tuple[int, int]] = []

    def note() -> None:
        seen.append((trained.step, sum(len(block.values) for block in rows)))

    with closing(recorder(trained, rows)) as kept:
        trained.train(kept, {step: [note] for step in (0, 5, 20, 21)})
    assert seen == [(0, 0), (5, 5), (20, 20)]  # all before it is in the journal then


def test_a_disk_that_stands_still_does_not_stop_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genloss.record.recorder.FLUSH_SECONDS", 0.0)
    trained = trainer(steps=60)
    seeds.seed_all(seeds.derive(0, "noise"))
    journal, rows = threading.Event(), Rows()

    def write(block: Values) -> None:
        assert journal.wait(30)
        rows.append(block)

    with closing(Recorder(trained.columns(), write, device=trained.device, dtype=trained.dtype)) as kept:
        trained.advance(60, kept)
        assert trained.step == 60
        assert rows == []
        journal.set()
        kept.flush()
    assert np.array_equal(rows.values, train(trainer(steps=60)).values)


def test_values_that_are_computed_again_are_compared() -> None:
    first = train(trainer())
    again = trainer()
    assert train(again, recorded=first) == []
    with pytest.raises(MismatchError, match=r"at step 0 is .*, and was .* when it was recorded"):
        train(trainer(seed=1), recorded=first)


@genloss.loss(family="test", unit="1", source="a test")
def logarithmic(fake: Float[Tensor, "batch *event"], *, scale: float = 1.0) -> Float[Tensor, "batch"]:
    """Not a number as soon as the scale is negative."""
    return fake.flatten(1).sum(1) * torch.log(torch.full((len(fake),), scale, dtype=fake.dtype))


def broken_at_step_11(**training: Any) -> Any:
    falling = {"linear": {"from": 1.05, "to": -0.95, "steps": 20}}
    return trainer(
        {**NON_SATURATING, "generator": (term("logarithmic", options={"scale": falling}),)},
        losses={"logarithmic": logarithmic},
        **training,
    )


def test_a_value_that_is_not_finite_ends_the_run_with_its_step() -> None:
    trained = broken_at_step_11()
    rows = Rows()
    with (
        closing(recorder(trained, rows)) as kept,
        pytest.raises(
            NonFiniteError,
            match=r"`generator/logarithmic` became nan at step 11; the last finite values, at step 10",
        ) as caught,
    ):
        trained.train(kept, {})
    assert caught.value.step == 11
    assert len(rows.values) == 12


@pytest.mark.parametrize("order", ["alternating", "simultaneous"])
def test_skip_leaves_the_player_as_it_was_and_trains_the_others(order: str) -> None:
    trained = broken_at_step_11(on_nonfinite="skip", order=order)
    before: dict[str, dict[str, torch.Tensor]] = {}

    def note() -> None:
        before["generator"] = weights_of(trained, 1)
        before["discriminator"] = weights_of(trained, 0)

    rows = train(trained, {11: [note]}, fail_on_nonfinite=False)
    assert np.isfinite(rows.values[:11]).all()
    assert np.isnan(rows.of(trained, "generator/logarithmic")[11:]).all()
    assert np.isfinite(rows.of(trained, "discriminator/total")).all()
    assert same(weights_of(trained, 1), before["generator"])
    assert not same(weights_of(trained, 0), before["discriminator"])
    steps = [{float(state["step"]) for state in p.optimizer.state.values()} for p in trained.players]
    assert steps == [{20.0}, {11.0}]
    skipped = rows.of(trained, "generator/skipped_updates")
    assert skipped.tolist() == [0.0] * 11 + [float(n) for n in range(1, 10)]
    assert not rows.of(trained, "discriminator/skipped_updates").any()


def test_skipped_updates_are_counted_on_after_a_checkpoint(tmp_path: Any) -> None:
    whole, first, second = (broken_at_step_11(on_nonfinite="skip") for _ in range(3))
    expected = train(whole, fail_on_nonfinite=False)
    due = {15: [lambda: checkpoint.save(tmp_path, first.step, first.state_dict())]}
    train(first, due, fail_on_nonfinite=False)
    second.load_state_dict(checkpoint.load(tmp_path).state)
    np.testing.assert_array_equal(train(second, fail_on_nonfinite=False).values, expected.values[15:])


def weights_of(trained: Any, player: int) -> dict[str, torch.Tensor]:
    return {str(n): p.detach().clone() for n, p in enumerate(trained.players[player].parameters)}


def test_continue_goes_on_with_what_there_is() -> None:
    trained = broken_at_step_11(on_nonfinite="continue")
    rows = train(trained, fail_on_nonfinite=False)
    assert len(rows.values) == 20
    assert np.isnan(rows.of(trained, "generator/total")[11:]).all()
    assert np.isnan(rows.of(trained, "discriminator/total")[12:]).all()  # it is given no numbers, either
    assert all(parameter.isnan().any() for parameter in trained.model.generator.parameters())


def test_skip_and_continue_change_nothing_while_all_is_finite() -> None:
    expected = train(trainer(WGAN_GP)).values
    for policy in ("skip", "continue"):
        values = train(trainer(WGAN_GP, on_nonfinite=policy)).values
        assert np.array_equal(values[:, : expected.shape[1]], expected)
        assert not values[:, expected.shape[1] :].any()  # updates that were skipped


@genloss.loss(family="test", unit="1", source="a test")
def detached(x_hat: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch"]:
    """Lets no gradient through."""
    return x_hat.detach().flatten(1).sum(1)


@genloss.loss(family="test", unit="1", source="a test")
def scalar(x_hat: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch"]:
    """Says one value per example and gives one for all."""
    return x_hat.sum()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (detached, "no parameter of `network` gets a gradient from `detached`"),
        (scalar, r"loss `scalar` must return one value per example, shape \[16\], got float32 \[\]"),
    ],
)
def test_the_first_batch_shows_a_loss_that_breaks_its_contract(loss: Any, message: str) -> None:
    trained = trainer({"network": (term(loss.name),)}, model="autoencoder", losses={loss.name: loss})
    with pytest.raises(ContractError, match=message):
        trained.check()


def test_checking_the_first_batch_changes_nothing() -> None:
    checked, unchecked = trainer(WGAN_GP), trainer(WGAN_GP)
    checked.check()
    assert np.array_equal(train(checked).values, train(unchecked).values)


@genloss.loss(family="test", unit="1", source="a test")
class ScaledError(nn.Module):
    """A squared error with a learned log scale, as σ-VAE has it."""

    def __init__(self, *, start: float = 0.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(start))

    def forward(
        self, x: Float[Tensor, "batch *event"], x_hat: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch"]:
        error = (x - x_hat).square().flatten(1).sum(1)
        return 0.5 * error * torch.exp(-2 * self.log_scale) + self.log_scale


def test_the_parameters_of_a_loss_train_with_its_player() -> None:
    trained = trainer(
        {"network": (term("scaled_error", options={"start": 0.5}),)},
        model="autoencoder",
        losses={"scaled_error": ScaledError},
    )
    trained.check()
    train(trained)
    (network,) = trained.players
    assert network.objective.modules.get_parameter("scaled_error.log_scale").item() != 0.5


class NoHostRead(TorchDispatchMode):
    """Refuses what `.item()`, `bool(tensor)` and `float(tensor)` do."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert "_local_scalar_dense" not in str(func), "the loop reads the device"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("players", [NON_SATURATING, WGAN_GP])
def test_a_step_does_not_read_the_device(players: Any) -> None:
    trained = trainer(players, optimizer=Choice(name="sgd", options={"lr": 0.1}))
    with NoHostRead():
        trained.advance(5, recorder(trained, Rows()))
    assert trained.step == 5
