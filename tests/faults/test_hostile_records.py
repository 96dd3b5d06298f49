"""Whatever the files of a record hold, reading them ends in a GenlossError or in what can be read.

Nothing is written outside of the study, and one that is hostile harms no other.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import genloss
from genloss.api.load import CodeWarning
from genloss.comparison.artifacts import RecordArtifacts
from genloss.comparison.from_records import comparison_of, read_study
from genloss.comparison.run_journal import RunJournal
from genloss.comparison.runs import RunResult
from genloss.errors import GenlossError
from genloss.launch import recovery
from genloss.launch.execute import read_run
from genloss.launch.resume import _written
from genloss.record import checkpoint, inventory, journal, owner
from genloss.record.cursor import Cursor
from genloss.record.events import ColumnsDeclared, Ended, Evaluated, Event, Status
from genloss.record.folder import RunFolder, StudyFolder, latest_study, read_state, values_from
from genloss.record.frame import EVENT_KIND, VALUES_KIND
from genloss.record.history import DamagedWarning
from genloss.record.journal import HEAD, Journal, _framed
from genloss.tracking.rows import Seen, metrics, number
from genloss.tracking.run_files import named_by
from tests.tracking.studies import begin, block, columns, write_study

often = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

NUMBERS = (
    st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from([0, -1, 2**31, 2**53, 2**63, 10**400, 253_402_300_800_000])
)
TEXTS = st.text(max_size=8) | st.sampled_from(
    [
        "../../x",
        "/etc/passwd",
        "",
        ".",
        "..",
        "a\0b",
        "x" * 300,
        "\ud800",
        "<!-- genloss ends -->",
        "\x1b[31m",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
DEEP = b'{"a":' * 3000 + b"1" + b"}" * 3000


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


BYTES = st.binary(max_size=60) | VALUES.map(as_json) | st.sampled_from([DEEP, b"[" * 100_000, b"\xff\xfe"])


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A study of one run that has finished, beside one that is honest."""
    monkeypatch.chdir(tmp_path)
    for name in ("honest", "hostile"):
        made = write_study(Path(), name=name)
        device = {"name": "cpu", "workers": 1, "threads": 1}
        made.write({**made.read(), "devices": [device], "fingerprint": {}})
        train(made.run("minimax-0"))
    return made


def train(run: RunFolder) -> None:
    run.journal.unlink(missing_ok=True)
    with begin(run) as file:
        file.event(ColumnsDeclared(columns=columns("generator/total", ("generator/rare", 4))))
        file.values(block(0, np.ones((10, 2))))
        file.event(Evaluated(step=5, values={"eval/recall": 1.0}))
        file.event(Ended(status=Status.FINISHED))


@pytest.fixture
def nothing_outside(tmp_path: Path) -> Iterator[None]:
    """Nothing is written but in the working folder's `.genloss`."""
    yield
    assert [path.name for path in tmp_path.iterdir()] == [".genloss"]
    assert not (tmp_path.parent / "x").exists()


def read_all(study: StudyFolder) -> None:
    """Reads a study by all that read one; each must end well or in an error of ours."""
    run = study.run("minimax-0")
    result = RunResult(name="minimax-0", objective="minimax", seed=0, status="FINISHED", folder=run)
    source = RecordArtifacts(study)
    readers: list[Callable[[], object]] = [
        study.read,
        study.names,
        study.unfinished,
        study.pending,
        study.has_crashed,
        lambda: read_study(study),
        lambda: comparison_of(study).answer(),
        lambda: _written(study, study.read()),
        lambda: inventory.look(study),
        latest_study,
        lambda: read_run(run),
        lambda: read_state(run),
        lambda: values_from(run, 3),
        lambda: journal.identity(run.journal),
        run.pending,
        run.rejected,
        run.has_finished,
        run.is_trained,
        lambda: recovery.damage(run),
        lambda: owner.read(study.lock),
        lambda: Cursor.read(run.shipped),
        lambda: genloss.history(run),
        lambda: RunJournal.of(run.journal, result).evaluations(),
        lambda: source.losses(result),
        lambda: source.texts(result),
        source.origins,
        lambda: ship(run),
    ]
    for read in readers:
        with warnings.catch_warnings(), suppress(GenlossError):
            warnings.simplefilter("ignore", DamagedWarning)
            read()


