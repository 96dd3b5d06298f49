"""A published file is whole."""

import pytest

from genloss.record.files import publish


def test_replaces_the_file_at_once(tmp_path):
    path = tmp_path / "file"
    publish(path, b"one")
    with path.open("rb") as reader:
        publish(path, b"two")
        assert reader.read() == b"one"
    assert path.read_bytes() == b"two"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_leaves_the_file_as_it_was_where_it_cannot_write(tmp_path):
    path = tmp_path / "file"
    publish(path, b"one")
    (tmp_path / "file.part").mkdir()
    with pytest.raises(IsADirectoryError):
        publish(path, b"two")
    assert path.read_bytes() == b"one"
