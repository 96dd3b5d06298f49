"""`genloss ui` as a process, and its page in a real browser."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.tracking.studies import GAN

DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1700,1300"
)


@contextmanager
def served(study: str, folder: Path) -> Iterator[str]:
    """The address that `genloss ui` prints in a folder, for as long as it serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "genloss", "ui", study, "--no-open"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "Traceback" not in said


@contextmanager
def browser(profile: Path, *, logging: bool = False) -> Iterator[webdriver.Chrome]:
    """Headless Chromium; the test is skipped where there is none.

    Asked to, it keeps what its console says and what it fetches.
    """
    if DRIVER is None:
        pytest.skip("there is no chromedriver here")
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS.split(), f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    if logging:
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def find_groups_and_chart(driver: webdriver.Chrome, page: str) -> None:
    """Finds the six groups of the GAN experiment, and a chart of `generator/total` with a line for each."""
    driver.get(page)
    wait = WebDriverWait(driver, 60)

    def text(_: Any) -> str:
        return driver.find_element(By.TAG_NAME, "body").text

    wait.until(lambda _: all(f"Group: {name}" in text(_) for name in GAN))
    assert text(driver).count("Group: ") == len(GAN)
    into_view = "arguments[0].scrollIntoView({block: 'center'})"
    # What is far below is drawn when it is scrolled to.
    driver.execute_script(into_view, driver.find_element(By.XPATH, "//*[text()='generator losses']"))
    wait.until(lambda _: "generator/total" in text(_))
    titles = driver.find_elements(By.XPATH, "//*[text()='generator/total']")
    (title,) = [element for element in titles if element.is_displayed()]
    driver.execute_script(into_view, title)

    def lines(_: Any) -> list[Any]:
        """The curves of the chart that the title stands above."""
        card = title.find_element(By.XPATH, "./ancestor::*[.//*[contains(@class, 'js-plotly-plot')]][1]")
        return card.find_elements(By.CSS_SELECTOR, ".scatterlayer .js-line")

    wait.until(lambda _: len(lines(_)) >= len(GAN))
