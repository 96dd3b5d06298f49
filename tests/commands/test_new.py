"""`genloss new`: it says what it wrote and what comes next, and explains what it cannot write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import genloss as package
from tests.commands.conftest import Said
from tests.fake_plugins import GOOD

Genloss = Callable[..., Said]


def test_it_says_what_it_wrote_and_what_comes_next(
    genloss: Genloss, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = genloss("new", "loss", "quartic_error")
    assert (said.code, said.err) == (0, "")
    listed, following = said.out.split("\n\n", 1)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert set(listed.splitlines()) == written
    assert "quartic-error/src/quartic_error/loss.py" in written
    assert "quartic-error/.gitignore" in written
    assert "  cd quartic-error\n" in following
    assert "  genloss check quartic-error\n" in following
    assert not [path for path in written if "$" in Path(path).read_text()]


def test_into_another_folder(genloss: Genloss, tmp_path: Path) -> None:
    folder = tmp_path / "some where"
    said = genloss("new", "model", "tiny_vae", "--into", folder)
    assert said.code == 0
    assert f"  cd '{folder}'\n" in said.out
    assert "class TinyVae(genloss.Model):" in (folder / "src" / "tiny_vae" / "model.py").read_text()


def test_an_empty_folder_will_do(genloss: Genloss, tmp_path: Path) -> None:
    assert genloss("new", "metric", "mean_gap", "--into", tmp_path).code == 0


def test_nothing_is_overwritten(genloss: Genloss, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    said = genloss("new", "loss", "quartic_error", "--into", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"error: `{tmp_path}` exists already\n"
        "hint: nothing is overwritten: `--into FOLDER` writes to another place\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_made(genloss: Genloss, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = genloss("new", "loss", "quartic_error", "--into", tmp_path / "file" / "package")
    assert said.code == 2
    assert said.err.startswith(f"error: `{tmp_path / 'file' / 'package'}` cannot be written: ")


def test_a_kind_in_the_plural(genloss: Genloss) -> None:
    said = genloss("new", "losses", "quartic_error")
    assert said.code == 2
    assert said.err == "error: there is no kind `losses`\nhint: did you mean `loss`?\n"


@pytest.mark.parametrize(
    ("kind", "name", "message", "hint"),
    [
        (
            "loss",
            "my-loss",
            "`my-loss` cannot be the name of a loss",
            "did you mean `my_loss`? Names have",
        ),
        ("loss", "MyLoss", "`MyLoss` cannot be the name of a loss", "did you mean `my_loss`?"),
        ("metric", "2nd order", "`2nd order` cannot be the name of a metric", "did you mean `nd_order`?"),
        ("loss", "größe", "`größe` cannot be the name of a loss", "did you mean `gr_e`?"),
        ("loss", "../../evil", "`../../evil` cannot be the name of a loss", "did you mean `evil`?"),
        ("loss", "---", "`---` cannot be the name of a loss", "names have lower-case letters"),
        ("loss", "_hidden", "`_hidden` cannot be the name of a loss", "did you mean `hidden`?"),
        ("loss", "m" * 41, f"`{'m' * 41}` cannot be the name of a loss", f"did you mean `{'m' * 40}`?"),
        ("model", "flow_2d", "`flow_2d` cannot be the name of a model", "a model's name is its class's"),
        (
            "loss",
            "gaussian_kl",
            "`gaussian_kl` cannot be the name of a new loss: "
            f"`genloss {package.__version__}` offers a loss of that name",
            "choose another, such as `gaussian_kl_loss` or `my_gaussian_kl`",
        ),
        (
            "dataset",
            "digits",
            "`digits` cannot be the name of a new dataset: "
            f"`genloss {package.__version__}` offers a dataset of that name",
            "choose another, such as `digits_dataset` or `my_digits`",
        ),
        (
            "loss",
            "lambda",
            "`lambda` cannot be the name of a new loss: it is a word of Python's",
            "choose another, such as `lambda_loss` or `my_lambda`",
        ),
        (
            "loss",
            "total",
            "`total` cannot be the name of a new loss: it stands for something else in a record",
            "choose another, such as `total_loss`",
        ),
        (
            "loss",
            "torch",
            "`torch` cannot be the name of a new loss: a Python module of that name is there already",
            "choose another, such as `torch_loss`",
        ),
        (
            "metric",
            "statistics",
            "`statistics` cannot be the name of a new metric: a Python module of that name is there already",
            "choose another, such as `statistics_metric`",
        ),
    ],
)
def test_a_name_that_cannot_be(
    genloss: Genloss,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    name: str,
    message: str,
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = genloss("new", kind, "--", name)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {message}\nhint: {hint}")
    assert not list(tmp_path.iterdir())


def test_a_name_that_another_plugin_has(
    genloss: Genloss, install: Callable[..., None], tmp_path: Path
) -> None:
    install("acme-losses", GOOD, version="2.3")
    said = genloss("new", "loss", "negated", "--into", tmp_path / "again")
    assert said.code == 2
    assert "`negated` cannot be the name of a new loss: `acme-losses 2.3` offers a loss" in said.err


def test_an_experiment_to_begin_with(
    genloss: Genloss, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = genloss("new", "experiment", "my-gan")
    assert (said.code, said.err) == (0, "")
    assert said.out == "my-gan.yaml\n\nTrain it:\n\n  genloss run my-gan.yaml\n"
    assert genloss("plan", "my-gan.yaml").out.startswith("my-gan\n")
    assert genloss("new", "experiment", "my-gan").err.startswith("error: `my-gan.yaml` exists already\n")
    assert genloss("new", "experiment", "../gan").err.startswith("error: `../gan` cannot be the name of")
    assert [path.name for path in tmp_path.iterdir()] == ["my-gan.yaml"]
