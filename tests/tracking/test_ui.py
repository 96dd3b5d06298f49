"""What a person sees: `genloss ui`, and the page that it prints, in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genloss.record.folder import StudyFolder
from tests.tracking.pages import browser, find_groups_and_chart, served
from tests.tracking.studies import gan_study
from tests.tracking.test_tracker import ship


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyFolder]:
    """A study of six objectives in MLflow, in the working folder."""
    folder, before = tmp_path_factory.mktemp("ui"), Path.cwd()
    os.chdir(folder)
    try:
        study, _ = gan_study(folder, steps=60, seeds=2)
        ship(study)
        yield study
    finally:
        os.chdir(before)


@pytest.mark.slow
def test_the_printed_page_shows_six_groups_and_draws_the_generator_s_total(
    study: StudyFolder, tmp_path: Path
) -> None:
    with served(study.name, study.path.parents[1]) as page:
        assert page.startswith("http://127.0.0.1:")
        assert page.endswith(f"viewStateShareKey={study.name}")
        with browser(tmp_path / "profile") as driver:
            find_groups_and_chart(driver, page)


def test_without_a_study_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genloss", "ui"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no study in this folder\nhint: `genloss run EXPERIMENT`")
