"""The Experiment: the YAML's meaning, resolved, validated and frozen. Workers read it back from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, PositiveFloat

Count = Annotated[int, Field(gt=0, le=10**12)]
"""How many of something: what a machine could still count to."""

Processes = Annotated[int, Field(gt=0, le=1024)]
"""Processes, or threads, side by side."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""What people call an experiment, an objective or a term."""

PointName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._,=+-]{0,199}$")]
"""An objective's name, or one that genloss made of it and of a point's values."""


CODE, CONTENT = "@code", "@content"
"""What the names in a run's `code` end with; no option is called so."""


class Frozen(BaseModel):
    """The base of all that is read from YAML: unknown keys are errors, nothing changes afterwards."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_by_name=True, validate_by_alias=True
    )


class Ramp(Frozen):
    """From one value to another over a number of steps, and constant afterwards.

    Attributes:
        start: value at step 0.
        to: value after the last of the steps.
        steps: how many steps the way takes.
    """

    start: FiniteFloat = Field(alias="from")
    to: FiniteFloat
    steps: Count


class Cycle(Frozen):
    """From one value to another in each period, linearly, then back at once.

    Attributes:
        start: value at the beginning of a period.
        to: value that each period comes near to.
        period: steps in a period.
    """

    start: FiniteFloat = Field(alias="from")
    to: FiniteFloat
    period: Count


class Schedule(Frozen):
    """A number that changes with the step; exactly one of the forms is set.

    Attributes:
        linear: from one value to another in a straight line.
        cosine: from one value to another, slowly at both ends.
        cyclical: a straight line that starts over in each period.
    """

    linear: Ramp | None = None
    cosine: Ramp | None = None
    cyclical: Cycle | None = None

    @property
    def ramp(self) -> Ramp | Cycle:
        """The form that is set."""
        (ramp,) = (ramp for _, ramp in self if ramp is not None)
        return cast(Ramp | Cycle, ramp)


Number = FiniteFloat | Schedule

Option = Annotated[Schedule | Any, Field(union_mode="left_to_right")]
"""An option of a loss: what looks like a schedule is one."""


def _plain(schedule: Schedule) -> dict[str, Any]:
    """A schedule as the YAML has it."""
    return schedule.model_dump(by_alias=True, exclude_none=True)


class Choice(Frozen):
    """A definition by name, with its options."""

    name: str
    options: dict[str, Any] = {}


class Term(Frozen):
    """One loss in an objective.

    Attributes:
        loss: its name in the catalogue.
        name: the term's own name, under which its values are recorded.
        weight: what its mean is multiplied with.
        bind: which quantity a parameter of the loss gets, where it is not the one of its own name; None
            leaves an optional one out.
        every: only each n-th step, beginning with step 0.
        options: the loss's options; any float may be a schedule.
    """

    loss: str
    name: str
    weight: Number = 1.0
    bind: dict[str, str | None] = {}
    every: Count = 1
    options: dict[str, Option] = {}


class Player(Frozen):
    """How one player is trained.

    Attributes:
        optimizer: its own optimizer; `training.optimizer` where there is none. Written without a name, it is
            that one with some arguments replaced.
        updates_per_step: updates in each step, each on a fresh batch.
        clip_gradients: greatest norm of its gradient.
    """

    optimizer: Choice | None = None
    updates_per_step: Count = 1
    clip_gradients: PositiveFloat | None = None


class Training(Frozen):
    """How the players are trained.

    Attributes:
        steps: a step is one iteration in which every player has had its updates.
        batch_size: examples in a batch.
        optimizer: a class of torch.optim in lower case, and its arguments.
        players: by name, how one player is trained where that differs from the others.
        order: whether players are updated one after the other, or all at once.
        precision: in which numbers the networks compute.
        compile: whether torch compiles the networks.
        ema: decay of an average of the weights, which evaluation uses.
        checkpoint_every: steps between two checkpoints; a tenth of all by default.
        timeout: seconds without progress after which a run fails; an evaluation has its own.
        on_nonfinite: what is done where a loss is not finite: fail, skip the update, or continue. Skipped
            updates are counted; a run in which they are most of a player's has failed.
        deterministic: whether torch uses deterministic kernels alone, which a GPU needs to give the same bits
            twice, and which are slower.
    """

    steps: Count
    batch_size: Count = 128
    optimizer: Choice = Choice(name="adam", options={"lr": 1e-3})
    players: dict[str, Player] = {}
    order: Literal["alternating", "simultaneous"] = "alternating"
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    compile: bool = False
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    checkpoint_every: Count | None = None
    timeout: PositiveFloat | None = None
    on_nonfinite: Literal["fail", "skip", "continue"] = "fail"
    deterministic: bool = False


class Evaluation(Frozen):
    """When and how a model is judged: after the last step, and each `every` steps if that is set.

    Attributes:
        every: steps between two evaluations.
        samples: how many examples are generated for an evaluation.
        metrics: the measures that are taken: names, or `{name: {option: value}}`.
        timeout: seconds without progress in an evaluation after which a run fails; a batch, a chunk of
            samples and a metric are progress.
    """

    every: Count | None = None
    samples: Count = 1000
    timeout: PositiveFloat | None = None
    metrics: tuple[Choice, ...] = ()


class Tracking(Frozen):
    """Where the study is shown: MLflow's own settings where nothing is set.

    Attributes:
        uri: MLflow's tracking URI, without a password; else `MLFLOW_TRACKING_URI`.
        experiment: MLflow's experiment; else `MLFLOW_EXPERIMENT_NAME`, else `name`. MLflow takes no longer
            names.
        git_diff: whether the changes that are in no commit are recorded.
    """

    uri: str | None = None
    experiment: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    git_diff: bool = True


class Objective(Frozen):
    """For each player a weighted sum of terms; with the model and the training that hold for it.

    Attributes:
        sets: what its `with` sets, by dotted path.
        base: the objective of the YAML that it is a point of, in a sweep or a search; empty where it is none.
        point: the values of the sweep or the search, by dotted path.
        trial: its number in a search; None where it is not a trial.
    """

    name: PointName
    sets: dict[str, Any] = {}
    base: str = ""
    point: dict[str, Any] = {}
    trial: NonNegativeInt | None = None
    players: dict[str, tuple[Term, ...]]
    model: Choice
    training: Training

    @property
    def is_open(self) -> bool:
        """Whether it is a trial whose values are still to be chosen."""
        return self.trial is not None and not self.point


class Range(Frozen):
    """The values that a search chooses from; exactly one of the forms is set.

    Attributes:
        uniform: a number between two.
        log_uniform: a number between two, its logarithm uniform.
        integer: a whole number between two, both included.
        choice: one of these values.
    """

    uniform: tuple[FiniteFloat, FiniteFloat] | None = None
    log_uniform: tuple[FiniteFloat, FiniteFloat] | None = None
    integer: tuple[int, int] | None = None
    choice: tuple[Any, ...] | None = None

    @property
    def form(self) -> str:
        """The form that is set."""
        return next(name for name, values in self if values is not None)

    @property
    def values(self) -> tuple[Any, ...]:
        """Its two ends, or all of a choice."""
        values: tuple[Any, ...] = getattr(self, self.form)
        return values


class Search(Frozen):
    """A search for each objective's best values: each trial trains it with values of its own.

    Attributes:
        trials: how many, for each objective.
        metric: what is made as good as can be: a number of the evaluation, the mean over the seeds.
        space: what is chosen, by dotted path: `model.…`, `training.…` or `objectives.NAME.…`.
        sampler: how values are chosen: `tpe` looks at the trials before, `random` does not.
        pruner: which trials are ended early: `median`, those whose best number so far is worse than the
            median of the trials before them, at the same step; or none.
        seed: of the choices.
        owners: of the paths that lead into one objective, its name.
    """

    trials: Annotated[int, Field(gt=0, le=1000)]
    metric: str
    space: dict[str, Range]
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["median", "none"] = "none"
    seed: NonNegativeInt = 0
    owners: dict[str, str] = {}

    def space_of(self, objective: str) -> dict[str, Range]:
        """What is chosen for an objective: all but what is another's."""
        return {
            path: values
            for path, values in self.space.items()
            if self.owners.get(path, objective) == objective
        }


