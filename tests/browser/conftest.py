"""What `make up` leaves running, and a Chromium that is logged in to its Airflow."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from tests.browser.pages import Pages
from tests.e2e.airflow_api import AirflowApi
from tests.e2e.processes import Process, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
UP_SECONDS = 400
STOP_SECONDS = 90
_LOGIN = re.compile(r"Airflow +(?P<url>\S+) +user (?P<user>\S+) +password (?P<password>\S+)")
_WINDOW = "--window-size=1480,1270"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--picture", type=Path, help="where to put the picture for the README")


@pytest.fixture(scope="session")
def login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What `make up` prints: ``url``, ``user`` and ``password``."""
    log = tmp_path_factory.mktemp("up") / "up.log"
    command = [sys.executable, str(PROJECT / "tests/e2e/run_demo.py"), "--keep"]

    def printed() -> re.Match[str] | None:
        up.check()
        return _LOGIN.search(log.read_text())

    with Process("make up", command, os.environ, log, stop_seconds=STOP_SECONDS) as up:
        yield wait_until(printed, UP_SECONDS, "make up prints the login").groupdict()


@pytest.fixture(scope="session")
def api(login: dict[str, str]) -> Iterator[AirflowApi]:
    client = AirflowApi(login["url"])
    client.log_in(login["user"], login["password"])
    yield client
    client.close()


@pytest.fixture(scope="session")
def pages(login: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """The UI in a browser, logged in through its own form."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.fail("Chromium is not installed (on Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", _WINDOW):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        pages = Pages(browser, login["url"])
        pages.log_in(login["user"], login["password"])
        yield pages
    finally:
        browser.quit()
