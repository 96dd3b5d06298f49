"""A plan in readable form: what was written, without the defaults."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from genloss.commands.display import counted
from genloss.commands.searched import planned_search
from genloss.commands.terminal import stdout
from genloss.experiment.objectives import read_choice, read_training
from genloss.experiment.schema import Choice, Evaluation, Objective, Schedule, Term, Training
from genloss.experiment.sweep import read_sweep
from genloss.text import count_of

if TYPE_CHECKING:
    from rich.console import Console

    from genloss.contracts.definition import Definition
    from genloss.planning.plan import Plan

SEEDS_SHOWN, POINTS_SHOWN = 16, 30


def print_plan(planned: Plan) -> None:
    """Print data, model, training, evaluation and devices, then each objective."""
    experiment, root = planned.experiment, planned.source.root
    console = stdout()
    console.print(Text.assemble((experiment.name, "bold"), f"  {experiment.description}".rstrip()))
    spec, data = planned.data.spec, _choice(read_choice(root.items["data"], ""))
    examples = f"{count_of(spec.size, 'training example')}, {spec.kind}"
    pairs = [
        ("data", f"{data}; {examples} of shape {'×'.join(map(str, spec.event_shape))}"),
        *(("", note) for note in planned.data.notes),
        ("model", _choice(read_choice(root.items["model"], ""))),
        ("training", "; ".join(_training(read_training(root.items["training"], "")))),
    ]
    if experiment.evaluation is not None:
        pairs.append(("evaluation", _evaluation(experiment.evaluation, planned)))
    pairs += [("" if index else "sweep", text) for index, text in enumerate(_sweep(planned))]
    pairs += [("" if index else "search", text) for index, text in enumerate(planned_search(planned))]
    pairs += [("" if index else "size", text) for index, text in enumerate(_sizes(planned))]
    pairs += [("device", str(device).removeprefix("device ")) for device in planned.devices]
    _print_pairs(console, pairs)
    console.print()
    groups: dict[str, list[Objective]] = {}
    for objective in experiment.objectives:
        groups.setdefault(objective.base or objective.name, []).append(objective)
    if all(len(objective.players) == 1 for objective in experiment.objectives):
        _print_pairs(
            console, [pair for name, group in groups.items() for pair in _alone(name, group, planned)]
        )
    else:
        for name, group in groups.items():
            console.print(Text(name, "bold"))
            _print_pairs(console, _players(group, planned), indent=2)
    console.print()
    seeds = [str(seed) for seed in experiment.seeds]
    shown = seeds if len(seeds) <= SEEDS_SHOWN else [*seeds[: SEEDS_SHOWN - 2], "…", seeds[-1]]
    console.print(f"{counted(experiment)} ({', '.join(shown)}); nothing was trained")


def _sizes(planned: Plan) -> Iterator[str]:
    """What training takes, of the largest objective if there are several."""
    if not planned.sizes:
        return
    from genloss.planning.fits import flop, gib

    size = max(planned.sizes.values(), key=lambda size: size.step)
    parameters = {size.parameters for size in planned.sizes.values()}
    largest = "up to " if len(parameters) > 1 else ""
    yield (
        f"{largest}{size.parameters:,} parameters; a step takes {flop(size.work.flops)} and "
        f"{'at least ' if size.work.kept is None else ''}{gib(size.step)} of memory beside data and torch, "
        f"a checkpoint {gib(size.checkpoint)}"
    )


def _print_pairs(console: Console, pairs: Sequence[tuple[str, str]], indent: int = 0) -> None:
    """Names with their descriptions, which wrap next to the names."""
    column = indent + 2 + max(len(name) for name, _ in pairs)
    for name, text in pairs:
        lines = textwrap.wrap(
            text, max(console.width - column, 20), break_long_words=False, break_on_hyphens=False
        )
        for index, line in enumerate(lines):
            label = f"{' ' * indent}{'' if index else name}"
            console.print(Text.assemble((f"{label:<{column}}", "dim"), line), soft_wrap=True)


def _players(group: Sequence[Objective], planned: Plan) -> list[tuple[str, str]]:
    """What an objective minimises for each player, what it sets differently, and its points.

    What its points differ in has a line for each value.
    """
    said: dict[str, dict[str, None]] = {}
    for objective in group:
        for player, terms in objective.players.items():
            said.setdefault(player, {})[" + ".join(_term(term, planned) for term in terms)] = None
    for objective in group:
        own = {path: value for path, value in objective.sets.items() if path not in objective.point}
        if own:
            said.setdefault("with", {})[_listed(own)] = None
    if group[0].base:
        said["points"] = dict.fromkeys(_rows(group))
    return [("" if index else name, text) for name, texts in said.items() for index, text in enumerate(texts)]


def _alone(name: str, group: Sequence[Objective], planned: Plan) -> list[tuple[str, str]]:
    """The same without the player's name, where the model has one player."""
    lines = []
    label = ""
    for said, text in _players(group, planned):
        label = said or label
        lines.append(f"with {text}" if label == "with" else text)
    return [("" if index else name, line) for index, line in enumerate(lines)]


