"""The studies of a folder, and removing them."""

import shutil

import pytest

from genloss.errors import RecordError
from genloss.record import inventory
from genloss.record.events import Started
from genloss.record.folder import ROOT, StudyFolder, latest_study
from genloss.record.journal import Journal


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A study that has begun nothing."""
    monkeypatch.chdir(tmp_path)
    folder = StudyFolder.create("gan")
    folder.write({"runs": [{"name": "gan-0"}]})
    folder.run("gan-0").path.mkdir()
    return folder


def test_one_is_looked_at(folder):
    (kept,) = inventory.studies()
    assert (kept.folder, kept.planned, kept.finished, kept.pending) == (folder, 1, 0, 0)
    assert not kept.alive
    assert kept.size == folder.study.stat().st_size


def test_one_that_mlflow_has_not_got_is_not_removed(folder):
    with Journal(folder.run("gan-0").journal) as journal:
        journal.event(Started())
    with pytest.raises(RecordError, match="MLflow has not got all of study `gan`"):
        inventory.remove(folder)
    assert latest_study() == folder


def test_one_whose_removal_is_cut_off_is_no_study_any_more(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        inventory.remove(folder)
    assert [path.name[:9] for path in ROOT.glob("*") if path.is_dir()] == [inventory.REMOVED]
    assert latest_study() is None
    assert inventory.studies() == []
    inventory.remove(StudyFolder.create("next"))
    assert not [path for path in ROOT.iterdir() if path.is_dir()]
