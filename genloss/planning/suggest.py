"""Optuna's part of a search: which values come next, and which trials are ended early.

Both are functions of the trials so far, which are in the study's records. Optuna keeps nothing between two
calls, so that a search that was cut off goes on as if it had not been: with equal trials before it, the n-th
trial has equal values.

Source: Akiba et al. 2019, "Optuna: A Next-generation Hyperparameter Optimization Framework" (1907.10902); the
sampler `tpe` is the tree-structured Parzen estimator of Bergstra et al. 2011, "Algorithms for Hyper-Parameter
Optimization", and the pruner `median` the stopping rule of Golovin et al. 2017, "Google Vizier", section 3.2.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from genloss.errors import ExperimentError
from genloss.experiment.schema import Range, Search

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

STARTUP_TRIALS = 10
"""Trials whose values are drawn at random before `tpe` looks at what came of them (Optuna's default)."""

PRECISION = 1e-3
"""Of a range, or of a value where its logarithm counts, to which values are rounded; or finer."""

PRUNER_TRIALS = 5
"""Trials that must have finished before one is ended early (Optuna's default)."""


@dataclass
class Trial:
    """What is known of a trial.

    Attributes:
        point: its values, by dotted path.
        state: where it is.
        value: of the metric, if it has finished.
        numbers: of the metric, at each step that it was evaluated at.
    """

    point: Mapping[str, Any]
    state: Literal["running", "finished", "pruned", "failed"] = "running"
    value: float | None = None
    numbers: dict[int, float] = field(default_factory=dict)


def require() -> None:
    """Raise unless Optuna is installed.

    Raises:
        ExperimentError: it is not.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise ExperimentError(
            "`search` needs the package Optuna, which is not installed",
            hint="pip install 'genloss[search]'",
        ) from None


def next_point(
    search: Search,
    space: Mapping[str, Range],
    trials: Sequence[Trial],
    stream: str,
    *,
    higher_is_better: bool,
) -> dict[str, Any]:
    """The values of the next trial.

    Args:
        search: how they are chosen.
        space: what is chosen.
        trials: all before it, in the order of their numbers.
        stream: distinguishes this search's random numbers from those of others of the same seed.
        higher_is_better: whether the metric is better where it is higher.
    """
    import optuna

    # A sampler of its own for each trial: one that lives on would be in another state after an interruption.
    content = hashlib.sha256(f"{search.seed}/{stream}/{len(trials)}".encode())
    seed = int.from_bytes(content.digest()[:4])
    distributions = {path: _distribution(values) for path, values in space.items()}
    with _quietly():
        sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
        if search.sampler == "tpe":
            # The constant liar takes trials that still run for bad ones, so that others are made elsewhere.
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True
            )
        study = _study(trials, distributions, sampler, higher_is_better=higher_is_better)
        chosen = study.ask(distributions).params
    return {path: _value(space[path], chosen[path]) for path in space}


def is_pruned(
    space: Mapping[str, Range], trials: Sequence[Trial], number: int, *, higher_is_better: bool
) -> bool:
    """Return whether a running trial is pruned by the median rule.

    That is: its best number so far is worse than the median of what the finished trials had at the same step;
    or it has none but NaN.

    Args:
        space: what is chosen.
        trials: all of the objective, in the order of their numbers.
        number: the trial's.
        higher_is_better: whether the metric is better where it is higher.
    """
    import optuna

    if all(map(math.isnan, trials[number].numbers.values())):
        return sum(trial.state == "finished" for trial in trials) >= PRUNER_TRIALS
    distributions = {path: _distribution(values) for path, values in space.items()}
    with _quietly():
        study = _study(
            trials, distributions, optuna.samplers.RandomSampler(), higher_is_better=higher_is_better
        )
        pruner = optuna.pruners.MedianPruner(n_startup_trials=PRUNER_TRIALS)
        return bool(pruner.prune(study, study.trials[number]))


def _study(
    trials: Sequence[Trial],
    distributions: Mapping[str, BaseDistribution],
    sampler: optuna.samplers.BaseSampler,
    *,
    higher_is_better: bool,
) -> optuna.Study:
    import optuna

    study = optuna.create_study(sampler=sampler, direction="maximize" if higher_is_better else "minimize")
    study.add_trials(_frozen(trial, distributions) for trial in trials)
    return study


def _frozen(trial: Trial, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    states = {
        "running": TrialState.RUNNING,
        "finished": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    categorical = {path for path, own in distributions.items() if hasattr(own, "choices")}
    return create_trial(
        state=states[trial.state],
        value=trial.value if trial.state == "finished" else None,
        params={path: _text(value) if path in categorical else value for path, value in trial.point.items()},
        distributions=dict(distributions),
        intermediate_values={step: n for step, n in trial.numbers.items() if not math.isnan(n)},
    )


def _distribution(values: Range) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if values.choice is not None:
        return CategoricalDistribution([_text(value) for value in values.choice])
    low, high = values.values
    if values.integer is not None:
        return IntDistribution(low, high)
    return FloatDistribution(low, high, log=values.log_uniform is not None)


def _text(value: Any) -> str:
    """A choice as Optuna can take it, whatever it is."""
    return json.dumps(value, sort_keys=True)


def _value(values: Range, chosen: Any) -> Any:
    """A chosen value, without digits that make no difference: it is to be read, and copied."""
    if values.choice is not None:
        return next(value for value in values.choice if _text(value) == chosen)
    if values.integer is not None:
        return chosen
    low, high = values.values
    span = high - low if values.uniform is not None else chosen * min(1.0, high / low - 1)
    rounded = round(chosen, -math.floor(math.log10(span * PRECISION)))
    return min(max(rounded, low), high)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep Optuna from printing each study that it makes, and from warning of what was new in version 4."""
    import optuna

    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
