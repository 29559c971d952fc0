from __future__ import annotations

import pytest
from airflow_provider_aiml.exceptions import AnswerStoppedError, RequestError
from airflow_provider_aiml.inference.requests import load_operation
from airflow_provider_aiml.inference.stop_reasons import (
    FAIL_ON,
    UNREMARKABLE,
    check_stop_reason,
    read_fail_on,
)

KNOWN = load_operation("bedrock-runtime", "Converse").output_shape.members["stopReason"].enum


def test_every_stop_reason_of_the_service_model_is_either_unremarkable_or_fails():
    assert set(KNOWN) == UNREMARKABLE | FAIL_ON


def test_by_default_the_answers_that_may_be_cut_off_or_withheld_fail():
    assert read_fail_on(None, KNOWN) == FAIL_ON


def test_a_task_can_choose_what_fails():
    assert read_fail_on(["max_tokens", "stop_sequence"], KNOWN) == {"max_tokens", "stop_sequence"}
    assert read_fail_on([], KNOWN) == frozenset()


def test_a_reason_that_only_this_release_knows_can_be_named_with_an_older_botocore():
    assert read_fail_on(["malformed_tool_use"], ["end_turn"]) == {"malformed_tool_use"}


@pytest.mark.parametrize("fail_on", ["max_tokens", 3, {"max_tokens": True}, ["tired"]])
def test_what_is_no_list_of_stop_reasons_is_refused(fail_on):
    with pytest.raises(RequestError, match="fail_on"):
        read_fail_on(fail_on, KNOWN)


@pytest.mark.parametrize("reason", sorted(FAIL_ON | {"stop_sequence"}))
def test_a_stop_that_fails_says_why_and_what_to_change(reason):
    with pytest.raises(AnswerStoppedError, match=f"stopped with {reason}.*fail_on") as caught:
        check_stop_reason(reason, {reason}, lambda: {"text": "partial"})

    assert caught.value.stop_reason == reason
    assert caught.value.result == {"text": "partial"}
    assert caught.value.may_have_been_billed
    assert not caught.value.retryable


def test_a_stop_that_is_accepted_passes():
    check_stop_reason("end_turn", FAIL_ON, dict)
