"""The catalogue: names are found or explained, and a broken plugin harms nobody who can do without it."""

import importlib.util
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
import torch

import genloss
from genloss.errors import CatalogueError, DefinitionError, ExperimentError
from genloss.registry.catalogue import PluginWarning
from tests.fake_plugins import BROKEN, GOOD, hook

OWN_FILE = Path(__file__)

pytestmark = pytest.mark.usefixtures("afresh")


def test_what_an_installed_plugin_offers_is_in_the_catalogue(install):
    install("acme-losses", GOOD)
    losses = genloss.catalogue().losses
    assert losses["negated"](torch.tensor([1.0])).tolist() == [-1.0]
    assert losses.provider("doubled").name == "acme-losses"
    assert losses.provider("gaussian_kl").name == "genloss"


class TestBroken:
    @pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
    def test_it_is_one_warning_and_the_others_work(self, install, source, cause):
        install("acme-losses", source, version="2.3")
        install("other-losses", GOOD.replace("negated", "tripled"))
        with pytest.warns(PluginWarning) as caught:
            catalogue = genloss.catalogue()
        (warning,) = caught
        said = str(warning.message)
        assert said.startswith(f"plugin `acme-losses 2.3` (acme_losses) could not be loaded: {cause}")
        assert "\n" not in said
        assert Path(warning.filename) == OWN_FILE
        assert "tripled" in catalogue.losses
        assert "gaussian_kl" in catalogue.losses
        assert "negated" not in catalogue.losses
        assert {"acme-losses", "genloss", "other-losses"} <= {plugin.name for plugin in catalogue.plugins}

    def test_the_warning_ends_with_the_hint(self, install):
        install("acme-losses", BROKEN["misspelt hook"][0])
        with pytest.warns(PluginWarning, match="is not a hook of genloss; did you mean `genloss_losses`\\?$"):
            genloss.catalogue()

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

    def test_who_names_it_is_told_so_at_once(self, install):
        install("acme-losses", BROKEN["misspelt hook"][0], version="2.3")
        with pytest.warns(PluginWarning):
            losses = genloss.catalogue().losses
        with pytest.raises(CatalogueError) as caught:
            losses["acme-losses:negated"]
        assert caught.value.message == (
            "the loss `acme-losses:negated` needs the plugin `acme-losses 2.3`, which could not be loaded: "
            "`genloss_loses` is not a hook of genloss"
        )
        assert caught.value.hint == "did you mean `genloss_losses`?"


class TestNoisy:
    def test_what_a_plugin_prints_is_a_warning_and_the_plugin_works(self, install, capsys):
        install("acme-losses", "print('hello')\n" + GOOD)
        with pytest.warns(PluginWarning, match=r"^plugin `acme-losses 1\.0` \(acme_losses\) printed `hello`"):
            assert "doubled" in genloss.catalogue().losses
        assert capsys.readouterr().out == ""

    def test_what_a_plugin_warns_of_is_told_with_its_name(self, install):
        install(
            "acme-losses", GOOD + hook("metrics", "import warnings", "warnings.warn('slow')", "return ()")
        )
        with pytest.warns(PluginWarning, match=r"\(acme_losses\) warned `UserWarning: slow` while"):
            assert "doubled" in genloss.catalogue().losses


class TestFile:
    def test_its_offers_are_in_the_catalogue_that_asks_for_it(self, write):
        path = write(GOOD)
        losses = genloss.catalogue(path).losses
        assert losses["doubled"](torch.tensor([1.0])).tolist() == [2.0]
        plugin = losses.provider("doubled")
        assert (plugin.name, plugin.source) == ("my_losses.py", str(path))
        assert "doubled" not in genloss.catalogue().losses

    def test_it_is_read_once_however_it_is_named(self, write, monkeypatch):
        path = write(GOOD)
        monkeypatch.chdir(path.parent)
        assert genloss.catalogue(path.name) is genloss.catalogue(str(path))
        assert "doubled" in genloss.catalogue(path, path).losses

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

    def test_the_error_has_the_hint(self, write):
        with pytest.raises(DefinitionError) as caught:
            genloss.catalogue(write(BROKEN["misspelt hook"][0]))
        assert caught.value.hint == "did you mean `genloss_losses`?"

    def test_two_of_one_name_with_one_name(self, write):
        first, second = write(GOOD, "a/mine.py"), write(GOOD, "b/mine.py")
        with pytest.raises(DefinitionError) as caught:
            genloss.catalogue(first, second)
        assert caught.value.message.endswith(f"it offers `negated` among its losses, as {first} does")

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
    from genloss.registry import hookspecs

    losses = textwrap.dedent(hookspecs.genloss_losses.__doc__.split("Example:\n")[1])
    source = "import genloss\n" + losses.replace("my_package.losses", "my_package_losses")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("my_package_losses", None))
    exec(GOOD.replace("negated", "quartic_error"), vars(module))
    sys.modules["my_package_losses"] = module
    try:
        assert "quartic_error" in genloss.catalogue(write(source)).losses
    finally:
        del sys.modules["my_package_losses"]
