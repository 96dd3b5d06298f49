"""`genloss schema`: it knows what is installed, and what files offer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.commands.conftest import Said
from tests.fake_plugins import BROKEN, GOOD

Genloss = Callable[..., Said]
Install = Callable[..., None]


def accepts(said: Said, loss: object) -> bool:
    """Whether the printed schema lets an autoencoder train with this term."""
    schema = json.loads(said.out)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema).is_valid(
        {
            "name": "small",
            "data": "two_moons",
            "model": "autoencoder",
            "objectives": {"one": {"network": loss}},
            "training": {"steps": 3},
            "seeds": 1,
        }
    )


def test_it_is_the_schema_of_an_experiment(genloss: Genloss) -> None:
    said = genloss("schema")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert accepts(said, "squared_error")
    assert accepts(said, "genloss:squared_error")
    assert not accepts(said, "squared_eror")
    assert not accepts(said, {"squared_error": {"reduce": "median"}})


def test_it_knows_what_a_file_offers(genloss: Genloss, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    assert not accepts(genloss("schema"), "doubled")
    said = genloss("schema", "--plugin", tmp_path / "mine.py")
    assert accepts(said, "doubled")
    assert accepts(said, {"mine.py:doubled": {"weight": 2}})
    assert not accepts(said, "mine_py:doubled")


def test_a_name_of_two_plugins_needs_its_distribution(genloss: Genloss, install: Install) -> None:
    install("acme-losses", GOOD)
    install("other-losses", GOOD.replace("doubled", "tripled"))
    said = genloss("schema")
    assert accepts(said, "doubled")
    assert accepts(said, "acme-losses:negated")
    assert accepts(said, {"other-losses:negated": {"every": 2, "as": "other"}})
    assert not accepts(said, "negated")
    assert not accepts(said, "other-losses:doubled")


@pytest.mark.filterwarnings("always::genloss.registry.catalogue.PluginWarning")
def test_a_broken_plugin_is_a_warning_beside_it(genloss: Genloss, install: Install) -> None:
    install("acme-losses", BROKEN["exit at import"][0])
    said = genloss("schema")
    assert accepts(said, "squared_error")
    assert said.err.startswith("warning: plugin `acme-losses 1.0`")
