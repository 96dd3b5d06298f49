"""Plugins are found, isolated from one another, and named when they break."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import genloss
from genloss.registry import plugin as plugin_module
from genloss.registry.discovery import collect, file_plugin, installed_plugins
from genloss.registry.kinds import HOOKS, KINDS
from genloss.registry.plugin import Plugin
from tests.fake_plugins import BROKEN, GOOD, HEAD, hook

Install = Callable[..., None]


def named(name: str) -> Plugin:
    """The installed plugin of that name."""
    (plugin,) = (plugin for plugin in installed_plugins() if plugin.name == name)
    return plugin


def loaded(name: str) -> Plugin:
    """The installed plugin of that name, its hooks called."""
    plugin = named(name)
    plugin.register()
    plugin.collect()
    return plugin


class TestFound:
    def test_it_is_found_without_being_imported(self, install: Install) -> None:
        install("acme-losses", "raise RuntimeError", version="2.3", requires=("genloss>=0.1", "torch"))
        plugin = named("acme-losses")
        assert (plugin.version, plugin.source, plugin.error) == ("2.3", "acme_losses", None)
        assert plugin.requires == ("genloss>=0.1", "torch")
        assert plugin.import_seconds is None
        assert str(plugin) == "acme-losses 2.3"
        assert "acme_losses" not in sys.modules

    def test_the_built_in_one_comes_in_as_any_other(self) -> None:
        plugin = loaded("genloss")
        assert plugin.source == "genloss_builtin"
        assert plugin.version == genloss.__version__
        assert (plugin.error, plugin.notes) == (None, [])
        assert set(plugin.hooks) == set(HOOKS)
        assert all(plugin.offers[kind] for kind in KINDS)

    def test_registering_calls_no_hook(self, install: Install) -> None:
        install("acme-losses", hook("losses", "raise RuntimeError") + hook("metrics", "yield"))
        plugin = named("acme-losses")
        plugin.register()
        assert plugin.error is None
        assert set(plugin.hooks) == {"genloss_losses", "genloss_metrics"}
        assert plugin.offers == {}

    def test_its_import_is_timed_with_what_it_imports(self, install: Install) -> None:
        install("acme-losses", "import time\ntime.sleep(0.05)\n" + GOOD)
        plugin = loaded("acme-losses")
        assert plugin.import_seconds is not None
        assert 0.05 <= plugin.import_seconds < 5

    def test_two_distributions_with_one_entry_point_name_are_both_found(self, install: Install) -> None:
        install("acme-losses", GOOD, entry_point="losses")
        install("other-losses", GOOD.replace("negated", "tripled"), entry_point="losses")
        names = [plugin.name for plugin in installed_plugins()]
        assert [name for name in names if name.endswith("-losses")] == ["acme-losses", "other-losses"]
        offers = [d.name for name in ("acme-losses", "other-losses") for d in loaded(name).offers["losses"]]
        assert offers == ["negated", "doubled", "tripled", "doubled"]

    @pytest.mark.parametrize("finder", ["importlib.metadata", "importlib_metadata"])
    def test_without_metadata_it_is_found_by_its_entry_point(
        self, install: Install, tmp_path: Path, finder: str
    ) -> None:
        # MLflow imports the backport, which finds distributions from then on.
        pytest.importorskip(finder, reason="nothing installed brings the backport")
        install("acme-losses", GOOD, entry_point="leftover")
        (tmp_path / "acme-losses-site" / "acme_losses-1.0.dist-info" / "METADATA").unlink()
        plugin = loaded("leftover")
        assert plugin.version == "unknown"
        assert [definition.name for definition in plugin.offers["losses"]] == ["negated", "doubled"]

    def test_an_entry_point_may_name_a_module_s_attribute_that_is_a_module(self, install: Install) -> None:
        install("acme-losses", GOOD)
        install("other-losses", "import acme_losses", value="other_losses:acme_losses")
        assert len(loaded("other-losses").offers["losses"]) == 2


class TestBroken:
    @pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
    def test_it_tells_the_cause_and_offers_nothing(self, install: Install, source: str, cause: str) -> None:
        install("acme-losses", source)
        plugin = loaded("acme-losses")
        assert plugin.error is not None
        assert plugin.error.startswith(cause)
        assert plugin.offers == {}

    @pytest.mark.parametrize(
        ("case", "hint"),
        [
            ("misspelt hook", "did you mean `genloss_losses`?"),
            ("misspelt hook without decorator", "did you mean `genloss_models`?"),
            ("hook that returns nothing", "let it `yield` each, or return a list of them"),
            (
                "loss with an option that no YAML can give",
                "an option is a number, a text, true or false, a `Literal`, a path, or a list of such",
            ),
            (
                "model whose name is not an identifier",
                "a name has letters, digits and `_`, and begins with no digit",
            ),
            ("loss in place of a model", None),
        ],
    )
    def test_it_keeps_the_hint_of_what_was_raised(
        self, install: Install, case: str, hint: str | None
    ) -> None:
        install("acme-losses", BROKEN[case][0])
        plugin = loaded("acme-losses")
        assert plugin.hint == hint
        assert plugin.problem == (f"{plugin.error}; {hint}" if hint else plugin.error)

    def test_a_hook_like_none_is_told_all_there_are(self, install: Install) -> None:
        install("acme-losses", hook("unknown", "yield 1"))
        assert loaded("acme-losses").hint == (
            "the hooks are `genloss_losses`, `genloss_models`, `genloss_datasets`, `genloss_metrics`"
        )

    @pytest.mark.parametrize(
        ("value", "cause"),
        [
            ("acme_losses:negated", "TypeError: the entry point `acme_losses:negated` names no module"),
            ("acme_losses:nothing", "AttributeError: module 'acme_losses' has no attribute 'nothing'"),
            ("acme_other", "ModuleNotFoundError: No module named 'acme_other'"),
        ],
    )
    def test_an_entry_point_that_names_no_module(self, install: Install, value: str, cause: str) -> None:
        install("acme-losses", GOOD, value=value)
        assert loaded("acme-losses").error == cause

    def test_a_malformed_entry_point(self, install: Install) -> None:
        install("acme-losses", GOOD, value="not a module")
        assert loaded("acme-losses").error is not None

    def test_an_interruption_is_not_held_back(self, install: Install) -> None:
        install("acme-losses", "raise KeyboardInterrupt")
        with pytest.raises(KeyboardInterrupt):
            loaded("acme-losses")

    def test_two_modules_of_one_distribution_with_one_name(self, install: Install, tmp_path: Path) -> None:
        install("acme-losses", GOOD)
        site = tmp_path / "acme-losses-site"
        (site / "acme_more.py").write_text(GOOD.replace("negated", "tripled"))
        with (site / "acme_losses-1.0.dist-info" / "entry_points.txt").open("a") as file:
            file.write("more = acme_more\n")
        found = [plugin for plugin in installed_plugins() if plugin.name == "acme-losses"]
        collect(found)
        assert [plugin.error for plugin in found] == [
            None,
            "it offers `doubled` among its losses, as acme_losses does",
        ]
        assert found[1].offers == {}


class TestNewerGenloss:
    @pytest.mark.parametrize(
        "requirement", ["genloss>=99", "genloss >=99,<100", "GenLoss>=99", "genloss>99; python_version>'3'"]
    )
    def test_it_is_not_imported(self, install: Install, requirement: str) -> None:
        install("acme-losses", GOOD, requires=("torch", requirement))
        plugin = loaded("acme-losses")
        assert plugin.error is not None
        assert re.fullmatch(
            rf"it needs genloss [<>=,0-9]*99, and this is genloss {re.escape(genloss.__version__)}",
            plugin.error,
        )
        assert plugin.hint == "install that genloss, or a version of `acme-losses` for this one"
        assert "acme_losses" not in sys.modules

    @pytest.mark.parametrize(
        "requirement",
        [
            "genloss",
            f"genloss>={genloss.__version__}",
            "genloss<99",
            "genloss>=99; python_version<'3'",
            "genloss[gpu]>=99; extra == 'gpu'",
            "genloss-extra>=99",
            "no requirement at all",
        ],
    )
    def test_another_requirement_does_not_matter(self, install: Install, requirement: str) -> None:
        install("acme-losses", GOOD, requires=(requirement,))
        assert loaded("acme-losses").error is None

    def test_a_development_version_is_a_version(
        self, install: Install, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plugin_module, "__version__", "0.9.dev3")
        install("acme-losses", GOOD, requires=("genloss>=0.8",))
        assert loaded("acme-losses").error is None


class TestQuiet:
    @pytest.mark.parametrize(
        "source",
        [
            "print('hello')\n" + GOOD,
            GOOD + hook("metrics", "print('hello')", "return ()"),
            GOOD + hook("metrics", "print('hello')", "yield from ()"),
            "import sys\nsys.stdout.buffer.write(b'hello')\n" + GOOD,
        ],
        ids=["at import", "in a hook", "in a generator", "as bytes"],
    )
    def test_what_it_prints_is_noted_and_does_not_reach_stdout(
        self, install: Install, capsys: pytest.CaptureFixture[str], source: str
    ) -> None:
        install("acme-losses", source)
        plugin = loaded("acme-losses")
        assert (plugin.error, plugin.notes) == (None, ["printed `hello`"])
        assert len(plugin.offers["losses"]) == 2
        assert capsys.readouterr().out == ""

    def test_what_a_broken_one_printed_is_noted_too(
        self, install: Install, capsys: pytest.CaptureFixture[str]
    ) -> None:
        install("acme-losses", "print('one')\nprint('two ' * 200)\nimport sys\nsys.exit()")
        plugin = loaded("acme-losses")
        assert plugin.error == "SystemExit (acme_losses.py, line 4)"
        assert plugin.notes[0].startswith("printed `one two two ")
        assert len(plugin.notes[0]) < 320
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("action", ["default", "error"])
    def test_what_it_warns_of_is_noted_and_never_breaks_it(self, install: Install, action: str) -> None:
        install("acme-losses", "import warnings\nwarnings.warn('slow here')\n" + GOOD)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)  # type: ignore[arg-type]
            plugin = loaded("acme-losses")
        assert (plugin.error, plugin.notes) == (None, ["warned `UserWarning: slow here`"])
        assert caught == []

    def test_a_deprecation_is_its_authors_affair(self, install: Install) -> None:
        install("acme-losses", "import warnings\nwarnings.warn('old', DeprecationWarning)\n" + GOOD)
        plugin = loaded("acme-losses")
        assert (plugin.error, plugin.notes) == (None, [])

    def test_it_may_filter_its_own_warnings_but_not_everybody_s(self, install: Install) -> None:
        own = "import warnings\nwarnings.filterwarnings('ignore', 'slow here')\n"
        install("acme-losses", own + "warnings.simplefilter('ignore')\n" + GOOD)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert loaded("acme-losses").error is None
            warnings.warn("slow here, and there", stacklevel=1)
            warnings.warn("something else", stacklevel=1)
        assert [str(warning.message) for warning in caught] == ["something else"]


class TestFile:
    def test_its_classes_can_be_pickled(self, write: Callable[..., Path]) -> None:
        path = write("import genloss\nclass Marker:\n    pass\n")
        module = file_plugin(path).load()
        assert sys.modules[module.__name__] is module
        assert module.Marker.__module__ == module.__name__

    def test_its_version_is_its_content(self, write: Callable[..., Path]) -> None:
        plugin = file_plugin(write(HEAD))
        assert plugin.name == "my_losses.py"
        assert len(plugin.version) == 12
        assert set(plugin.version) <= set("0123456789abcdef")
        assert file_plugin(write(GOOD)).version != plugin.version
