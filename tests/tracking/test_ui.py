"""What a person sees: `genloss ui`, and the page that it prints, in a browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from genloss.record.folder import StudyFolder
from tests.tracking.studies import GAN, gan_study
from tests.tracking.test_tracker import ship

DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1700,1300"
)


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


@pytest.fixture(scope="module")
def page(study: StudyFolder) -> Iterator[str]:
    """The address that `genloss ui` prints, for as long as it serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "genloss", "ui", study.name, "--no-open"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    yield address
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Traceback" not in said


def test_the_address_is_on_this_machine_and_names_the_study(page: str, study: StudyFolder) -> None:
    assert page.startswith("http://127.0.0.1:")
    assert page.endswith(f"viewStateShareKey={study.name}")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    if DRIVER is None:
        pytest.skip("there is no chromedriver here")
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def test_it_shows_six_groups_and_draws_the_generator_s_total(browser: webdriver.Chrome, page: str) -> None:
    look(browser, page)


def look(browser: webdriver.Chrome, page: str) -> None:
    """Opens the page of a study of six objectives, and finds its groups and a chart of `generator/total`."""
    browser.get(page)
    wait = WebDriverWait(browser, 60)

    def text(_: Any) -> str:
        return browser.find_element(By.TAG_NAME, "body").text

    wait.until(lambda driver: all(f"Group: {name}" in text(driver) for name in GAN))
    assert text(browser).count("Group: ") == len(GAN)
    wait.until(lambda driver: "generator/total" in text(driver))
    (title,) = [
        e for e in browser.find_elements(By.XPATH, "//*[text()='generator/total']") if e.is_displayed()
    ]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", title)

    def lines(_: Any) -> list[Any]:
        """The curves of the chart that the title stands above."""
        card = title.find_element(By.XPATH, "./ancestor::*[.//*[contains(@class, 'js-plotly-plot')]][1]")
        return card.find_elements(By.CSS_SELECTOR, ".scatterlayer .js-line")

    wait.until(lambda driver: len(lines(driver)) >= len(GAN))


def test_without_a_study_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genloss", "ui"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no study in this folder\nhint: `genloss run EXPERIMENT`")
