"""What a model must do.

    cases      the data and the options that a model is tried with
    turns      what each player is offered
    gradients  what they do to it
    samples    sampling, likelihoods and reconstructions, saving and copying

Here: what its class says, how it is built, and its players.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from genloss.conformance.docstrings import check_docstring
from genloss.conformance.models import samples, turns
from genloss.conformance.models.cases import Case, Cases, listed
from genloss.conformance.options import check_defaults
from genloss.conformance.running import check
from genloss.conformance.suite import Check, Nonconformity
from genloss.contracts.model import ModelDefinition, Turn
from genloss.errors import told


def checks_of_model(definition: ModelDefinition) -> Iterable[Check]:
    """The checks of a model; none of one that is unavailable. Nothing is built before one of them runs."""
    if definition.unavailable is not None:
        return
    cases = Cases(definition)
    for of_class in (docstring, defaults):
        yield check(definition, of_class, functools.partial(of_class, definition))
    yield check(definition, data, functools.partial(data, cases), fundamental=True)
    yield check(definition, players, functools.partial(_on_each, cases, players), fundamental=True)
    of_cases = [
        meta_device,
        disjoint_parameters,
        complete_parameters,
        *turns.CHECKS,
        *samples.CHECKS,
    ]
    of_cases += [of for method, of in samples.OF_METHODS.items() if hasattr(definition.model, method)]
    for of_case in of_cases:
        apart = [name for name in definition.exempt if name.startswith(f"{of_case.__name__}[")]
        usual = functools.partial(_on_each, cases, of_case, without=apart)
        yield check(definition, of_case, usual)
        for name in apart:
            meant = functools.partial(_on_each, cases, of_case, only=name)
            yield check(definition, of_case, meant, name=name)


def _is_meant(case: Case, name: str) -> bool:
    """Return whether an exemption such as `host_reads[coupling=optimal_transport]` is for this case."""
    option, _, value = name.partition("[")[2].rstrip("]").partition("=")
    known = case.definition.options
    return option in known and str(case.options.get(option, known[option].default)) == value


def _on_each(
    cases: Cases, function: Callable[[Case], None], *, without: Sequence[str] = (), only: str | None = None
) -> None:
    for case in cases.working:
        if any(_is_meant(case, name) for name in without) or (only and not _is_meant(case, only)):
            continue
        try:
            function(case)
        except Nonconformity:
            raise
        except Exception as error:
            case.fail(f"raises {told(error)}", cause=error)


def docstring(definition: ModelDefinition) -> None:
    """The docstring has a summary, explains each option, and names its source."""
    check_docstring(definition, "Source")


def defaults(definition: ModelDefinition) -> None:
    """Each option's default is one of its values."""
    check_defaults(definition)


def data(cases: Cases) -> None:
    """It works for points, images or tokens, and refuses others, or other options, by a DefinitionError."""
    _ = cases.working


def meta_device(case: Case) -> None:
    """It can be built on torch's meta device, as planning does, with the same weights as on the CPU."""
    try:
        with torch.device("meta"):
            planned = case.build()
    except Exception as error:
        case.fail(
            f"building it on the meta device raises {told(error)}",
            hint="planning builds a model without memory: a constructor computes nothing from values",
            cause=error,
        )
    built = case.build()
    for name, tensor in [*planned.named_parameters(), *planned.named_buffers()]:
        if not tensor.is_meta:
            case.fail(
                f"`{name}` is on {tensor.device} where the model is built on the meta device",
                hint="write down no device",
            )
    expected = {name: list(tensor.shape) for name, tensor in built.state_dict().items()}
    came = {name: list(tensor.shape) for name, tensor in planned.state_dict().items()}
    if came != expected:
        name = next(iter(set(came.items() ^ expected.items())))[0]
        case.fail(
            f"`{name}` has the shape {came.get(name)} on the meta device and {expected.get(name)} on the CPU"
        )


def players(case: Case) -> None:
    """`players` and `turns` have the same names, and each player has parameters to train."""
    model = case.build()
    offered, modules = model.turns(), model.players()
    if offered.keys() != modules.keys():
        case.fail(f"`players` has {listed(modules)}, and `turns` {listed(offered)}")
    for name, turn in offered.items():
        if not (isinstance(turn, type) and issubclass(turn, Turn)):
            case.fail(f"the turn of `{name}` is {turn!r}", hint="`turns` gives subclasses of `genloss.Turn`")
        if not isinstance(modules[name], nn.Module):
            case.fail(f"the player `{name}` is {modules[name]!r}", hint="`players` gives the model's modules")
        if not any(parameter.requires_grad for parameter in modules[name].parameters()):
            case.fail(f"the player `{name}` has no parameters to train")


def disjoint_parameters(case: Case) -> None:
    """No two players train the same parameter."""
    owners: dict[nn.Parameter, str] = {}
    model = case.build()
    names = {parameter: name for name, parameter in model.named_parameters()}
    for player, module in model.players().items():
        for parameter in module.parameters():
            other = owners.setdefault(parameter, player)
            if other != player:
                case.fail(
                    f"both `{other}` and `{player}` train `{names.get(parameter, 'a parameter')}`",
                    hint="give it to one of them: each would undo what the other's optimizer did",
                )


def complete_parameters(case: Case) -> None:
    """Each parameter that requires gradients belongs to a player, and each player's to the model."""
    model = case.build()
    owned = {parameter for module in model.players().values() for parameter in module.parameters()}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter not in owned:
            case.fail(
                f"no player trains `{name}`",
                hint="give it to a player, or say that it stays as it is: `.requires_grad_(False)`",
            )
    if owned - set(model.parameters()):
        case.fail(
            "a player trains a parameter that is not the model's, so that it would not be saved",
            hint="assign the player's module to an attribute of the model",
        )
