"""The few pages of Airflow's UI that the tests look at."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable

    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

SECONDS = 30


class Pages:
    """A browser on an Airflow.

    :param browser: the driver.
    :param url: where the Airflow is.
    """

    def __init__(self, browser: Chrome, url: str) -> None:
        self.browser = browser
        self._url = url

    def log_in(self, user: str, password: str) -> None:
        self._open("/")
        self._find("input[name=username]").send_keys(user)
        self._find("input[name=password]").send_keys(password)
        self._find("button[type=submit]").click()
        self.wait_for_text("Dags")

    def open_dags(self) -> None:
        self._open("/dags")

    def open_run(self, dag_id: str, run_id: str) -> None:
        self._open(f"/dags/{dag_id}/runs/{quote(run_id)}")

    def open_mapped_task(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> None:
        self._open(f"/dags/{dag_id}/runs/{quote(run_id)}/tasks/{task_id}/mapped/{map_index}")

    def open_trigger_form(self, dag_id: str) -> None:
        self._open(f"/dags/{dag_id}")
        self._find("[data-testid=trigger-dag-button]").click()
        self.wait_for_text("Run Parameters")

    def start_run(self) -> None:
        self._find("[data-testid=trigger-dag-submit]").click()

    def field(self, name: str) -> WebElement:
        """Give the input of a param of text or number."""
        return self._find(f"input#element_{name}, [id='number-input:element_{name}'] input")

    def fill(self, name: str, text: str) -> None:
        field = self.field(name)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text, Keys.TAB)

    def choices(self, name: str) -> list[str]:
        """Open the choices of a param with an enum, and give them."""
        self._find(f"#element_{name} input[role=combobox]").send_keys(Keys.ARROW_DOWN)
        self._find("[role=option]")
        options = self.browser.find_elements(By.CSS_SELECTOR, "[role=option]")
        return [option.text for option in options if option.is_displayed()]

    def choose(self, name: str, choice: str) -> None:
        self._find(f"#element_{name} input[role=combobox]").send_keys(choice, Keys.ENTER)

    @property
    def text(self) -> str:
        return self._find("body").text

    def wait_for_text(self, *texts: str) -> None:
        self._wait(lambda: all(text in self.text for text in texts), f"the page shows {texts}")

    def _open(self, path: str) -> None:
        self.browser.get(self._url + path)

    def _find(self, selector: str) -> WebElement:
        def visible() -> WebElement | None:
            found = self.browser.find_elements(By.CSS_SELECTOR, selector)
            return next((element for element in found if element.is_displayed()), None)

        return self._wait(visible, f"the page has {selector}")

    def _wait(self, look: Callable[[], WebElement | bool | None], what: str) -> WebElement:
        return WebDriverWait(self.browser, SECONDS).until(lambda _: look(), what)
