"""Text as windows of tokens: what becomes of it, and what is said of files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import genloss
from genloss.errors import RequestError
from genloss_builtin.datasets._tokens import BYTES
from genloss_builtin.datasets.text import python_docs, text

SENTENCE = "Wer fährt so spät? ½ 🦉\n"


@pytest.fixture
def store(tmp_path):
    """Writes a file and gives its path."""

    def store(content: str | bytes) -> Path:
        path = tmp_path / "text.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return store


def read(data: genloss.Data, part: str) -> str:
    """The windows of a part, one after another, as text."""
    return "".join(data.spec.alphabet[token] for token in getattr(data, part)["x"].flatten().tolist())


def test_windows_are_the_text_and_its_end_is_held_out(store):
    written = SENTENCE * 100
    data = text(path=store(written), length=10)
    count = len(written) * 9 // 10
    assert read(data, "train") == written[: count - count % 10]
    assert read(data, "held_out") == written[count:][: len(written) // 10 - len(written) // 10 % 10]
    assert data.spec.event_shape == (10,)
    assert (data.spec.kind, data.spec.size) == ("tokens", count // 10)
    assert data.train["x"].dtype == data.held_out["x"].dtype == torch.int64


def test_characters_are_those_of_the_whole_text_in_order(store):
    """A character of the held-out part alone is in the vocabulary, too."""
    data = text(path=store("abc\n" * 100 + "é" * 40), length=5, held_out=0.1)
    assert data.spec.alphabet == ("\n", "a", "b", "c", "é")
    assert data.spec.vocabulary == 5
    assert "é" not in read(data, "train")
    assert "é" in read(data, "held_out")


def test_bytes_of_any_file(store):
    content = bytes(range(256)) * 4
    data = text(path=store(content), level="byte", length=16, held_out=0.25)
    assert data.spec.vocabulary == 256
    assert bytes(data.train["x"].flatten().tolist()) == content[:768]
    assert bytes(data.held_out["x"].flatten().tolist()) == content[768:]


def test_bytes_are_shown_by_what_a_page_can_show():
    assert [BYTES[byte] for byte in b"a \n\x00\x7f\xc3\xff"] == [
        "a",
        " ",
        "\n",
        r"\x00",
        r"\x7f",
        r"\xc3",
        r"\xff",
    ]
    assert len(set(BYTES)) == 256


def test_training_windows_begin_every_stride_and_held_out_ones_never_overlap(store):
    data = text(path=store("".join(map(chr, range(100, 300)))), length=8, stride=3, held_out=0.2)
    assert data.train["x"][:, 0].tolist() == list(range(0, 160 - 7, 3))
    assert (data.train["x"].diff(dim=1) == 1).all()
    assert data.train["x"].max() < 160
    assert data.held_out["x"].flatten().tolist() == list(range(160, 200))


def test_overlapping_windows_cost_no_memory(store):
    data = text(path=store("ab" * 5000), length=1000, stride=1)
    assert data.train["x"].shape == (8001, 1000)
    assert data.train["x"].untyped_storage().nbytes() <= 8 * 10_000


def test_digest_is_that_of_content_and_windows(store):
    path = store(SENTENCE * 50)
    digests = [
        text(path=path, length=8).digest,
        text(path=path, length=16).digest,
        text(path=path, length=8, stride=4).digest,
        text(path=path, length=8, held_out=0.2).digest,
        text(path=store(SENTENCE * 50 + "."), length=8).digest,
    ]
    assert len(set(digests)) == 5
    assert text(path=store(SENTENCE * 50), length=8).digest == digests[0]


def test_line_ends_stay_and_a_byte_order_mark_goes(store):
    data = text(path=store(b"\xef\xbb\xbf" + b"a\r\n" * 40), length=4)
    assert data.spec.alphabet == ("\n", "\r", "a")
    assert data.train["x"][0].tolist() == [2, 1, 0, 2]


def test_the_file_is_only_read(store):
    path = store(SENTENCE * 50)
    before = path.read_bytes(), path.stat().st_mtime_ns
    text(path=path, length=8).train["x"].add_(1)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    ("content", "options", "message", "hint"),
    [
        (b"", {}, r"`text\.txt` is empty", "contains text"),
        (b"caf\xe9 " * 50, {}, r"not UTF-8 text: invalid continuation byte at byte 3", "`level: byte`"),
        (b"\x89PNG\r\n", {}, r"not UTF-8 text: invalid start byte at byte 0", "`level: byte`"),
        ("a".encode("utf-16"), {}, "not UTF-8 text", "convert it to UTF-8"),
        (b"ELF" + bytes(300), {}, "not text: byte 3 is zero", "`level: byte`"),
        (
            b"abc" * 3,
            {},
            r"training part of `text\.txt` has 8 tokens, fewer than a window of 128",
            "longer text",
        ),
        (b"abc" * 50, {}, "held-out part .* has 15 tokens", "smaller `length`, or change `held_out`"),
        (b"abc" * 50, {"held_out": 0.9, "length": 20}, "training part .* has 15 tokens", "`held_out`"),
    ],
    ids=["empty", "latin-1", "png", "utf-16", "binary", "tiny", "short-held-out", "short-training"],
)
def test_files_that_cannot_be_used(store, content, options, message, hint):
    with pytest.raises(RequestError, match=message) as raised:
        text(path=store(content), **options)
    assert hint in raised.value.hint


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(RequestError, match=r"no file .* found") as raised:
        text(path=tmp_path / "missing.txt")
    assert "relative to the experiment" in raised.value.hint
    with pytest.raises(RequestError, match="is a folder"):
        text(path=tmp_path)


@pytest.mark.parametrize("option", ["length", "stride"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "many"])
def test_options_out_of_bounds(option, value):
    with pytest.raises(ValueError, match="expected int"):
        text.options[option].validate(value)


class TestPythonDocs:
    def test_is_the_documentation_that_pydoc_shows(self):
        from pydoc_data.topics import topics

        data = python_docs(length=1000, held_out=0.05)
        shown = read(data, "train")
        first, *_, last = sorted(topics)
        assert shown.startswith(topics[first].strip("\n"))
        assert topics["lambda"].strip() in shown
        assert topics[last].strip()[:500] in read(data, "held_out")
        whole = sum(map(len, topics.values()))
        assert 0.97 * whole < len(shown) + len(read(data, "held_out")) < 1.01 * whole
        assert whole > 400_000

    def test_vocabularies(self):
        characters, byte = python_docs(), python_docs(level="byte")
        assert characters.spec.vocabulary == len(characters.spec.alphabet) < 200
        assert {"a", "Z", "\n", " ", "_"} <= set(characters.spec.alphabet)
        assert (byte.spec.vocabulary, byte.spec.alphabet) == (256, BYTES)
        assert characters.digest == python_docs().digest != byte.digest

    @pytest.mark.parametrize("length", [32, 128])
    def test_windows_have_the_length(self, length):
        data = python_docs(length=length)
        assert data.train["x"].shape == (data.spec.size, length)
        assert 0.09 < len(data.held_out["x"]) / (len(data.held_out["x"]) + data.spec.size) < 0.11
