"""Experiments with the toys of toys.py alone, whatever else is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from genloss.errors import RequestError
from genloss.experiment.source import from_file
from genloss.planning.json_schema import experiment_schema
from genloss.planning.plan import Plan, plan
from genloss.registry import catalogue

TOYS = Path(__file__).with_name("toys.py")
VALID = """\
name: toys
data: {name: dots, size: 64}
model: {name: toy_gan, width: 4}
objectives:
  first:
    critic: push
    actor: pull
  second:
    critic: [push, {pull: {weight: 2, every: 3}}]
    actor: {push: {scale: 0.5}}
    with: {training.players.critic.updates_per_step: 2}
training:
  steps: 10
  batch_size: 8
  optimizer: {name: adam, lr: 1e-3, betas: [0, 0.9]}
seeds: [3, 1]
devices: cpu
evaluation: {every: 5, metrics: [spread]}
"""


@pytest.fixture(scope="session")
def toys() -> Iterator[Path]:
    """The plugin file, in a catalogue that holds nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "installed_plugins", list)
        catalogue.catalogue(TOYS)  # cached from now on
    yield TOYS
    catalogue._catalogue.cache_clear()


@pytest.fixture(scope="session")
def toys_schema(toys: Path) -> Draft202012Validator:
    """The schema of the experiments that the toys allow."""
    schema = experiment_schema(catalogue.catalogue(toys))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.fixture
def planned(
    toys: Path, toys_schema: Draft202012Validator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Plan]:
    """Plans `toys.yaml` in an empty folder: the valid experiment with some text replaced."""
    monkeypatch.chdir(tmp_path)

    def planned(*replacements: tuple[str, str], **options: Any) -> Plan:
        text = VALID
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new, 1)
        Path("toys.yaml").write_text(text)
        result = plan("toys.yaml", plugins=[toys], **options)
        if not options:  # What the plan accepts, an editor must not call wrong.
            error = best_match(toys_schema.iter_errors(from_file("toys.yaml").root.plain))
            assert error is None, error
        return result

    return planned


@pytest.fixture
def refused(planned: Callable[..., Plan]) -> Callable[..., str]:
    """The message with which such an experiment is refused."""

    def refused(*replacements: tuple[str, str], **options: Any) -> str:
        with pytest.raises(RequestError) as caught:
            planned(*replacements, **options)
        return str(caught.value)

    return refused
