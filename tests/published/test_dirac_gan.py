"""The Dirac-GAN: genloss's trainer against the simulation, and the theory that both must follow."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from genloss.planning.plan import plan
from genloss.training.batches import Batches
from genloss.training.trainer import Trainer
from tests.published.conftest import PUBLISHED
from tests.training.support import CPU, train

Import = Callable[[str], ModuleType]
H = 0.2


def trajectories(*overrides: str) -> dict[str, Any]:
    """θ and ψ before and after each step, of each objective of the experiment."""
    planned = plan(PUBLISHED / "dirac_gan.yaml", overrides=overrides)
    definition = planned.catalogue.models["dirac_gan"]
    found = {}
    for objective in planned.experiment.objectives:
        trainer = Trainer(
            lambda: definition.build(planned.data.spec),
            objective,
            planned.catalogue.losses,
            Batches(planned.data.train, batch_size=1, seed=0, device=CPU, dtype=torch.float64),
            seed=0,
            device=CPU,
        )
        states: list[tuple[float, float]] = []

        def keep(trainer: Trainer = trainer, states: list[tuple[float, float]] = states) -> None:
            theta, psi = (player.item() for player in trainer.model.parameters())
            states.append((theta, psi))

        train(trainer, {step: [keep] for step in range(trainer.training.steps + 1)})
        found[objective.name] = np.array(states)
    return found


def test_only_the_distance_is_a_metric_and_the_states_are_recorded_without_effect() -> None:
    planned = plan(PUBLISHED / "dirac_gan.yaml")
    evaluation = planned.experiment.evaluation
    assert evaluation is not None
    assert [choice.name for choice in evaluation.metrics] == ["distance"]
    metric = planned.catalogue.metrics["distance"]
    assert metric.higher_is_better == {"distance": False}
    model = planned.catalogue.models["dirac_gan"].build(planned.data.spec)
    for parameter, value in zip(model.parameters(), (3.0, -4.0), strict=True):
        torch.nn.init.constant_(parameter, value)
    assert metric(model=model) == 5.0
    for objective in planned.experiment.objectives:
        for player, name in (("generator", "theta"), ("discriminator", "psi")):
            (term,) = (term for term in objective.players[player] if term.name == name)
            assert term.weight == 0


def test_every_state_is_that_of_the_simulation(module: Import) -> None:
    """Of fewer steps; the slow check has all 500."""
    dirac_gan = module("checks.dirac_gan")
    ours = trajectories("training.steps=100")
    assert list(ours) == dirac_gan.OBJECTIVES
    for objective, trajectory in ours.items():
        assert trajectory.shape == (101, 2)
        simulated = dirac_gan.simulated(objective, 100)
        np.testing.assert_allclose(trajectory, simulated, rtol=0, atol=1e-9, err_msg=objective)


def test_the_simulation_follows_theory(module: Import) -> None:
    dirac_gan = module("checks.dirac_gan")
    games = {name: dirac_gan.simulated(name, 500) for name in dirac_gan.OBJECTIVES}
    assert [row for row in dirac_gan.theory_rows(games) if row.missed] == []
    converging = games | {"wgan_gp_alternating": games["r1_alternating"]}
    assert [row.what for row in dirac_gan.theory_rows(converging) if row.missed] == [
        "`wgan_gp_alternating`: minimum distance, last 100 steps"
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        "objectives.r1_alternating.discriminator.r1.weight=0.15",
        "objectives.wgan_gp_alternating.discriminator.gradient_penalty.weight=0.7",
        "objectives.wgan_gp_alternating.discriminator.gradient_penalty.target=0.3",
    ],
)
def test_a_wrong_factor_is_found(wrong: str, module: Import) -> None:
    ours = trajectories(wrong, "training.steps=10")
    missed = [row.what for row in module("checks.dirac_gan").trajectory_rows(ours) if row.missed]
    assert missed == [f"`{wrong.split('.')[1]}`: maximum deviation from the simulation"]


@pytest.mark.parametrize("alternating", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 1.5])
def test_the_jacobian_is_that_of_the_update(alternating: bool, gamma: float, module: Import) -> None:
    dirac_gan = module("checks.dirac_gan")

    def update(theta: float, psi: float) -> Any:
        moved = theta - H * psi * dirac_gan.slope(psi * theta)
        seen = moved if alternating else theta
        return np.array([moved, psi + H * (seen * dirac_gan.slope(psi * seen) - gamma * psi)])

    small = 1e-6
    columns = [(update(*at) - update(*-at)) / (2 * small) for at in small * np.eye(2)]
    expected = dirac_gan.jacobian(gamma, alternating=alternating)
    np.testing.assert_allclose(np.stack(columns, 1), expected, rtol=0, atol=1e-9)


def test_the_eigenvalues_are_the_papers(module: Import) -> None:
    """Without a regulariser off the unit circle or on it; with R1 inside, without rotation from γ = 1 on."""
    dirac_gan = module("checks.dirac_gan")
    assert dirac_gan.radius(dirac_gan.jacobian(0, alternating=False)) == pytest.approx((1 + H**2 / 4) ** 0.5)
    assert dirac_gan.radius(dirac_gan.jacobian(0, alternating=True)) == pytest.approx(1)
    assert dirac_gan.radius(dirac_gan.jacobian(0.3, alternating=False)) == pytest.approx(
        (1 - 0.3 * H + H**2 / 4) ** 0.5
    )
    assert dirac_gan.radius(dirac_gan.jacobian(0.3, alternating=True)) == pytest.approx((1 - 0.3 * H) ** 0.5)
    for gamma in (0.5, 0.99, 1.01, 1.5):
        values = np.linalg.eigvals(dirac_gan.jacobian(gamma, alternating=False))
        assert np.isrealobj(values) == (gamma > 1)
    for alternating, critical in ((False, 1.0), (True, 1 - H / 4)):
        assert dirac_gan.fastest_gamma(alternating=alternating) == critical
        fastest = dirac_gan.radius(dirac_gan.jacobian(critical, alternating=alternating))
        assert fastest == pytest.approx(1 - H / 2, abs=1e-6)
