"""Plugins are found, isolated from one another, and named when they break."""

import importlib
import importlib.util
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
import torch

import genloss
from genloss import registry
from genloss.errors import CatalogueError, DefinitionError, ExperimentError
from genloss.registry import PluginWarning, installed_plugins

OWN_FILE = Path(__file__)

HEAD = """
import genloss
from jaxtyping import Float
from torch import Tensor

loss = genloss.loss(family="test", unit="1", source="a test")
Values = Float[Tensor, "batch"]

@loss
def negated(x: Values) -> Values:
    return -x

@loss
def doubled(x: Values) -> Values:
    return 2 * x
"""

GOOD = (
    HEAD
    + """
@genloss.hookimpl
def genloss_losses():
    yield negated
    yield doubled
"""
)


@pytest.fixture(autouse=True)
def afresh(tmp_path):
    """Nothing that a test's plugins leave behind is there for the next."""
    registry._catalogue.cache_clear()
    yield
    registry._catalogue.cache_clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution with an entry point on the path, as pip would."""

    def install(
        name: str, source: str, *, version: str = "1.0", entry_point: str = "plugin", value: str | None = None
    ) -> None:
        site = tmp_path / f"{name}-site"
        module = name.replace("-", "_")
        info = site / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(textwrap.dedent(source))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[genloss]\n{entry_point} = {value or module}\n")
        monkeypatch.syspath_prepend(site)

    return install


@pytest.fixture
def write(tmp_path):
    """Writes a plugin file."""

    def write(source: str, name: str = "my_losses.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    return write


def found(name: str) -> registry.Plugin:
    """The installed plugin of that name, its hooks called."""
    (plugin,) = (plugin for plugin in installed_plugins() if plugin.name == name)
    plugin.register()
    plugin.collect()
    return plugin


class TestInstalled:
    def test_a_plugin_is_found_without_being_imported(self, install):
        install("acme-losses", "raise RuntimeError", version="2.3")
        (plugin,) = (plugin for plugin in installed_plugins() if plugin.name == "acme-losses")
        assert (plugin.version, plugin.source, plugin.error) == ("2.3", "acme_losses", None)
        assert str(plugin) == "acme-losses 2.3"
        assert "acme_losses" not in sys.modules

    def test_the_built_in_one_comes_in_as_any_other(self):
        plugin = found("genloss")
        assert plugin.source == "genloss_builtin"
        assert plugin.version == genloss.__version__
        assert plugin.error is None
        assert set(plugin.hooks) == {f"genloss_{kind}" for kind in registry.KINDS}
        assert all(plugin.offers[kind] for kind in registry.KINDS)

    def test_what_it_offers_is_in_the_catalogue(self, install):
        install("acme-losses", GOOD)
        losses = genloss.catalogue().losses
        assert losses["negated"](torch.tensor([1.0])).tolist() == [-1.0]
        assert losses.provider("doubled").name == "acme-losses"
        assert losses.provider("gaussian_kl").name == "genloss"

    def test_registering_calls_no_hook(self, install):
        install(
            "acme-losses",
            """
            import genloss
            @genloss.hookimpl
            def genloss_losses():
                raise RuntimeError
            @genloss.hookimpl
            def genloss_metrics():
                yield
            """,
        )
        (plugin,) = (plugin for plugin in installed_plugins() if plugin.name == "acme-losses")
        plugin.register()
        assert plugin.error is None
        assert set(plugin.hooks) == {"genloss_losses", "genloss_metrics"}
        assert plugin.offers == {}

    def test_two_distributions_with_one_entry_point_name_are_both_found(self, install):
        install("acme-losses", GOOD, entry_point="losses")
        install("other-losses", GOOD.replace("negated", "tripled"), entry_point="losses")
        names = [plugin.name for plugin in installed_plugins()]
        assert names == ["acme-losses", "genloss", "other-losses"]

    @pytest.mark.parametrize("finder", ["importlib.metadata", "importlib_metadata"])
    def test_a_distribution_without_metadata_is_found_by_its_entry_point(self, install, tmp_path, finder):
        # MLflow imports the backport, which finds distributions from then on.
        pytest.importorskip(finder, reason="nothing installed brings the backport")
        install("acme-losses", GOOD, entry_point="leftover")
        (tmp_path / "acme-losses-site" / "acme_losses-1.0.dist-info" / "METADATA").unlink()
        plugin = found("leftover")
        assert plugin.version == "unknown"
        assert [definition.name for definition in plugin.offers["losses"]] == ["negated", "doubled"]


BROKEN = {
    "import error": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "syntax error": (
        "def genloss_losses(:",
        "SyntaxError: invalid syntax (acme_losses.py, line 1)",
    ),
    "exit at import": ("raise SystemExit('bye')", "SystemExit: bye"),
    "message of several lines": ("raise RuntimeError('one\\n\\n  two')", "RuntimeError: one two"),
    "exit in a hook": (
        "import genloss\n@genloss.hookimpl\ndef genloss_models():\n    raise SystemExit(3)",
        "SystemExit: 3",
    ),
    "hook that raises half-way": (
        HEAD
        + "@genloss.hookimpl\ndef genloss_losses():\n    yield negated\n    raise ValueError('half-way')",
        "ValueError: half-way",
    ),
    "second hook that raises": (
        GOOD + "@genloss.hookimpl\ndef genloss_metrics():\n    raise ValueError('too late')",
        "ValueError: too late",
    ),
    "misspelt hook": (
        HEAD + "@genloss.hookimpl\ndef genloss_loses():\n    yield negated",
        "`genloss_loses` is no hook of genloss; did you mean `genloss_losses`",
    ),
    "misspelt hook without decorator": (
        "def genloss_modles():\n    yield 1",
        "`genloss_modles` is no hook of genloss; did you mean `genloss_models`",
    ),
    "misspelt prefix": (
        "import genloss\n@genloss.hookimpl\ndef genlos_losses():\n    yield 1",
        "PluginValidationError: unknown hook 'genlos_losses' in plugin <module 'acme_losses' from",
    ),
    "hook without decorator": (
        HEAD + "def genloss_losses():\n    yield negated",
        "`genloss_losses` is not decorated with `@genloss.hookimpl`",
    ),
    "hook with an argument": (
        "import genloss\n@genloss.hookimpl\ndef genloss_losses(config):\n    yield 1",
        "PluginValidationError: Plugin 'acme_losses' for hook 'genloss_losses'",
    ),
    "function in place of a loss": (
        "import genloss\n@genloss.hookimpl\ndef genloss_losses():\n    yield len",
        "`genloss_losses` yields <built-in function len>, which was not made by `@genloss.loss`",
    ),
    "loss in place of a metric": (
        HEAD + "@genloss.hookimpl\ndef genloss_metrics():\n    yield negated",
        "`genloss_metrics` yields <loss negated>, which was not made by `@genloss.metric`",
    ),
    "loss in place of a dataset": (
        HEAD + "@genloss.hookimpl\ndef genloss_datasets():\n    yield negated",
        "`genloss_datasets` yields <loss negated>, which was not made by `@genloss.dataset`",
    ),
    "loss in place of a model": (
        HEAD + "@genloss.hookimpl\ndef genloss_models():\n    yield negated",
        "<loss negated> is no subclass of `genloss.Model`",
    ),
    "no iterable": (
        HEAD + "@genloss.hookimpl\ndef genloss_losses():\n    return negated",
        "TypeError: 'Loss' object is not iterable",
    ),
    "one name twice": (
        HEAD + "@genloss.hookimpl\ndef genloss_losses():\n    yield negated\n    yield negated",
        "it offers `negated` twice among its losses",
    ),
    "loss that breaks its contract": (
        HEAD + "@loss\ndef broken(x) -> Values: ...",
        "quantity `x` of loss `broken` has no type annotation",
    ),
}


class TestBroken:
    @pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
    def test_it_is_named_with_the_cause_and_offers_nothing(self, install, source, cause):
        install("acme-losses", source)
        plugin = found("acme-losses")
        assert plugin.error is not None
        assert plugin.error.startswith(cause)
        assert plugin.offers == {}

    @pytest.mark.parametrize(
        ("value", "cause"),
        [
            ("acme_losses:negated", "TypeError: the entry point `acme_losses:negated` names no module"),
            ("acme_losses:nothing", "AttributeError: module 'acme_losses' has no attribute 'nothing'"),
            ("acme_other", "ModuleNotFoundError: No module named 'acme_other'"),
        ],
    )
    def test_an_entry_point_that_names_no_module(self, install, value, cause):
        install("acme-losses", GOOD, value=value)
        assert found("acme-losses").error == cause

    def test_a_malformed_entry_point(self, install):
        install("acme-losses", GOOD, value="not a module")
        assert found("acme-losses").error is not None

    @pytest.mark.parametrize("case", ["import error", "exit at import", "hook that raises half-way"])
    def test_it_is_a_warning_and_the_others_work(self, install, case):
        source, cause = BROKEN[case]
        install("acme-losses", source, version="2.3")
        install("other-losses", GOOD.replace("negated", "tripled"))
        with pytest.warns(PluginWarning) as caught:
            catalogue = genloss.catalogue()
        (warning,) = caught
        assert str(warning.message) == f"plugin `acme-losses 2.3` (acme_losses) could not be loaded: {cause}"
        assert Path(warning.filename) == OWN_FILE
        assert "tripled" in catalogue.losses
        assert "gaussian_kl" in catalogue.losses
        assert "negated" not in catalogue.losses
        assert {plugin.name for plugin in catalogue.plugins} == {"acme-losses", "genloss", "other-losses"}

    def test_it_is_a_warning_once(self, install):
        install("acme-losses", "import no_such_module")
        with pytest.warns(PluginWarning):
            first = genloss.catalogue()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert genloss.catalogue() is first

    def test_who_needs_it_is_told_why_it_is_missing(self, install):
        install("acme-losses", "import no_such_module", version="2.3")
        with pytest.warns(PluginWarning):
            losses = genloss.catalogue().losses
        with pytest.raises(CatalogueError) as caught:
            losses["negated"]
        assert caught.value.hint is not None
        assert (
            "plugin `acme-losses 2.3` could not be loaded: "
            "ModuleNotFoundError: No module named 'no_such_module'" in caught.value.hint
        )

    def test_an_interruption_is_not_held_back(self, install):
        install("acme-losses", "raise KeyboardInterrupt")
        with pytest.raises(KeyboardInterrupt):
            found("acme-losses")


class TestFile:
    def test_its_offers_are_in_the_catalogue_that_asks_for_it(self, write):
        path = write(GOOD)
        losses = genloss.catalogue(path).losses
        assert losses["doubled"](torch.tensor([1.0])).tolist() == [2.0]
        plugin = losses.provider("doubled")
        assert (plugin.name, plugin.source) == ("my_losses.py", str(path))
        assert plugin.version == "".join(c for c in plugin.version if c in "0123456789abcdef")
        assert len(plugin.version) == 12
        assert "doubled" not in genloss.catalogue().losses

    def test_it_is_read_once_however_it_is_named(self, write, monkeypatch):
        path = write(GOOD)
        monkeypatch.chdir(path.parent)
        assert genloss.catalogue(path.name) is genloss.catalogue(str(path))
        assert "doubled" in genloss.catalogue(path, path).losses

    def test_its_classes_can_be_pickled(self, write):
        path = write("import genloss\nclass Marker:\n    pass\n")
        plugin = registry.file_plugin(path)
        module = plugin.load()
        assert sys.modules[module.__name__] is module
        assert module.Marker.__module__ == module.__name__

    def test_one_that_is_not_there(self, tmp_path):
        with pytest.raises(ExperimentError, match=f"^there is no plugin file `{tmp_path / 'nothing.py'}`$"):
            genloss.catalogue(tmp_path / "nothing.py")
        with pytest.raises(ExperimentError, match="there is no plugin file"):
            genloss.catalogue(tmp_path)

    @pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
    def test_a_broken_one_is_an_error(self, write, source, cause):
        path = write(source, "acme_losses.py")
        with pytest.raises(DefinitionError) as caught:
            genloss.catalogue(path)
        message = caught.value.message
        assert message.startswith("plugin `acme_losses.py ")
        assert f" ({path}) could not be loaded: {cause.split(' ')[0]}" in message

    def test_a_broken_one_leaves_no_module_behind(self, write):
        before = set(sys.modules)
        with pytest.raises(DefinitionError, match="half-way"):
            genloss.catalogue(write("raise ValueError('half-way')"))
        assert not [name for name in set(sys.modules) - before if name.startswith("genloss_plugin_")]

    def test_one_that_is_no_python(self, write):
        with pytest.raises(DefinitionError, match="ImportError: not a Python file"):
            genloss.catalogue(write("losses: []", "losses.yaml"))

    def test_one_that_has_been_changed_is_read_again(self, write, monkeypatch):
        monkeypatch.setattr(sys, "dont_write_bytecode", False)
        with pytest.raises(DefinitionError):
            genloss.catalogue(write("raise ValueError"))
        assert "doubled" in genloss.catalogue(write(GOOD)).losses
        path = write(GOOD.replace("return 2 * x", "return 4 * x"))
        assert genloss.catalogue(path).losses["doubled"](torch.tensor([1.0])).tolist() == [4.0]
        assert not (path.parent / "__pycache__").exists()


class TestOneNameTwice:
    @pytest.fixture
    def losses(self, install):
        install("acme-losses", GOOD, version="2.3")
        install("other-losses", GOOD.replace("return -x", "return -3 * x").replace("doubled", "tripled"))
        return genloss.catalogue().losses

    def test_both_are_named_with_their_versions(self, losses):
        with pytest.raises(CatalogueError) as caught:
            losses["negated"]
        assert caught.value.message == (
            "the loss `negated` is offered by `acme-losses 2.3` and `other-losses 1.0`"
        )
        assert caught.value.hint == "write `acme-losses:negated` or `other-losses:negated`"

    def test_the_distribution_chooses(self, losses):
        assert losses["acme-losses:negated"](torch.tensor([1.0])).tolist() == [-1.0]
        assert losses["other-losses:negated"](torch.tensor([1.0])).tolist() == [-3.0]
        assert losses.provider("other-losses:negated").name == "other-losses"
        assert losses["acme-losses:doubled"] is losses["doubled"]

    def test_all_are_listed_and_found_by_the_listed_name(self, losses):
        names = list(losses)
        assert len(names) == len(set(names)) == len(losses)
        assert {"acme-losses:negated", "other-losses:negated", "doubled", "tripled"} <= set(names)
        assert "negated" not in names
        assert [losses[name].name for name in names] == [name.rpartition(":")[2] for name in names]
        assert all(name in losses for name in names)

    def test_a_file_against_a_distribution(self, losses, write):
        losses = genloss.catalogue(write(GOOD)).losses
        with pytest.raises(
            CatalogueError, match=r"is offered by `acme-losses 2\.3` and `my_losses\.py [0-9a-f]{12}`"
        ):
            losses["doubled"]
        assert losses.provider("my_losses.py:doubled").name == "my_losses.py"

    def test_what_is_offered_again_belongs_to_each(self, install):
        install("acme-losses", GOOD)
        install(
            "other-losses",
            """
            import genloss
            @genloss.hookimpl
            def genloss_losses():
                from acme_losses import negated
                yield negated
            """,
        )
        losses = genloss.catalogue().losses
        assert losses["acme-losses:negated"] is losses["other-losses:negated"]
        assert losses.provider("other-losses:negated").name == "other-losses"

    def test_of_two_kinds_is_no_conflict(self, install):
        install(
            "acme-losses",
            GOOD
            + """
