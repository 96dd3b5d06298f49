"""The conformance suite: what each kind of definition must do, checked on inputs drawn from its signature.

    suite      a check, and what comes of it
    losses     what a loss must do
    models     what a model must do
    datasets   what a dataset must do
    metrics    what a metric must do
    plugins    what a plugin must do besides

A plugin's own tests run it:

    @pytest.mark.parametrize("check", checks(my_loss), ids=str)
    def test_conformance(check: Check) -> None:
        check.run()
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from genloss.conformance.suite import Check, Nonconformity, Outcome, outcomes
from genloss.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from genloss.contracts.definition import Definition
    from genloss.contracts.model import Model

__all__ = ["Check", "Nonconformity", "Outcome", "checks", "outcomes"]

MODULES = {"loss": "losses", "model": "models", "dataset": "datasets", "metric": "metrics"}


def checks(*definitions: Definition | type[Model], names: Iterable[str] = ()) -> list[Check]:
    """The checks of losses, models, datasets and metrics, as a plugin's hooks yield them.

    Args:
        definitions: what is checked; a model is its class.
        names: only the checks of these names; all if there are none.

    Raises:
        DefinitionError: something else than a definition, or a name that none of their checks has.
    """
    found = [check for definition in definitions for check in _checks_of(definition)]
    wanted = set(names)
    known = {check.name for check in found}
    for name in sorted(wanted - known):
        raise DefinitionError(
            f"the conformance suite has no check `{name}` here", hint=did_you_mean(name, known)
        )
    return [check for check in found if not wanted or check.name in wanted]


def _checks_of(definition: Any) -> list[Check]:
    from genloss.conformance import running

    if isinstance(definition, type):
        from genloss.contracts.model import ModelDefinition

        definition = ModelDefinition(definition)
    kind = getattr(definition, "kind", None)
    if kind not in MODULES:
        raise DefinitionError(
            f"{definition!r} is not a loss, model, dataset or metric of genloss",
            hint="give what the plugin's hooks yield",
        )
    module = importlib.import_module(f"genloss.conformance.{MODULES[kind]}")
    found: list[Check] = list(getattr(module, f"checks_of_{kind}")(definition))
    if found and definition.exempt:
        known = [check.name for check in found]
        found.append(running.check(definition, exemptions, functools.partial(exemptions, definition, known)))
    return found


def exemptions(definition: Definition, known: Sequence[str]) -> None:
    """Each exemption names a check, and gives a reason."""
    what = f"{definition.kind} `{definition.name}`"
    for name, reason in definition.exempt.items():
        if name not in known:
            raise Nonconformity(
                f"{what} is declared exempt from `{name}`, which is not a check of it",
                hint=did_you_mean(name, known) or f"its checks are {', '.join(known)}",
            )
        if not reason.strip():
            raise Nonconformity(f"{what} gives no reason for its exemption from `{name}`")
