"""All that is built in passes the suite, in a process of its own and in the time that it may take."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest

from genloss_builtin import genloss_datasets, genloss_losses, genloss_metrics, genloss_models

CORE = set(
    re.findall(
        r"\w+",
        """
        categorical_nll linear_categorical_nll gaussian_nll laplace_nll bernoulli_nll
        continuous_bernoulli_nll normalizing_flow_nll z_loss squared_error absolute_error huber
        charbonnier log_cosh cosine_distance ssim_distance total_variation gaussian_kl categorical_kl
        monte_carlo_kl capacity_kl iwae total_correlation mmd minimax_discriminator minimax_generator
        non_saturating_generator least_squares_discriminator least_squares_generator hinge_discriminator
        hinge_generator wasserstein_discriminator wasserstein_generator relativistic_discriminator
        relativistic_generator relativistic_average_discriminator relativistic_average_generator
        gradient_penalty r1 r2 feature_matching denoising denoising_score_matching flow_matching
        codebook commitment
        """,
    )
)
MINUTES = 3


@pytest.mark.slow
def test_everything_built_in_passes() -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "genloss", "check", "genloss", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    checked = {(outcome["kind"], outcome["name"]) for outcome in found["outcomes"]}
    offered = [*genloss_losses(), *genloss_models(), *genloss_datasets(), *genloss_metrics()]
    unavailable = {definition["name"] for definition in found["unavailable"]}
    assert {name for _, name in checked} | unavailable == {"genloss", *(each.name for each in offered)}
    assert {name for kind, name in checked if kind == "loss"} >= CORE
    assert seconds < 60 * MINUTES
