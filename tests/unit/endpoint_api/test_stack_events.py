"""What a stack's events say: what an operation changed, and why it failed."""

from __future__ import annotations

from typing import Any

import pytest
from airflow_provider_aiml.endpoint_api.stack_events import (
    StackWait,
    changes_in,
    is_busy,
    kept_in,
    leaves_route,
    newest_deployment,
    newest_operation,
    reasons_in,
    stack_failure,
)
from airflow_provider_aiml.exceptions import BusyError, ServiceRefusedError, StackFailedError


def event(name: str, status: str, reason: str | None = None, kind: str = "AWS::X::Y") -> dict[str, Any]:
    return {
        "LogicalResourceId": name,
        "PhysicalResourceId": f"{name}-id",
        "ResourceType": kind,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def stack(status: str, reason: str | None = None) -> dict[str, Any]:
    return event("s", status, reason, "AWS::CloudFormation::Stack")


OLD = [event("Gone", "CREATE_FAILED", "long ago"), stack("CREATE_IN_PROGRESS")]
EVENTS = [
    stack("UPDATE_ROLLBACK_COMPLETE"),
    event("Old", "DELETE_COMPLETE"),
    event("B", "CREATE_FAILED", "Resource creation cancelled"),
    event("A", "UPDATE_FAILED", "no\nsuch  role"),
    event("C", "CREATE_COMPLETE"),
    event("Kept", "DELETE_SKIPPED"),
    stack("UPDATE_IN_PROGRESS", "User Initiated"),
]


def test_only_the_newest_operation_counts_and_older_events_are_not_fetched() -> None:
    fetched = []

    def pages() -> Any:
        for one in [*EVENTS, *OLD]:
            fetched.append(one)
            yield one

    assert newest_operation(pages()) == EVENTS
    assert len(fetched) == len(EVENTS)


def by(token: str, *events: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**one, "ClientRequestToken": token} for one in events]


def test_an_update_that_made_way_for_the_newest_one_counts_with_it() -> None:
    update = by("aiml-0a-1b-update-1", stack("UPDATE_COMPLETE"), stack("UPDATE_IN_PROGRESS"))
    way = by("aiml-0a-1b-reroute-1", stack("UPDATE_COMPLETE"), event("M", "CREATE_COMPLETE"))
    way += by("aiml-0a-1b-reroute-1", stack("UPDATE_IN_PROGRESS"))
    failed = by("aiml-0a-1b-reroute-1", *EVENTS)
    assert newest_deployment([*update, *way, *OLD]) == [*update, *way]
    assert newest_deployment([*update, *failed]) == update
    assert newest_deployment([*update, *OLD]) == update
    assert newest_deployment(update) == update


def conditional(recreation: str, source: str) -> dict[str, Any]:
    detail = {"Target": {"RequiresRecreation": recreation}, "Evaluation": "Dynamic", "ChangeSource": source}
    return {"Action": "Modify", "Replacement": "Conditional", "Details": [detail]}


@pytest.mark.parametrize(
    ("change", "leaves"),
    [
        ({"Action": "Remove"}, True),
        ({"Action": "Modify", "Replacement": "True"}, True),
        (conditional("Always", "DirectModification"), True),
        (conditional("Always", "ResourceAttribute"), False),
        (conditional("Always", "ResourceReference"), False),
        (conditional("Never", "DirectModification"), False),
        ({"Action": "Modify", "Replacement": "False"}, False),
        ({"Action": "Add"}, False),
    ],
    ids=str,
)
def test_a_route_is_left_behind_by_what_takes_a_method_or_a_segment_out(change: Any, leaves: bool) -> None:
    for kind in ("Method", "Resource"):
        assert leaves_route([{"ResourceType": f"AWS::ApiGateway::{kind}", **change}]) is leaves
    assert not leaves_route([{"ResourceType": "AWS::ApiGateway::Deployment", **change}])


def test_a_stack_without_a_beginning_gives_all_its_events() -> None:
    assert newest_operation([event("A", "CREATE_COMPLETE")]) == [event("A", "CREATE_COMPLETE")]


def test_the_changes_are_named_in_their_order() -> None:
    assert [(one["resource"], one["action"]) for one in changes_in(EVENTS)] == [
        ("C", "created"),
        ("Old", "deleted"),
    ]


def test_what_was_kept_is_named_by_its_physical_id() -> None:
    assert kept_in(EVENTS) == ["Kept-id"]


def test_the_reasons_are_those_of_what_failed_and_not_of_what_was_cancelled() -> None:
    assert reasons_in(EVENTS) == ["A (AWS::X::Y): no such role"]


def test_a_failure_without_a_reason_says_so() -> None:
    assert reasons_in([event("A", "CREATE_FAILED")]) == ["A (AWS::X::Y): no reason is given"]
    assert "names no resource" in str(stack_failure("s", "ROLLBACK_COMPLETE", []))


def test_a_failure_says_what_is_left_and_what_to_do() -> None:
    error = stack_failure("api", "UPDATE_ROLLBACK_COMPLETE", EVENTS)
    assert isinstance(error, StackFailedError)
    assert "no such role" in str(error)
    assert "goes on serving" in str(error)
    assert error.code == "UPDATE_ROLLBACK_COMPLETE"
    assert not error.may_have_been_billed


def test_a_creation_that_failed_names_what_it_left() -> None:
    hint = stack_failure("api", "ROLLBACK_COMPLETE", EVENTS).hint
    assert hint == "what is left: the empty stack, Kept-id; replace_failed=True makes the stack anew"


@pytest.mark.parametrize(
    ("status", "busy"),
    [
        ("CREATE_IN_PROGRESS", True),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", True),
        ("REVIEW_IN_PROGRESS", False),
        ("UPDATE_COMPLETE", False),
    ],
)
def test_a_status_says_whether_an_operation_is_under_way(status: str, busy: bool) -> None:
    assert is_busy(status) is busy


def test_a_wait_ends_with_the_operation() -> None:
    wait = StackWait("arn", None)
    assert wait.on_status("UPDATE_IN_PROGRESS", 5) is None
    assert wait.on_status("UPDATE_COMPLETE", 6) == "over"


def test_a_wait_that_is_over_counts_after_its_deadline_too() -> None:
    assert StackWait("arn", 10).on_status("CREATE_COMPLETE", 11) == "over"


def test_a_wait_beyond_its_deadline_fails_so_that_a_retry_goes_on_waiting() -> None:
    wait = StackWait("arn", 10)
    assert wait.on_status("CREATE_IN_PROGRESS", 9) is None
    with pytest.raises(StackFailedError, match="still CREATE_IN_PROGRESS") as raised:
        wait.on_status("CREATE_IN_PROGRESS", 10)
    assert raised.value.retryable


def test_faults_in_a_row_are_borne_up_to_a_number() -> None:
    wait = StackWait("arn", None, max_faults=3)
    fault = BusyError("throttled")
    wait.on_fault(fault)
    wait.on_fault(fault)
    assert wait.on_status("CREATE_IN_PROGRESS", 1) is None
    wait.on_fault(fault)
    wait.on_fault(fault)
    with pytest.raises(BusyError):
        wait.on_fault(fault)


def test_a_fault_that_asking_again_cannot_mend_ends_the_wait() -> None:
    with pytest.raises(ServiceRefusedError):
        StackWait("arn", None).on_fault(ServiceRefusedError("no"))
