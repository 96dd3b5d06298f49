"""`genloss check`: what it checks, what it says, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Said

Genloss = Callable[..., Said]
Write = Callable[..., Path]

PLUGIN = '''
import torch
from jaxtyping import Float
from torch import Tensor

import genloss

Event = Float[Tensor, "batch *event"]


@genloss.loss(family="reconstruction", unit="data", source="this file")
def quartic_error(x: Event, x_hat: Event) -> Float[Tensor, "batch"]:
    """Fourth power of the reconstruction error.

    Formula:
        Σ (x − x̂)⁴

    Quantities:
        x, x_hat: `[batch, *event]`, the data and its reconstruction x̂.

    Source:
        This file.

    Example:
        >>> quartic_error(x=torch.full((1, 2), 2.0), x_hat=torch.zeros(1, 2))
        tensor([32.])
    """
    return (x - x_hat).pow(4).flatten(1).sum(1)


@genloss.hookimpl
def genloss_losses():
    yield quartic_error
'''


def changed(old: str, new: str) -> str:
    assert old in PLUGIN
    return PLUGIN.replace(old, new)


def test_a_sound_file(genloss: Genloss, write: Write) -> None:
    said = genloss("check", "--plugin", write(PLUGIN))
    assert said.code == 0
    assert said.out == "26 checks of 1 definition and 1 plugin passed\n"
    assert "plugin my_losses.py  2 checks in" in said.err
    assert "loss quartic_error  24 checks in" in said.err


def test_a_mistake_is_told_with_its_check_and_its_place(genloss: Genloss, write: Write) -> None:
    path = write(changed(".pow(4)", ".pow(5)"))
    said = genloss("check", "quartic_error", "--plugin", path)
    assert said.code == 1
    assert said.out == "23 checks of 1 definition passed, 1 failed\n"
    assert "loss quartic_error  1 of 24 checks failed: example\n" in said.err
    assert (
        "error: the docstring's example of loss `quartic_error` is not true: "
        "expected tensor([32.]), got tensor([64.])\n"
        "hint: either the loss departs from its formula or the example does; the paper decides\n"
    ) in said.err


def test_an_exception_is_told_with_its_line_and_no_traceback(genloss: Genloss, write: Write) -> None:
    path = write(changed(".pow(4)", ".power(4)"))
    said = genloss("check", "quartic_error", "--plugin", path)
    assert said.code == 1
    line = path.read_text().splitlines().index("    return (x - x_hat).power(4).flatten(1).sum(1)") + 1
    assert "raised AttributeError: 'Tensor' object has no attribute 'power'\n" in said.err
    assert f"my_losses.py:{line}\n" in said.err
    assert "Traceback" not in said.err
    assert ", 21 not run\n" in said.out


def test_an_exemption_is_shown_with_its_reason(genloss: Genloss, write: Write) -> None:
    source = changed("source=", 'exempt={"example": "it is not worked out"}, source=')
    said = genloss("check", "quartic_error", "--plugin", write(source.replace("[32.]", "[33.]")))
    assert said.code == 0
    assert said.out == (
        "loss `quartic_error` is exempt from `example`: it is not worked out\n"
        "24 checks of 1 definition passed, 1 exempt\n"
    )


def test_what_is_unavailable_has_not_passed(genloss: Genloss, write: Write) -> None:
    path = write(changed("source=", 'unavailable="needs torch 9", source='))
    said = genloss("check", "quartic_error", "--plugin", path)
    assert said.code == 1
    assert said.out == "loss `quartic_error` is unavailable: needs torch 9\n"
    assert "error: no check was run" in said.err
    facts = json.loads(genloss("check", "quartic_error", "--plugin", path, "--json").out)
    assert facts == {
        "outcomes": [],
        "unavailable": [{"kind": "loss", "name": "quartic_error", "reason": "needs torch 9"}],
    }
    beside = genloss("check", "quartic_error", "squared_error", "--plugin", path)
    assert beside.code == 0
    assert "is unavailable: needs torch 9\n" in beside.out


def test_json(genloss: Genloss, write: Write) -> None:
    said = genloss("check", "--plugin", write(changed(".pow(4)", ".pow(5)")), "--json")
    assert said.code == 1
    outcomes = json.loads(said.out)["outcomes"]
    assert len(outcomes) == 26
    (failed,) = [outcome for outcome in outcomes if outcome["status"] == "failed"]
    assert (failed["kind"], failed["name"], failed["check"]) == ("loss", "quartic_error", "example")
    assert (
        failed["asks"]
        == "The docstring's example calls the loss, gives what it says, and says more than zeros."
    )
    assert "expected tensor([32.]), got tensor([64.])" in failed["error"]
    assert all(outcome["seconds"] >= 0 for outcome in outcomes)


@pytest.mark.filterwarnings("always::genloss.registry.catalogue.PluginWarning")
def test_a_plugin_is_checked_with_all_that_it_offers(genloss: Genloss, install: Callable[..., None]) -> None:
    install(
        "acme-losses",
        'import genloss\n\n@genloss.hookimpl\ndef genloss_losses():\n    print("hello")\n'
        "    from genloss_builtin.losses.reconstruction import squared_error\n    yield squared_error\n",
    )
    said = genloss("check", "acme-losses", "--json")
    assert said.code == 1
    assert "printed `hello`" in said.err
    outcomes = json.loads(said.out)["outcomes"]
    assert {(o["kind"], o["name"]) for o in outcomes} == {
        ("plugin", "acme-losses"),
        ("loss", "squared_error"),
    }
    assert [o["check"] for o in outcomes if o["status"] == "failed"] == ["quiet"]


def test_an_unknown_name(genloss: Genloss) -> None:
    said = genloss("check", "gausian_kl")
    assert said.code == 2
    assert said.err == (
        "error: no plugin offers a loss, model, dataset or metric named `gausian_kl`, and none is called so\n"
        "hint: did you mean `gaussian_kl` or `gaussian_nll`?\n"
    )


def test_a_broken_file(genloss: Genloss, write: Write) -> None:
    said = genloss("check", "--plugin", write("raise ValueError('planted')"))
    assert said.code == 2
    assert "ValueError: planted" in said.err
