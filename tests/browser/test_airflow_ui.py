"""What a user of the demo sees in a browser."""

from __future__ import annotations

import pytest
from tests.e2e.demo import EXPECTATIONS
from tests.e2e.processes import wait_until

pytestmark = pytest.mark.timeout(600)
DAG_ID = "aiml_realtime_scoring"
LARGEST_PICTURE = 300 * 1024


def test_the_printed_login_leads_to_every_example_dag(pages):
    pages.open_dags()

    pages.wait_for_text(*(wanted.dag_id for wanted in EXPECTATIONS))


def test_the_trigger_form_shows_each_param_with_its_title_and_description(pages):
    pages.open_trigger_form(DAG_ID)

    pages.wait_for_text("Endpoint", "The SageMaker endpoint that classifies the rows.")
    pages.wait_for_text("Minimum accuracy", "when a smaller share of the rows is classified right.")
    assert pages.field("endpoint_name").get_attribute("value") == "demo-tabular"
    assert pages.field("bucket").get_attribute("value") == "demo-inference"
    assert pages.field("rows").get_attribute("value") == "100"
    assert pages.field("rows").get_attribute("aria-valuemax") == "569"


def test_the_trigger_form_offers_the_choices_of_an_enum(pages):
    pages.open_trigger_form(DAG_ID)

    assert pages.choices("content_type") == ["application/json", "text/csv"]


def test_a_run_started_from_the_form_has_what_was_filled_in_and_succeeds(pages, api):
    before = set(api.run_ids(DAG_ID))
    pages.open_trigger_form(DAG_ID)
    pages.choose("content_type", "text/csv")
    pages.fill("rows", "25")
    pages.start_run()
    new = wait_until(lambda: set(api.run_ids(DAG_ID)) - before, 30, "the form starts a run").pop()

    state = api.wait_for_run(DAG_ID, new)
    checked = api.xcom(api.task(DAG_ID, new, "check_accuracy"))
    rendered = api.rendered(api.task(DAG_ID, new, "score"))
    pages.open_run(DAG_ID, new)
    pages.wait_for_text("Success", "check_accuracy")
    assert state == "success"
    assert checked["rows"] == 25
    assert rendered["content_type"] == "text/csv"


def test_the_failed_waits_page_gives_the_models_own_reason(pages, api):
    run_id = api.run_ids("aiml_async_scoring")[-1]
    pages.open_mapped_task("aiml_async_scoring", run_id, "wait", 1)

    pages.wait_for_text("Failed", "ModelFailedError", "row 1 has 29 features, the model takes 30")


def test_the_runs_page_shows_each_wait_and_fits_into_the_readme(pages, api, request, tmp_path):
    run_id = api.run_ids("aiml_async_scoring")[-1]
    pages.open_run("aiml_async_scoring", run_id)
    pages.wait_for_text("10 Task Instances", "SageMakerAsyncInferenceSensor", "Failed", "summarize")

    picture = request.config.getoption("--picture") or tmp_path / "airflow-ui.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    assert pages.browser.save_screenshot(str(picture))
    assert picture.stat().st_size < LARGEST_PICTURE
