from __future__ import annotations

import time
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from genloss.errors import ExperimentError, Location
from genloss.experiment.nodes import MAX_NODES, Node
from genloss.experiment.source import Source, from_file, from_mapping
from genloss.experiment.yaml_reader import parse


def place(line: int, column: int) -> Location:
    return Location("f", line + 1, column + 1)


def value(text: str) -> Any:
    return parse(text, place).plain


def refusal(text: str) -> ExperimentError:
    with pytest.raises(ExperimentError) as caught:
        parse(text, place)
    return caught.value


def source(text: str, folder: Path) -> Source:
    path = folder / "e.yaml"
    path.write_text(text)
    return from_file(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("-1.5E+2", -150.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("12", 12),
        ("+12", 12),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("190:20:30", "190:20:30"),
        ("2024-01-31", "2024-01-31"),
        ("0b11", "0b11"),
        ("1e", "1e"),
        ("true", True),
        ("FALSE", False),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("tRue", "tRue"),
        ("", None),
        ("~", None),
        ("null", None),
        ("'null'", "null"),
        ("'1'", "1"),
        ('"1e-3"', "1e-3"),
        ("|\n  1\n", "1\n"),
        ("[1, [a, {b: }]]", [1, ["a", {"b": None}]]),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, expected: object) -> None:
    read = value(f"k: {text}")["k"]
    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "9" * 301, "0x" + "f" * 300])
def test_a_number_is_finite_and_not_endless(text: str) -> None:
    error = refusal(f"a: 1\nb: {text}")
    assert error.where == Location("f", 2, 4)
    assert "number" in error.message
    assert error.hint


def test_every_value_and_key_has_its_place() -> None:
    root = parse("a: 1\nb:\n  - x\n  - {c: [2, 3], d: }\n", place)
    assert root.at("a").where == place(0, 3)
    assert root.at("a").label == place(0, 0)
    assert root.at("b").where == place(2, 2)
    assert root.at("b", 0).where == place(2, 4)
    assert root.at("b", 1, "c", 1).where == place(3, 12)
    assert root.at("b", 1, "c").label == place(3, 5)
    assert root.at("b", 1, "d").where == place(3, 18)
    assert root.at("b", 1, "nowhere", "deep").where == place(3, 4)


def test_aliases_share_values() -> None:
    root = parse("a: &a {x: 1}\nb: *a\nc: [*a]\n", place)
    assert root.plain == {"a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}]}
    assert root.at("b").label == place(1, 0)
    assert root.at("b", "x").where == root.at("a", "x").where


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key `a` is given twice", 3, 1),
        ("a: {x: 1, x: 2}", "the key `x` is given twice", 1, 11),
        ("a: 1\n\tb: 2", "a tab stands where YAML allows only spaces", 2, 1),
        ("a:\t1", "a tab stands where YAML allows only spaces", 1, 3),
        ("a: !!python/object/apply:os.system [ls]", "the tag `!!python/object/apply:os.system`", 1, 4),
        ("a: !!str 1", "the tag `!!str` is not read here", 1, 4),
        ("a: !mine [1]", "the tag `!mine` is not read here", 1, 4),
        ("!!map {a: 1}", "the tag `!!map` is not read here", 1, 1),
        ("a: 1\n---\nb: 2\n", "a second document begins here", 2, 1),
        ("a: 1\n3: 4\n", "expected a text as key, got `3`", 2, 1),
        ("true: 4\n", "expected a text as key, got `true`", 1, 1),
        ("{~: 4}", "expected a text as key, got `null`", 1, 2),
        ("? [a, b]\n: 4\n", 'expected a text as key, got `["a", "b"]`', 1, 3),
        ("a: &a {b: 1}\nc: {<<: *a}\n", "merge keys (`<<`) are not read here", 2, 5),
        ("a: *b\n", "the alias `*b` refers to nothing", 1, 4),
        ("a: &a [*a]\n", "the alias `*a` refers to what it stands in", 1, 8),
        ("a: [1, 2\nb: 3\n", "expected `,` or `]`", 2, 2),
        ("a: {b: 1\n", "expected `,` or `}`", 2, 1),
        ("a: 'x\nb: 1\n", "the quote is not closed", 1, 4),
        ("a: b: c\n", "a colon stands where YAML expects no key", 1, 5),
        ("a: 1\nb\nc: 2\n", "expected `key: value`, found no colon", 2, 1),
        ("a:\n  - 1\n b: 2\n", "the indentation does not fit the lines before", 3, 2),
        ("a: @b\n", "a text cannot begin with `@`", 1, 4),
        ("a: 1\x07\n", "the character U+0007 cannot stand in YAML", 1, 5),
        ("b: 1\na: x\x00\n", "the character U+0000 cannot stand in YAML", 2, 5),
        ('a: "\\ud800"\n', "the text holds half of a surrogate pair", 1, 4),
        ('a: "\\UFFFFFFFF"\n', "this is not valid YAML", 1, 7),
        ('a: "\\q"\n', "this is not valid YAML", 1, 6),
        (f"%YAML {'1' * 5000}.0\n---\na: 1\n", "this is not valid YAML", 1, 7),
        ("{a: 1}}\n", "expected the end of the experiment", 1, 7),
    ],
)
def test_what_is_no_plain_yaml_is_refused_at_its_place(
    text: str, message: str, line: int, column: int
) -> None:
    error = refusal(text)
    assert error.message.startswith(message)
    assert error.where == Location("f", line, column)
    assert error.hint


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "{b: " * 100_000, "- " * 100_000])
def test_depth_is_bounded(text: str) -> None:
    assert refusal(text).message == "the nesting is deeper than 50 levels"


