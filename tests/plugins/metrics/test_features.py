"""The classifier whose features are compared: good, trained once, the same for everybody."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch

from genloss.contracts.examples import Examples
from genloss.errors import DefinitionError, RequestError
from genloss_builtin.metrics import features


def trained_classifier(x, labels, cache):
    return features.trained_classifier(Examples.of(x), labels, cache)


def embed(samples, held_out, train, labels, cache, space):
    ours, theirs = features.embed(samples, Examples.of(held_out), Examples.of(train), labels, cache, space)
    return ours, theirs.some(10)


@pytest.fixture(scope="module")
def classifier(digits_data, cache):
    return trained_classifier(digits_data.train["x"], digits_data.train["label"], cache)


@pytest.fixture(scope="module")
def small():
    """Two classes that any classifier separates."""
    x = torch.randn(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 2 * 7
    return x + labels[:, None, None, None], labels


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory, small):
    """A folder with the file of the classifier for `small`."""
    folder = tmp_path_factory.mktemp("small")
    trained_classifier(*small, folder)
    return folder


@pytest.fixture
def trainings(monkeypatch):
    """Counts how often a classifier is trained."""
    calls = []
    train = features._train
    monkeypatch.setattr(features, "_train", lambda *arguments: calls.append(1) or train(*arguments))
    return calls


def same(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_recognises_unseen_digits(classifier, digits_data):
    predicted = classifier(digits_data.held_out["x"]).argmax(1)
    assert (predicted == digits_data.held_out["label"]).double().mean().item() > 0.95


def test_features_are_standardised_over_the_training_data(classifier, digits_data):
    values = classifier.features(digits_data.train["x"])
    assert values.shape == (1347, 32)
    assert torch.allclose(values.mean(0), torch.zeros(32), atol=1e-5)
    assert torch.allclose(values.std(0), torch.ones(32), atol=1e-5)


def test_is_trained_once(tmp_path, small, trainings):
    first = trained_classifier(*small, tmp_path / "cache")
    second = trained_classifier(*small, tmp_path / "cache")
    assert len(trainings) == 1
    assert same(first, second)
    assert not any(parameter.requires_grad for parameter in [*first.parameters(), *second.parameters()])


def test_other_data_and_other_labels_have_their_own(tmp_path, small, small_cache, trainings):
    x, labels = small
    cache = shutil.copytree(small_cache, tmp_path / "cache")
    trained_classifier(x + 1, labels, cache)
    trained_classifier(x, 7 - labels, cache)
    assert len(trainings) == 2
    trained_classifier(x, labels, cache)
    assert len(trainings) == 2


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_where_it_is_trained_changes_nothing(tmp_path, small, small_cache, context):
    expected = trained_classifier(*small, small_cache)
    state = torch.get_rng_state()
    with context():
        x, labels = (tensor.clone() for tensor in small)
        found = trained_classifier(x, labels, tmp_path)
        assert torch.equal(found.features(x), expected.features(small[0]))
    assert same(found, expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_double_precision_as_default_changes_nothing(tmp_path, small, small_cache):
    torch.set_default_dtype(torch.float64)
    try:
        found = trained_classifier(*small, tmp_path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(found, trained_classifier(*small, small_cache))


def truncate(file):
    file.write_bytes(file.read_bytes()[:500])


def flip_a_weight(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def empty(file):
    file.write_bytes(b"")


def pickle_instead(file):
    torch.save({"first.weight": torch.zeros(2)}, file)


@pytest.mark.parametrize("damage", [truncate, flip_a_weight, empty, pickle_instead])
def test_damaged_file_is_replaced(tmp_path, small, small_cache, trainings, damage):
    cache = shutil.copytree(small_cache, tmp_path / "cache")
    (file,) = cache.glob("*.safetensors")
    content = file.read_bytes()
    damage(file)
    assert file.read_bytes() != content
    assert same(trained_classifier(*small, cache), trained_classifier(*small, small_cache))
    assert len(trainings) == 1
    assert file.read_bytes() == content


def test_what_a_killed_process_left_is_no_obstacle(tmp_path, small, small_cache):
    cache = shutil.copytree(small_cache, tmp_path / "cache")
    (file,) = cache.glob("*.safetensors")
    content = file.read_bytes()
    file.unlink()
    file.with_suffix(".unfinished").write_bytes(content[:100])
    assert file.with_suffix(".lock").exists()
    trained_classifier(*small, cache)
    assert file.read_bytes() == content


PROCESS = """
import sys, pathlib
from genloss.contracts.examples import Examples
from genloss_builtin.datasets.digits import digits
from genloss_builtin.metrics import features

cache, train = pathlib.Path(sys.argv[1]), features._train
data = digits()

def counted(*arguments):
    print("trained", flush=True)
    return train(*arguments)

features._train = counted
print("ready", flush=True)
sys.stdin.readline()
classifier = features.trained_classifier(Examples.of(data.train["x"]), data.train["label"], cache)
print(features.digest(classifier.state_dict()), flush=True)
"""


def test_two_processes_train_one_classifier(tmp_path, classifier):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path / "cache")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [process.communicate(timeout=300)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(map(len, lines)) == [1, 2]
    expected = features.digest(classifier.state_dict())
    assert [line[-1] for line in lines] == [expected, expected]


def test_auto_takes_the_classifier_for_labelled_images_alone(digits_parts):
    x, labels = digits_parts["train"][:50], digits_parts["train_labels"]
    parts = (digits_parts["held_out"], digits_parts["train"])
    ours, theirs = embed(x, *parts, labels, digits_parts["cache"], "auto")
    assert (ours.shape, theirs.shape) == ((50, 32), (450, 32))
    ours, theirs = embed(x, *parts, None, digits_parts["cache"], "auto")
    assert (ours.shape, theirs.shape) == ((50, 64), (450, 64))
    points = torch.rand(50, 2)
    ours, _ = embed(points, points, points, torch.arange(50) % 2, digits_parts["cache"], "auto")
    assert torch.equal(ours, points)


def test_requests_that_cannot_be_met(tmp_path, small):
    x, labels = small
    with pytest.raises(RequestError, match="need labels, which the data does not have") as raised:
        embed(x, x, x, None, tmp_path, "classifier")
    assert raised.value.hint == "set `features: data`"
    with pytest.raises(RequestError, match="nothing to classify"):
        embed(x, x, x, torch.zeros_like(labels), tmp_path, "auto")
    with pytest.raises(RequestError, match=r"one integer label per example, got \[60\] of torch.float32"):
        embed(x, x, x, labels.float(), tmp_path, "auto")
    with pytest.raises(
        DefinitionError, match=r"samples have shape \[16\], but the data's examples \[1, 4, 4\]"
    ):
        embed(x.flatten(1), x, x, labels, tmp_path, "auto")