def ship(run: RunFolder) -> None:
    """Makes of a journal what is sent to MLflow."""
    seen = Seen()
    for frame, _ in journal.read(run.journal, salvage=True):
        if seen.can_be_read(frame):
            seen.take(frame)
            assert len(list(metrics(frame, seen.columns))) == number(frame, seen.columns)
            if isinstance(frame, Event):
                list(named_by(frame))
    seen.cost_metrics(0)


def assert_the_honest_one_is_whole() -> None:
    kept = {each.folder.name: each for each in inventory.studies()}
    assert kept["honest"].finished == 1
    assert "hostile" in kept


FILES = ["study.json", "floors.json", "launcher.lock", "tracker.lock", "report.shipped"]
OF_RUN = ["run.json", "journal", "shipped.json", "lock"]


@pytest.mark.usefixtures("nothing_outside")
@pytest.mark.parametrize("name", [*FILES, *(f"minimax-0/{name}" for name in OF_RUN)])
@often
@given(content=BYTES)
def test_any_bytes_in_any_file(study: StudyFolder, name: str, content: bytes) -> None:
    path = study.path / name
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    try:
        read_all(study)
        assert_the_honest_one_is_whole()
    finally:
        path.unlink() if before is None else path.write_bytes(before)


def spoilt(content: Any, data: st.DataObject) -> Any:
    """Content of JSON with one of its values replaced, or left out, anywhere."""
    places = list(_places(content))
    keys = data.draw(st.sampled_from(places))
    inner = content = json.loads(json.dumps(content))
    for key in keys[:-1]:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[keys[-1]] = data.draw(VALUES)
    else:
        del inner[keys[-1]]
    return content


def _places(content: Any) -> Iterator[tuple[Any, ...]]:
    pairs: Any = ()
    if isinstance(content, dict):
        pairs = content.items()
    elif isinstance(content, list):
        pairs = enumerate(content)
    for key, value in pairs:
        yield (key,)
        for inner in _places(value):
            yield (key, *inner)


CURSOR = {"run_id": "1", "journal": "00" * 16, "offset": 100, "rejected": {"artifacts/a": "413"}}
OWNER = {"host": "here", "process": 1, "started": "now"}


@pytest.mark.usefixtures("nothing_outside")
@pytest.mark.parametrize(
    "name", ["study.json", "minimax-0/run.json", "minimax-0/shipped.json", "launcher.lock"]
)
@often
@given(data=st.data())
def test_any_value_in_what_a_file_says(study: StudyFolder, name: str, data: st.DataObject) -> None:
    path = study.path / name
    before = path.read_bytes() if path.exists() else None
    content = {"minimax-0/shipped.json": CURSOR, "launcher.lock": OWNER}.get(name)
    path.write_bytes(as_json(spoilt(content or json.loads(path.read_bytes()), data)))
    try:
        read_all(study)
        assert_the_honest_one_is_whole()
    finally:
        path.unlink() if before is None else path.write_bytes(before)


EVENTS: Mapping[str, dict[str, Any]] = {
    "start": {"device": "cpu", "attempt": 1},
    "columns": {"columns": [{"key": "a", "every": 2}, {"key": "b"}]},
    "evaluation": {
        "step": 5,
        "values": {"eval/recall": 1.0},
        "image": {"key": "samples", "path": "artifacts/a.png"},
        "text": {"path": "artifacts/a.txt"},
    },
    "artifact": {"path": "artifacts/a", "to": "b"},
    "warning": {"message": "a"},
    "status": {"status": "FINISHED", "message": "", "peak_memory": 3, "weights": "ab", "weights_step": 3},
}


