"""Errors that a person is meant to read."""

import copy
import pickle

import pytest

from genloss import errors
from genloss.errors import ExperimentError, GenlossError, Location, RequestError, RunError, did_you_mean

ALL = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, GenlossError)
]


def test_an_error_says_what_where_and_what_to_do():
    error = ExperimentError(
        "the key `steps` is missing", where=Location("gan.yaml", 21, 9), hint="write `steps: 100`"
    )
    assert str(error) == "the key `steps` is missing\n  --> gan.yaml:21:9\nhint: write `steps: 100`"
    assert str(ExperimentError("it is wrong")) == "it is wrong"
    assert str(ExperimentError("it is wrong", hint="mend it")) == "it is wrong\nhint: mend it"


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (Location("gan.yaml", 3, 1), "gan.yaml:3:1"),
        (Location("gan.yaml", 3), "gan.yaml:3"),
        (Location("--set training.steps=x"), "--set training.steps=x"),
    ],
)
def test_a_location_is_one_that_editors_understand(location, said):
    assert str(location) == said


@pytest.mark.parametrize("kind", ALL)
def test_every_error_keeps_its_parts_from_process_to_process(kind):
    error = kind("it is `wrong`", where=Location("gan.yaml", 3, 1), hint="mend it")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert (twin.message, twin.where, twin.hint) == (error.message, error.where, error.hint)
        assert str(twin) == str(error)


def test_the_tree_is_that_of_the_docstring():
    """Its exit codes depend on it."""
    assert errors.__doc__ is not None
    for kind in ALL:
        assert f"{kind.__name__} " in errors.__doc__
        assert kind.__doc__
    requests = {"ExperimentError", "DefinitionError", "PluginError", "CatalogueError", "DeviceError"}
    assert {kind.__name__ for kind in ALL if issubclass(kind, RequestError)} == {"RequestError", *requests}
    assert {kind.__name__ for kind in ALL if issubclass(kind, RunError)} == {
        "RunError",
        "ContractError",
        "NonFiniteError",
        "MismatchError",
    }


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("gausian_kl", ["gaussian_kl", "hinge"], "did you mean `gaussian_kl`?"),
        ("hinge", ["hinge_a", "hinge_b", "other"], "did you mean `hinge_b` or `hinge_a`?"),
        ("xyz", ["b", "a"], "known here: `a`, `b`"),
        ("xyz", [f"name_{number}" for number in range(13)], None),
        ("xyz", [], None),
    ],
)
def test_did_you_mean(name, known, hint):
    assert did_you_mean(name, iter(known)) == hint