class Retry(Frozen):
    """Start a failed run again, where its newest checkpoint is.

    Attributes:
        retry: how many times.
    """

    retry: Count


class Experiment(Frozen):
    """A whole experiment, resolved.

    Attributes:
        source: the file it was read from, as the user named it.
        text: what the file says.
        overrides: the `--set`s, as they were given.
        chosen: the `--objective`s, as they were given; none stands for all.
        plugins: plugin files, absolute.
        search: what is chosen by trials; None where nothing is.
    """

    name: Name
    description: str = ""
    source: str
    text: str
    overrides: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    data: Choice
    objectives: tuple[Objective, ...]
    baseline: str
    seeds: tuple[NonNegativeInt, ...]
    devices: tuple[str, ...] = ("auto",)
    workers: Processes | None = None
    threads: Processes | None = None
    on_failure: Literal["continue", "stop"] | Retry = "continue"
    evaluation: Evaluation | None = None
    tracking: Tracking = Tracking()
    search: Search | None = None

    @property
    def run_count(self) -> int:
        """How many runs it has, all trials of a search included."""
        trials = [
            self.search.trials if self.search and objective.trial is None else 1
            for objective in self.objectives
        ]
        return sum(trials) * len(self.seeds)


class Run(Frozen):
    """One objective with one seed on one device: all that a worker needs.

    Attributes:
        code: digests of the code and the files that it uses; see planning/provenance.py.
    """

    study: str
    name: str
    experiment: str
    plugins: tuple[str, ...]
    data: Choice
    objective: Objective
    seed: NonNegativeInt
    device: str
    threads: Count
    evaluation: Evaluation | None
    reproduce: str
    code: dict[str, str] = {}

    def parameters(self) -> dict[str, str]:
        """The configuration, flattened to dotted names, as MLflow's params."""
        objective = self.objective
        nested: dict[str, Any] = {
            "objective": objective.name,
            "seed": self.seed,
            "data": {"name": self.data.name, **self.data.options},
            "model": {"name": objective.model.name, **objective.model.options},
            "training": objective.training.model_dump(by_alias=True, exclude_none=True),
        }
        for player, terms in objective.players.items():
            nested[player] = {
                term.name: {
                    "loss": term.loss,
                    **term.model_dump(by_alias=True, exclude_none=True, include={"weight", "every", "bind"}),
                    **{
                        name: _plain(value) if isinstance(value, Schedule) else value
                        for name, value in term.options.items()
                    },
                }
                for term in terms
            }
        if self.evaluation is not None:
            nested["evaluation"] = {
                **({} if self.evaluation.every is None else {"every": self.evaluation.every}),
                "samples": self.evaluation.samples,
                "metrics": [metric.name for metric in self.evaluation.metrics],
                **{metric.name: metric.options for metric in self.evaluation.metrics},
            }
        return {path: str(value) for path, value in flattened(nested).items()}


def flattened(nested: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The values of a mapping of mappings by dotted path."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        here = f"{path}.{key}" if path else str(key)
        flat |= flattened(value, here) if isinstance(value, Mapping) else {here: value}
    return flat