def test_fifty_levels_are_read() -> None:
    root = parse("[" * 50 + "]" * 50, place)
    assert root.height == 49
    nested = "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 30
    assert refusal(f"{nested}*a").message == "the nesting is deeper than 50 levels"


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    began = time.process_time()
    error = refusal("\n".join(lines))
    assert time.process_time() - began < 1
    assert error.message == f"the experiment has more than {MAX_NODES} values, those of aliases included"
    assert error.where is not None
    assert error.where.line == 4


def test_the_number_of_values_is_bounded() -> None:
    assert refusal(f"[{'1,' * (MAX_NODES + 1)}]").message.startswith("the experiment has more than")


def test_a_file_says_where_things_are(tmp_path: Path) -> None:
    written = source("name: x\nseeds: [1,\n  2]\n", tmp_path)
    assert written.root.plain == {"name": "x", "seeds": [1, 2]}
    assert str(written.where("seeds", 1)) == f"{tmp_path}/e.yaml:3:3"
    assert written.folder == tmp_path
    assert written.text.startswith("name: x\n")


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_bytes("name: é\r\nseeds: 1\r\n".encode("utf-8-sig"))
    written = from_file(path)
    assert written.root.plain == {"name": "é", "seeds": 1}
    assert str(written.where("seeds")) == f"{path}:2:8"


@pytest.mark.parametrize(
    ("content", "message", "place"),
    [
        (b"", "the experiment is empty", "1:1"),
        (b"# nothing\n", "the experiment is empty", "1:1"),
        (b"---\n", "the experiment is empty", "1:1"),
        (b"{}", "the experiment is empty", "1:1"),
        (b"- a\n", 'expected a mapping of keys to values, got `["a"]`', "1:1"),
        (b"\n  words\n", "expected a mapping of keys to values, got `words`", "2:3"),
        (b"name: x\nb: \xff\n", "the file is not encoded in UTF-8", "2:4"),
        ("\ufeffname: x\n".encode() + "é".encode()[:1], "the file is not encoded in UTF-8", "2:1"),
        ("name: x".encode("utf-16"), "the file is not encoded in UTF-8", "1:1"),
        (b"#" * (2**20 + 1), "the file is larger than 1 MiB", "1:1"),
    ],
)
def test_a_file_that_is_no_experiment_is_refused(
    tmp_path: Path, content: bytes, message: str, place: str
) -> None:
    path = tmp_path / "e.yaml"
    path.write_bytes(content)
    with pytest.raises(ExperimentError) as caught:
        from_file(path)
    assert caught.value.message == message
    assert str(caught.value.where) == f"{path}:{place}"
    assert caught.value.hint


def test_a_missing_file_names_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExperimentError, match=r"`gan.yaml` does not exist\nhint: write the path") as caught:
        from_file("gan.yaml")
    Path("experiments").mkdir()
    Path("experiments/gan.yaml").write_text("")
    Path("experiments/mixture.yml").write_text("")
    for name, hint in {
        "gann.yaml": "did you mean `experiments/gan.yaml`?",
        "experiments/gam.yaml": "did you mean `experiments/gan.yaml`?",
        "other/zzz": "there is `experiments/gan.yaml`, `experiments/mixture.yml`",
        "a" * 5000: "look at its name and its permissions",
        "a\0b": "there is `experiments/gan.yaml`, `experiments/mixture.yml`",
    }.items():
        with pytest.raises(ExperimentError) as caught:
            from_file(name)
        assert caught.value.hint == hint
    with pytest.raises(
        ExperimentError, match=r"`experiments` is not a file\nhint: there is `experiments/gan\.yaml`"
    ):
        from_file("experiments")


def test_a_mapping_goes_the_same_way() -> None:
    mapping = {
        "name": "x",
        "seeds": range(3),
        "data": {"path": PurePosixPath("a/b"), "size": np.int64(5), "rate": np.float32(0.5), "flag": True},
        "t": (1, 2.5, None),
    }
    written = from_mapping(mapping)
    assert written.root.plain == {
        "name": "x",
        "seeds": [0, 1, 2],
        "data": {"path": "a/b", "size": 5, "rate": 0.5, "flag": True},
        "t": [1, 2.5, None],
    }
    assert str(written.where("data", "path")) == "experiment: data.path"
    assert str(written.where("seeds", 1)) == "experiment: seeds.1"
    assert parse(written.text, place).plain == written.root.plain


@pytest.mark.parametrize(
    ("mapping", "message", "where"),
    [
        ({}, "the experiment is empty", "experiment"),
        ({"a": {"b": object()}}, "expected a plain value, got an object of type `object`", "experiment: a.b"),
        ({"a": {1: 2}}, "expected a string as key, got `1`", "experiment: a"),
        ({"a": [float("nan")]}, "expected a finite number of at most 300 digits", "experiment: a.0"),
        ({"a": 10**400}, "expected a finite number of at most 300 digits", "experiment: a"),
        ({"a": "\ud800"}, "the text holds half of a surrogate pair", "experiment: a"),
    ],
)
def test_what_yaml_could_not_say_is_refused(mapping: Any, message: str, where: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        from_mapping(mapping)
    assert caught.value.message == message
    assert str(caught.value.where) == where


def test_a_mapping_that_holds_itself_is_refused() -> None:
    inner: dict[str, Any] = {}
    inner["a"], inner["b"] = inner, inner
    with pytest.raises(ExperimentError, match="deeper than 50 levels"):
        from_mapping(inner)


def test_nodes_compare_by_content() -> None:
    assert Node(1, place(0, 0)) == Node(1, place(0, 0))
    assert Node(1, place(0, 0)) != Node(2, place(0, 0))
