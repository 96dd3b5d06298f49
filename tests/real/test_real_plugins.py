"""Plugins of the kinds that people really write.

Each trains, is killed and resumed to the same bits, and gives the same numbers whether it is trained alone or
after a run that leaves a mess behind in its process.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.faults import support
from tests.real.plugins.perceptual import features

PLUGINS = Path(__file__).parent / "plugins"
STEPS = 24

MARKOV = {"name": "markov_text", "length": 12, "size": 64}
KINDS: Mapping[str, dict[str, Any]] = {
    "einsum_autoencoder": {
        "data": {"name": "two_moons", "size": 64},
        "model": {"name": "einsum_autoencoder", "width": 4},
        "terms": ["squared_error"],
    },
    "gpt2": {
        "data": MARKOV,
        "model": {"name": "gpt2"},
        "terms": ["categorical_nll"],
        "training": {"precision": "bfloat16"},
    },
    "unet": {"data": "digits", "model": {"name": "unet"}, "terms": ["denoising"]},
    "perceptual": {
        "data": "digits",
        "model": {"name": "autoencoder", "latent_dim": 4, "hidden": [16]},
        "terms": [{"perceptual_error": {"weights": "features.pt"}}],
    },
    "flips": {
        "data": "flipped_stripes",
        "model": {"name": "autoencoder", "latent_dim": 4, "hidden": [16]},
        "terms": ["squared_error"],
    },
}
LIBRARIES = {"gpt2": "transformers", "unet": "diffusers"}


def experiment(kind: str, *, after_another: bool) -> dict[str, Any]:
    """The kind's objective, `mine`, alone or after one that leaves a mess."""
    parts = KINDS[kind]
    mine = {"network": parts["terms"]}
    last = {"linear": {"from": 0.0, "to": 1.0, "steps": STEPS - 1}}
    careless = {
        "network": [*parts["terms"], {"careless": {"step": last}}],
        "with": {"training.checkpoint_every": STEPS},
    }
    return support.experiment(
        {"careless": careless, "mine": mine} if after_another else {"mine": mine},
        plugins=[str(PLUGINS / f"{kind}.py"), str(PLUGINS / "careless.py")],
        data=parts["data"],
        model=parts["model"],
        workers=1,
        training={
            "steps": STEPS,
            "checkpoint_every": 8,
            "optimizer": {"name": "adamw", "lr": 0.003},
            **parts.get("training", {}),
        },
        evaluation={"samples": 8, "metrics": []},
    )


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder, with the frozen network's weights."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    network = features(64)
    network(torch.randn(256, 64))  # running statistics that are not those of a fresh one
    torch.save(network.state_dict(), "features.pt")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_killed_and_resumed_after_another_and_gives_what_it_gives_alone(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind in LIBRARIES:
        pytest.importorskip(LIBRARIES[kind], reason=f"{LIBRARIES[kind]} is not installed (extra `dev`)")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    prepare(tmp_path / "alone", monkeypatch)
    alone = support.uninterrupted(tmp_path / "alone", experiment(kind, after_another=False))
    values = {row: value for row, value in alone.values.items() if row[0] == "mine-0"}
    assert len(values) > 2 * STEPS

    prepare(tmp_path / "after", monkeypatch)
    # The first run writes one checkpoint; the second is killed in the midst of its training.
    support.killed("run", support.write(experiment(kind, after_another=True)), trap="checkpoint 2")
    support.genloss("resume")
    after = tmp_path / "after"
    assert support.runs(after)["mine-0"] == "FINISHED"  # the other one may have failed by its own mess
    assert {row: value for row, value in support.values(after).items() if row[0] == "mine-0"} == values
    assert support.final_weights(support.the_study().run("mine-0")) == alone.weights["mine-0"]
