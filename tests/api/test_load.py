"""`genloss.load`: the model that was trained, built by the code that trained it, and by no stranger's."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import genloss
from genloss.api import load
from genloss.errors import GenlossError, RecordError, RequestError
from genloss.experiment.schema import Choice, Objective, Run, Training
from genloss.planning.provenance import described
from genloss.registry import trust
from genloss.training import weights

Write = Callable[..., Path]

MODEL = """
from pathlib import Path

import torch
import genloss
from layers import activation

class Net(genloss.Model):
    def __init__(self, data, *, weights: Path | None = None) -> None:
        super().__init__(data)
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 3), activation(), torch.nn.Linear(3, 2))
        if weights is not None:
            {read}

    def forward(self, x):
        return self.layers(x)

@genloss.hookimpl
def genloss_models():
    yield Net
"""
LAYERS = "from torch.nn import {} as activation"
SPEC = genloss.DataSpec((2,), "points", size=10)
X = torch.linspace(-1, 1, 6).reshape(3, 2)


@pytest.fixture(autouse=True)
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, afresh: None) -> Iterator[None]:
    """Somebody who has run nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(trust, "_named", set())
    return


def trained(path: Path, to: Path, *, known: bool = True, **options: object) -> tuple[Path, torch.Tensor]:
    """The folder `model` that a run of the plugin's model leaves, and what the model made of `X`."""
    catalogue = genloss.catalogue(path)
    definition = catalogue.models["net"]
    model = definition.build(SPEC, **definition.validated(options))
    with torch.no_grad():
        model.layers[0].weight.add_(1.0)
    chosen = Choice(name="net", options=options)
    own = Objective(name="a", players={}, model=chosen, training=Training(steps=1))
    run = Run(
        study="s",
        name="a-0",
        experiment="e",
        plugins=(str(path),),
        data=Choice(name="digits"),
        objective=own,
        seed=0,
        device="cpu",
        threads=1,
        evaluation=None,
        reproduce="",
    )
    to.mkdir(parents=True)
    provider = catalogue.models.provider("net")
    written_in = described(definition, provider)
    weights.save(model, run, to, written_in=written_in, plugin=provider.code)
    if known:
        trust.remember([provider.code])
    return to / "model", model(X).detach()


def plugin(write: Write, read: str = "pass", activation: str = "ReLU") -> Path:
    write(LAYERS.format(activation), "project/layers.py")
    return write(MODEL.format(read=read), "project/net.py")


def test_the_code_that_trained_it_builds_it(write: Write, tmp_path: Path) -> None:
    path = plugin(write)
    folder, made = trained(path, tmp_path / "run")
    plugin(write, activation="Tanh")
    assert torch.equal(genloss.load(folder)(X), made)
    shutil.rmtree(path.parent)
    assert torch.equal(genloss.load(folder)(X), made)