@pytest.mark.usefixtures("nothing_outside")
@settings(often, max_examples=60)
@given(data=st.data())
def test_frames_whose_checksums_hold(study: StudyFolder, data: st.DataObject) -> None:
    """They may say anything: before what is honest, behind it, and in the place of it."""
    frames = []
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(EVENTS)))
            content = {"event": name, "time": 1_700_000_000_000, **EVENTS[name]}
            frames.append(_framed(EVENT_KIND, as_json(spoilt(content, data))))
        else:
            head = (
                data.draw(st.integers(0, 2**64 - 1)),
                *data.draw(st.tuples(*[st.integers(0, 2**32 - 1)] * 2)),
            )
            if data.draw(st.booleans()):
                head = (head[0], 2, data.draw(st.integers(0, 3)))
            body = data.draw(st.binary(max_size=40) | st.just(bytes(8 * 2 * (head[2] % 4 + 1))))
            kind = data.draw(st.sampled_from([VALUES_KIND, EVENT_KIND, 0, 9]))
            frames.append(_framed(kind, struct.pack("<QII", *head) + body))
    run = study.run("minimax-0")
    before = run.journal.read_bytes()
    at = data.draw(st.sampled_from([HEAD.size, len(before)]))
    run.journal.write_bytes(before[:at] + b"".join(frames) + before[at:])
    try:
        read_all(study)
        assert_the_honest_one_is_whole()
        with suppress(GenlossError):
            Journal(run.journal).close()
    finally:
        run.journal.write_bytes(before)


@often
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.booleans())
@example(at=200, bit=3, cut=False)
def test_a_compressed_journal_with_a_flipped_bit(study: StudyFolder, at: int, bit: int, cut: bool) -> None:
    content = bytearray(gzip.compress(study.run("minimax-0").journal.read_bytes(), mtime=0))
    at %= len(content)
    content[at] ^= 1 << bit
    path = study.path / "journal.gz"
    path.write_bytes(content[:at] if cut else content)
    with warnings.catch_warnings(), suppress(GenlossError):
        warnings.simplefilter("ignore", DamagedWarning)
        genloss.history(path)
    result = RunResult(name="minimax-0", objective="minimax", seed=0, status="FINISHED")
    RunJournal.of(path, result)
    path.unlink()


def test_a_compressed_journal_gives_what_stands_before_the_damage(study: StudyFolder) -> None:
    run = study.run("minimax-0")
    with Journal(run.journal) as file:
        for first in range(10, 5000, 1000):
            file.values(block(first, np.random.default_rng(first).normal(size=(1000, 2))))
    content = bytearray(gzip.compress(run.journal.read_bytes(), mtime=0))
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    path = study.path / "journal.gz"
    path.write_bytes(content)
    with pytest.warns(DamagedWarning, match="cannot be unpacked"):
        found = genloss.history(path)
    assert 1000 <= len(found["generator/total"]) < 5010


@often
@given(content=st.binary(max_size=200), data=st.data())
def test_checkpoints(study: StudyFolder, content: bytes, data: st.DataObject) -> None:
    """Their digests fit: those are made by whoever makes the file."""
    folder = study.run("minimax-0").checkpoints
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{data.draw(st.sampled_from(['000000005', '9' * 30]))}.pt"
    if data.draw(st.booleans()):
        path.write_bytes(content)
    else:
        torch.save({"format": data.draw(VALUES), "step": data.draw(VALUES), "state": data.draw(VALUES)}, path)
    path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
    loaded = checkpoint.load(folder)
    assert loaded.state is None or isinstance(loaded.state, dict)
    for each in folder.iterdir():
        each.unlink()


MODEL = {
    "model": {"name": "autoencoder", "options": {"latent_dim": 1, "hidden": [4]}},
    "data": {
        "event_shape": [2],
        "kind": "points",
        "size": 10,
        "value_range": None,
        "vocabulary": None,
        "alphabet": None,
        "source": False,
    },
    "precision": "float32",
    "code": "genloss",
}


@often
@given(data=st.data(), weights=st.binary(max_size=60))
def test_a_model_s_description_and_weights(study: StudyFolder, data: st.DataObject, weights: bytes) -> None:
    folder = study.path / "model"
    folder.mkdir(exist_ok=True)
    described = as_json(spoilt(MODEL, data)) if data.draw(st.booleans()) else data.draw(BYTES)
    (folder / "model.json").write_bytes(described)
    header = data.draw(VALUES.map(as_json))
    packed = struct.pack("<Q", len(header)) + header + weights
    (folder / "weights.safetensors").write_bytes(packed if data.draw(st.booleans()) else weights)
    with suppress(GenlossError), warnings.catch_warnings():
        warnings.simplefilter("ignore", CodeWarning)
        genloss.load(folder)


def test_the_generators_reach_what_they_are_meant_for() -> None:
    """A frame as the tests make them is read as one that was written."""
    payload = as_json({"event": "note", "time": 1})
    framed = _framed(EVENT_KIND, payload)
    assert zlib.crc32(payload).to_bytes(4, "little") in framed