@genloss.hookimpl
def genloss_models():
    class Negated(genloss.Model):
        pass
    yield Negated
""",
        )
        catalogue = genloss.catalogue()
        assert [definition.kind for definition in catalogue.named("negated")] == ["loss", "model"]


class TestLookingUp:
    @pytest.fixture
    def catalogue(self):
        return genloss.catalogue()

    def test_it_is_a_mapping(self, catalogue):
        losses = catalogue.losses
        assert list(losses) == sorted(losses)
        assert len(losses) == len(list(losses)) > 20
        assert "gaussian_kl" in losses
        assert "gaussian_kl" not in catalogue.models
        assert 3 not in losses
        assert losses.get("no_such_loss") is None
        assert losses.get("gaussian_kl") is losses["gaussian_kl"]
        assert dict(losses.items())["gaussian_kl"].name == "gaussian_kl"

    def test_a_built_in_loss_is_the_function_of_its_module(self, catalogue):
        from genloss_builtin.losses.divergence import gaussian_kl

        assert catalogue.losses["gaussian_kl"] is gaussian_kl
        assert catalogue.losses["genloss:gaussian_kl"] is gaussian_kl

    @pytest.mark.parametrize(
        ("kind", "name", "message", "hint"),
        [
            (
                "losses",
                "gausian_kl",
                "no plugin offers a loss named `gausian_kl`",
                "did you mean `gaussian_kl`",
            ),
            ("models", "ga", "no plugin offers a model named `ga`", "did you mean `gan`?"),
            ("datasets", "digit", "no plugin offers a dataset named `digit`", "did you mean `digits`?"),
            ("metrics", "zzz", "no plugin offers a metric named `zzz`", "known here: `frechet_distance`, "),
            (
                "losses",
                "acme:gaussian_kl",
                "no plugin offers a loss named `acme:gaussian_kl`",
                "did you mean `gaussian_kl`",
            ),
            ("losses", "", "no plugin offers a loss named ``", ""),
        ],
    )
    def test_a_name_that_nobody_offers(self, catalogue, kind, name, message, hint):
        with pytest.raises(CatalogueError) as caught:
            getattr(catalogue, kind)[name]
        assert caught.value.message == message
        assert caught.value.hint.startswith(hint)
        assert caught.value.hint.endswith(f"`genloss list {kind}` shows all")
        assert name not in getattr(catalogue, kind)

    def test_a_name_of_whatever_kind(self, catalogue):
        assert [definition.kind for definition in catalogue.named("gan")] == ["model"]
        assert [definition.kind for definition in catalogue.named("genloss:digits")] == ["dataset"]
        assert catalogue.named("no_such_thing") == []


def test_the_hooks_examples_are_plugins(write):
    """Each hook's docstring shows a hook; made of real parts, it works."""
    from genloss import hookspecs

    losses = textwrap.dedent(hookspecs.genloss_losses.__doc__.split("Example:\n")[1])
    source = "import genloss\n" + losses.replace("my_package.losses", "my_package_losses")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("my_package_losses", None))
    exec(GOOD.replace("negated", "quartic_error"), vars(module))
    sys.modules["my_package_losses"] = module
    try:
        assert "quartic_error" in genloss.catalogue(write(source)).losses
    finally:
        del sys.modules["my_package_losses"]