def test_it_is_known_by_its_content_in_another_process_and_place(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, made = trained(plugin(write), tmp_path / "run")
    monkeypatch.setattr(trust, "_named", set())
    copied = shutil.copytree(folder, tmp_path / "elsewhere")
    assert torch.equal(genloss.load(copied)(X), made)


def test_a_mailed_folder_runs_nothing(write: Write, tmp_path: Path) -> None:
    path = plugin(write)
    folder, made = trained(path, tmp_path / "run", known=False)
    for file in (path, folder / "plugin" / "net.py"):
        before = file.read_text()
        file.write_text(
            f"from pathlib import Path\nPath({str(tmp_path / 'run.marker')!r}).touch()\n" + before
        )
    sign(folder)
    with pytest.raises(RequestError, match=r"the code of `net\.py`, which you have not run before") as caught:
        genloss.load(folder)
    assert not (tmp_path / "run.marker").exists()
    copy = folder / "plugin" / "net.py"
    assert f"genloss.load(…, plugins=[{str(copy)!r}])" in str(caught.value.hint)
    assert torch.equal(genloss.load(folder, plugins=[copy])(X), made)
    assert (tmp_path / "run.marker").exists()
    genloss.load(folder)  # it is known now


def sign(folder: Path) -> None:
    """Makes the digest that a folder names that of the code in it, as whoever forges one would."""
    from genloss.registry import code

    saved = json.loads((folder / "model.json").read_text())
    copy = code.stored(folder / "plugin", saved["plugin"]["files"])
    saved["plugin"]["digest"], saved["code"] = copy.digest, f"net.py {copy.version}"
    (folder / "model.json").write_text(json.dumps(saved))


def test_a_copy_that_is_damaged(write: Write, tmp_path: Path) -> None:
    folder, _ = trained(plugin(write), tmp_path / "run")
    (folder / "plugin" / "layers.py").write_text(LAYERS.format("Tanh"))
    with pytest.raises(RecordError, match="is damaged: it is not what was recorded"):
        genloss.load(folder)
    (folder / "plugin" / "layers.py").unlink()
    with pytest.raises(RecordError, match=r"layers\.py` cannot be read"):
        genloss.load(folder)


@pytest.mark.parametrize("name", ["/etc/x.py", "../x.py", "a/../../x.py", "x.txt"])
def test_a_copy_lies_in_its_folder(write: Write, tmp_path: Path, name: str) -> None:
    folder, _ = trained(plugin(write), tmp_path / "run")
    saved = json.loads((folder / "model.json").read_text())
    saved["plugin"]["files"].append(name)
    (folder / "model.json").write_text(json.dumps(saved))
    with pytest.raises(RecordError, match="has no code named"):
        genloss.load(folder)


def test_other_code_that_is_named_is_told(write: Write, tmp_path: Path) -> None:
    folder, made = trained(plugin(write), tmp_path / "run", known=False)
    path = plugin(write, activation="Tanh")
    with pytest.warns(load.CodeWarning, match=r"is built by net\.py \w+, and was trained as net\.py \w+"):
        model = genloss.load(folder, plugins=[path])
    assert not torch.equal(model(X), made)


def test_that_the_recorded_code_builds_it_and_not_the_file_that_is_named_is_told(
    write: Write, tmp_path: Path
) -> None:
    folder, made = trained(plugin(write), tmp_path / "run")
    path = plugin(write, activation="Tanh")
    with pytest.warns(load.CodeWarning, match=r"is not what trained model .* by the recorded copy"):
        model = genloss.load(folder, plugins=[path])
    assert torch.equal(model(X), made)


@pytest.mark.parametrize(
    "read",
    [
        "self.layers.load_state_dict(torch.load(weights, weights_only=True))",
        "self.load_state_dict({k: v for k, v in torch.load(weights)['net'].items()})",
        "from safetensors.torch import load_file; self.layers.load_state_dict(load_file(weights))",
    ],
)
def test_the_weights_that_it_began_from_may_be_gone(write: Write, tmp_path: Path, read: str) -> None:
    from safetensors.torch import save_file

    own = {
        "0.weight": torch.ones(3, 2),
        "0.bias": torch.ones(3),
        "2.weight": torch.ones(2, 3),
        "2.bias": torch.ones(2),
    }
    weights = tmp_path / "weights"
    if "load_file" in read:
        save_file(own, weights)
    else:
        torch.save(
            {"net": {f"layers.{name}": t for name, t in own.items()}} if "net" in read else own, weights
        )
    folder, made = trained(plugin(write, read), tmp_path / "run", weights=str(weights))
    assert torch.equal(genloss.load(folder)(X), made)
    weights.unlink()
    assert torch.equal(genloss.load(folder)(X), made)
    load_state_dict = torch.nn.Linear(1, 1).load_state_dict
    assert load_state_dict.__name__ == "load_state_dict"


def test_what_cannot_be_built_without_a_file_says_so(write: Write, tmp_path: Path) -> None:
    weights = tmp_path / "sizes"
    torch.save({"width": 3, "settings": {"bias": True}}, weights)
    reads = (
        "self.more = torch.nn.Linear(2, torch.load(weights)['width'])",
        "self.more = torch.nn.Linear(2, 2, **torch.load(weights)['settings'])",
    )
    for number, read in enumerate(reads):
        torch.save({"width": 3, "settings": {"bias": True}}, weights)
        folder, _ = trained(plugin(write, read), tmp_path / f"run-{number}", weights=str(weights))
        weights.unlink()
        with pytest.raises(
            RecordError, match=r"model `net` cannot be built again: FileNotFoundError"
        ) as caught:
            genloss.load(folder)
        assert caught.value.hint == f"its constructor needs `{weights}`, which is not there: put it back"


def test_a_list_of_plugins_is_a_list() -> None:
    with pytest.raises(GenlossError, match="`plugins` is a list"):
        genloss.load("x", plugins="net.py")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec",
    [
        genloss.DataSpec((2,), "points", size=4, source=True),
        genloss.DataSpec((1, 8, 8), "image", size=4, value_range=(0.0, 1.0), vocabulary=17, classes=10),
        genloss.DataSpec((6,), "tokens", size=4, vocabulary=2, alphabet=("a", "ß")),
    ],
)
def test_what_is_known_about_the_data_comes_back(tmp_path: Path, spec: genloss.DataSpec) -> None:
    data = dataclasses.asdict(spec)
    saved = {"model": {"name": "vae"}, "data": data, "precision": "float32", "code": "genloss"}
    (tmp_path / "model.json").write_text(json.dumps(saved), encoding="utf-8")
    assert weights.read(tmp_path / "model.json").data == spec