def _rows(points: Sequence[Objective]) -> Iterator[str]:
    """The points' names, those in a row that differ in the last value alone, if there is room for that."""
    names = [point.name for point in points]
    length = len({json.dumps(list(point.point.values())[-1]) for point in points})
    if len(names) > POINTS_SHOWN:
        names = [*names[: POINTS_SHOWN - 2], "…", names[-1]]
        length = len(names)
    width = max(map(len, names))
    if length * (width + 2) + len(points[0].base) > stdout().width:
        length = len(names)
    for begin in range(0, len(names), length):
        yield "  ".join(f"{name:<{width}}" for name in names[begin : begin + length]).rstrip()


def _sweep(planned: Plan) -> Iterator[str]:
    """Each path that is swept, with the values that the planned points have, as they were written."""
    node = planned.source.root.items.get("sweep")
    points = [objective.point for objective in planned.experiment.objectives]
    for path, values in read_sweep(node, "").items() if node is not None else ():
        own = [value for value in values if any(value.plain == point.get(path) for point in points)]
        if own:
            yield f"{path}: {', '.join(value.text or _value(value.plain) for value in own)}"


def _choice(choice: Choice) -> str:
    return f"{choice.name}: {_listed(choice.options)}" if choice.options else choice.name


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _training(training: Training) -> Iterator[str]:
    steps = count_of(training.steps, "step")
    yield f"{steps}, batches of {training.batch_size}, {_choice(training.optimizer)}"
    for player, own in training.players.items():
        settings = own.model_dump(exclude_defaults=True, exclude={"optimizer"})
        said = [
            *([_choice(own.optimizer)] if own.optimizer else []),
            *([_listed(settings)] if settings else []),
        ]
        yield f"{player}: {', '.join(said)}"
    others = training.model_dump(
        exclude_defaults=True, exclude={"steps", "batch_size", "optimizer", "players"}
    )
    if others:
        yield _listed(others)


def _evaluation(evaluation: Evaluation, planned: Plan) -> str:
    when = f"each {count_of(evaluation.every, 'step')} and " if evaluation.every else ""
    metrics = [
        _with_options(metric.name, metric.options, planned.catalogue.metrics[metric.name])
        for metric in evaluation.metrics
    ]
    what = ", ".join(metrics) or "the losses on held-out data"
    return f"{when}after the last, {count_of(evaluation.samples, 'sample')}: {what}"


def _term(term: Term, planned: Plan) -> str:
    loss = planned.catalogue.losses[term.loss]
    said = _with_options(loss.name, term.options, loss, every=term.every)
    weight = term.weight
    factor = (
        "" if weight == 1.0 else f"{_schedule(weight) if isinstance(weight, Schedule) else f'{weight:g}'}·"
    )
    return f"{factor}{said}"


def _with_options(name: str, options: Mapping[str, Any], definition: Definition, *, every: int = 1) -> str:
    """The name, and in parentheses the options that differ from their defaults."""
    changed: dict[str, Any] = {}
    for key, value in options.items():
        option = definition.options[key]
        if isinstance(value, Schedule):
            changed[key] = _schedule(value)
        elif option.validate(value) != option.default:
            changed[key] = value
    if every > 1:
        changed["every"] = every
    return f"{name}({_listed(changed)})" if changed else name


def _schedule(schedule: Schedule) -> str:
    ((form, ramp),) = schedule.model_dump(by_alias=True, exclude_none=True).items()
    steps = ramp.get("steps", ramp.get("period"))
    return f"{form}({ramp['from']:g} → {ramp['to']:g} in {count_of(steps, 'step')})"
