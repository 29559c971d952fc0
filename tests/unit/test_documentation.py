from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("quote_examples", ROOT / "docs" / "quote_examples.py")
assert _spec
assert _spec.loader
quote_examples = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(quote_examples)

PAGES = quote_examples.pages()
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_snippet_is_the_region_of_the_example_that_it_quotes(page: Path) -> None:
    text = page.read_text()
    assert quote_examples.quoted(text) == text, "run: python docs/quote_examples.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_local_link_leads_to_a_file(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


def test_the_front_page_quotes_an_example_for_each_operator() -> None:
    from airflow_provider_aiml import operators, sensors

    modules = [*Path(operators.__path__[0]).glob("*.py"), *Path(sensors.__path__[0]).glob("*.py")]
    public = {
        name
        for module in modules
        for name in re.findall(r"^class (\w+(?:Operator|Sensor))\(", module.read_text(), re.M)
    }
    shown = set(re.findall(r"\w+", (ROOT / "README.md").read_text()))
    assert public
    assert public <= shown


def test_a_region_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LookupError):
        quote_examples.region("README.md", "nowhere")
