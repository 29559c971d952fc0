from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def script(name: str, folder: str = "docs") -> Any:
    """Import one of the scripts that write pages."""
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


quote_examples = script("quote_examples")
make_reference = script("make_reference")
summary = script("summary", "benchmarks")

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_anchor_is_a_heading(page: Path) -> None:
    def anchors(place: Path) -> set[str]:
        headings = re.findall(r"^#+ (.+)$", place.read_text(), re.M)
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    links = re.findall(r"\]\(((?:[\w/-]+\.md)?)#([^)\s]+)\)", page.read_text())
    missing = [one for name, one in links if one not in anchors(page.parent / name if name else page)]
    assert not missing


def test_the_front_page_quotes_an_example_for_each_operator() -> None:
    from airflow_provider_aiml import operators, sensors

    modules = [*Path(operators.__path__[0]).glob("*.py"), *Path(sensors.__path__[0]).glob("*.py")]
    public = {
        name
        for module in modules
        for name in re.findall(r"^class (\w+(?:Operator|Sensor))\(", module.read_text(), re.M)
    }
    quoted = [block["code"] for block in quote_examples.BLOCK.finditer((ROOT / "README.md").read_text())]
    shown = set(re.findall(r"\b(\w+)(?:\.partial)?\(", "\n".join(quoted)))
    assert public
    assert public <= shown


def test_a_region_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LookupError):
        quote_examples.region("README.md", "nowhere")


def test_the_reference_says_what_signatures_and_docstrings_say() -> None:
    assert make_reference.page() == make_reference.PAGE.read_text(), "run: python docs/make_reference.py"


def test_an_argument_that_is_described_nowhere_is_an_error() -> None:
    from airflow_provider_aiml.aws_task import AwsTask

    class Undescribed(AwsTask):
        def __init__(self, *, colour: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    Undescribed.__module__ = AwsTask.__module__
    with pytest.raises(LookupError, match="Undescribed does not say what colour means"):
        make_reference.arguments(Undescribed)


def test_each_operator_sensor_and_hook_has_its_section() -> None:
    from airflow_provider_aiml.get_provider_info import get_provider_info

    headings = set(re.findall(r"^### (\w+)$", make_reference.PAGE.read_text(), re.M))
    sources = [
        (ROOT / f"{module.replace('.', '/')}.py").read_text()
        for kind in ("operators", "sensors", "hooks")
        for entry in get_provider_info()[kind]
        for module in entry["python-modules"]
    ]
    public = re.findall(r"^class ([A-Z]\w*(?:Operator|Sensor|Hook))\(", "\n".join(sources), re.M)
    assert headings == set(public)


def test_the_first_figures_of_the_benchmarks_are_those_of_the_tables_below() -> None:
    report, front_page = summary.REPORT.read_text(), summary.README.read_text()
    assert summary.with_summary(report) == report, "run: python benchmarks/summary.py"
    assert summary.with_sentence(front_page, report) == front_page, "run: python benchmarks/summary.py"
    assert "500 deferred waits cost" in front_page


def test_a_table_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LookupError, match="no table of nothing"):
        summary.table("# Benchmarks", "of nothing")


def test_each_room_of_the_core_has_its_place_in_the_plan_of_the_house() -> None:
    from airflow_provider_aiml import inference

    rooms = {module.stem for module in Path(inference.__path__[0]).glob("[a-z]*.py")}
    page = (ROOT / "docs" / "architecture.md").read_text()
    plan = page.partition("## The rooms of the core")[2].partition("\n## ")[0]
    assert rooms == set(re.findall(r"`(\w+)`", plan))
