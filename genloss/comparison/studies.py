"""The runs of a study, wherever they were read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genloss.comparison.runs import Direction, RunResult
from genloss.record.parsing import whole

DECIDES = ("data.", "model.", "training.", "evaluation.")
"""What the keys begin with that the runs of a comparison share; the others are of the players' losses."""


@dataclass(frozen=True)
class StudyRuns:
    """A study's runs, or those of several studies that were joined.

    Attributes:
        name: the study's.
        created: when it was begun, in milliseconds since 1970.
        experiment: the experiment's name in MLflow.
        description: what the experiment asks.
        objectives: in the order of the YAML.
        baseline: one of them.
        metrics: with their directions, in the order of the evaluation.
        references: what real data gets in place of samples, by metric, where that is known.
        runs: all of them, those that have not begun among them.
        notes: what there is to know of how they were found, in words.
        metric: the one that a search betters; empty where nothing is searched.
    """

    name: str
    created: int
    experiment: str
    description: str
    objectives: tuple[str, ...]
    baseline: str
    metrics: Mapping[str, Direction]
    references: Mapping[str, float]
    runs: tuple[RunResult, ...]
    notes: tuple[str, ...] = ()
    metric: str = ""

    @property
    def is_search(self) -> bool:
        """Whether all of its objectives are trials of a search."""
        return all(run.trial is not None for run in self.runs)


def updates(configuration: Mapping[str, str], steps: int) -> dict[str, int]:
    """The number of updates of each player after a number of steps.

    Args:
        configuration: of the run, as MLflow's params have it.
        steps: that were done.
    """
    players = [
        key.partition(".")[0]
        for key in configuration
        if key.endswith(".loss") and not key.startswith(DECIDES)
    ]
    return {
        player: steps * (whole(configuration.get(f"training.players.{player}.updates_per_step", "1")) or 1)
        for player in dict.fromkeys(players)
    }
