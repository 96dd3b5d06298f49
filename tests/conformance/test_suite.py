"""A check, what comes of it, and the checks of what a plugin's hooks yield."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import Float
from torch import Tensor

import genloss
from genloss.conformance import Check, Nonconformity, checks, outcomes
from genloss.conformance.plugins import checks_of_plugin
from genloss.errors import DefinitionError, GenlossError
from genloss.registry.discovery import collect, file_plugin, installed_plugins
from tests.conformance.toys import documented

Event = Float[Tensor, "batch *event"]
PerExample = Float[Tensor, "batch"]


def quartic_error(x: Event, x_hat: Event) -> PerExample:
    return (x - x_hat).pow(4).flatten(1).sum(1)


def broken_error(x: Event, x_hat: Event) -> PerExample:
    return x.no_such_method(x_hat)  # type: ignore[operator, no-any-return]


def fails() -> None:
    raise Nonconformity("expected 1, got 2")


def crashes() -> None:
    raise KeyError("x")


def holds() -> None:
    return None


class TestACheck:
    def check(self, function: Callable[[], None], **facts: Any) -> Check:
        return Check(documented(quartic_error, **facts), "vmap", "It can be mapped.", function)

    def test_is_called_by_definition_and_name(self) -> None:
        assert str(self.check(holds)) == "quartic_error:vmap"

    def test_runs(self) -> None:
        self.check(holds).run()
        with pytest.raises(Nonconformity, match="expected 1, got 2"):
            self.check(fails).run()

    @pytest.mark.parametrize("function", [fails, crashes])
    def test_may_fail_as_declared(self, function: Callable[[], None]) -> None:
        check = self.check(function, exempt={"vmap": "it sorts"})
        check.run()
        (outcome,) = outcomes([check])
        assert (outcome.status, outcome.check.exempt, outcome.error) == ("exempt", "it sorts", None)

    def test_may_not_hold_against_its_declaration(self) -> None:
        (outcome,) = outcomes([self.check(holds, exempt={"vmap": "it sorts"})])
        assert outcome.status == "failed"
        assert str(outcome.error) == (
            "loss `quartic_error` is declared exempt from `vmap`, and passes it: it sorts\n"
            "hint: delete `vmap` from its `exempt`"
        )

    def test_that_is_fundamental_spares_the_others_of_its_definition(self) -> None:
        loss, other = documented(quartic_error), documented(quartic_error)
        came = outcomes(
            [
                Check(loss, "first", "", fails, fundamental=True),
                Check(loss, "second", "", holds),
                Check(other, "first", "", holds, fundamental=True),
            ]
        )
        assert [outcome.status for outcome in came] == ["failed", "not run", "passed"]


def test_an_exception_is_reported_with_the_plugin_s_line() -> None:
    loss = genloss.loss(family="toys", unit="1", source="this file")(broken_error)
    (outcome,) = outcomes(checks(loss, names=["value"]))
    assert isinstance(outcome.error, GenlossError)
    assert outcome.error.message.startswith(
        "loss `broken_error` raised AttributeError: 'Tensor' object has no attribute 'no_such_method'"
    )
    line = broken_error.__code__.co_firstlineno + 1
    assert str(outcome.error.where) == f"tests/conformance/test_suite.py:{line}"
    assert outcome.error.hint is not None
    assert "was given `x` [4, 2, 3], `x_hat` [4, 2, 3]" in outcome.error.hint


class TestTheChecks:
    def test_of_several_definitions(self) -> None:
        from genloss_builtin.models.autoencoder import Autoencoder

        loss = documented(quartic_error)
        found = checks(loss, Autoencoder)
        assert {check.definition.kind for check in found} == {"loss", "model"}
        names = [str(check) for check in found]
        assert len(names) == len(set(names))
        assert all(check.asks.endswith(".") for check in found)

    def test_by_name(self) -> None:
        loss = documented(quartic_error)
        assert [check.name for check in checks(loss, names=["vmap", "compile"])] == ["vmap", "compile"]
        with pytest.raises(DefinitionError, match="has no check `vmpa`") as caught:
            checks(loss, names=["vmpa"])
        assert caught.value.hint == "did you mean `vmap`?"

    def test_only_those_that_the_signature_calls_for(self) -> None:
        def coupled(x: Event) -> Float[Tensor, ""]:
            return x.mean(0).square().sum()

        names = {check.name for check in checks(documented(coupled, "x=torch.ones(1, 2)"))}
        assert not names & {
            "independence",
            "micro_batches",
            "stop_gradient",
            "options",
            "raw_logits",
            "parameters",
        }

    def test_none_of_what_is_unavailable(self) -> None:
        assert checks(documented(quartic_error, unavailable="needs torch 9")) == []

    def test_of_something_else(self) -> None:
        with pytest.raises(DefinitionError, match="is not a loss, model, dataset or metric of genloss"):
            checks(quartic_error)  # type: ignore[arg-type]


LOSS = """
    import genloss

    @genloss.hookimpl
    def genloss_losses():
        from genloss_builtin.losses.reconstruction import squared_error
        yield squared_error
"""


class TestAPlugin:
    def failures(self, name: str) -> dict[str, str]:
        (plugin,) = [plugin for plugin in installed_plugins() if plugin.name == name]
        collect([plugin])
        return {
            o.check.name: str(o.error) for o in outcomes(checks_of_plugin(plugin)) if o.status == "failed"
        }

    def test_that_is_right(self, install: Callable[..., None]) -> None:
        install("sound", LOSS)
        assert self.failures("sound") == {}

    def test_that_imports_torch(self, install: Callable[..., None]) -> None:
        install("heavy", LOSS.replace("import genloss", "import genloss, torch", 1))
        (said,) = self.failures("heavy").items()
        assert said[0] == "imports_no_torch"
        assert "`heavy`, which the entry point of plugin `heavy 1.0` names, imports torch" in said[1]

    def test_that_prints(self, install: Callable[..., None]) -> None:
        install("loud", LOSS + "    print('loaded')\n")
        assert self.failures("loud") == {"quiet": "plugin `loud 1.0` printed `loaded` while it was loaded"}

    def test_that_offers_nothing(self, install: Callable[..., None]) -> None:
        install("empty", "")
        assert "offers nothing" in self.failures("empty")["loads"]

    def test_that_is_broken(self, install: Callable[..., None]) -> None:
        install("broken", "raise ValueError('planted')")
        said = self.failures("broken")
        assert said.keys() == {"loads"}
        assert "could not be loaded: ValueError: planted" in said["loads"]

    def test_in_a_file_may_import_torch(self, write: Callable[..., Path]) -> None:
        plugin = file_plugin(write(LOSS.replace("import genloss", "import genloss, torch", 1)))
        collect([plugin])
        assert [outcome.status for outcome in outcomes(checks_of_plugin(plugin))] == ["passed", "passed"]
