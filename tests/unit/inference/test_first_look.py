"""What a first try finds of a run that was deleted, and with how many calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.inference.first_look import first_look
from airflow_provider_aiml.inference.outputs import AsyncInference, Location

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws import LocalAws

MANY = [f"{number:04}.out" for number in range(150)]


def predicted(*names: str) -> dict[str, list[AsyncInference]]:
    """Give two places for each output, as two ways to join path and extension do."""
    return {
        name: [AsyncInference(Location("bucket", f"{path}aiml/run/{name}")) for path in ("out/", "out")]
        for name in names
    }


def put(s3: Any, *keys: str) -> None:
    for key in keys:
        s3.put_object(Bucket="bucket", Key=key, Body=b"x")


def test_an_output_is_found_wherever_its_path_was_joined(aws: LocalAws, s3: Any) -> None:
    put(s3, "out/aiml/run/a.out", "outaiml/run/b.out", "out/aiml/run/c.out.part")

    found = first_look(s3, predicted("a.out", "b.out", "c.out"))
    assert {name: one.output_location.key for name, one in found.items()} == {
        "a.out": "out/aiml/run/a.out",
        "b.out": "outaiml/run/b.out",
    }


@pytest.mark.parametrize("there", [0, 3])
def test_a_list_for_each_way_says_of_all_outputs_whether_they_are_there(
    aws: LocalAws, s3: Any, there: int
) -> None:
    put(s3, *(f"out/aiml/run/{name}" for name in MANY[:there]))
    before = aws.request_counts()

    assert sorted(first_look(s3, predicted(*MANY))) == MANY[:there]
    assert aws.request_counts()["s3:LIST"] - before.get("s3:LIST", 0) == 2
    assert aws.request_counts().get("s3:HEAD", 0) == before.get("s3:HEAD", 0)


def test_among_too_many_other_outputs_only_those_behind_the_last_page_are_asked_for(
    aws: LocalAws, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_aiml.inference.first_look._PAGE", 2)
    put(s3, *(f"out/aiml/run/{name}" for name in ("0.out", "1.out", "2.out", "3.out", "4.out")))

    assert sorted(first_look(s3, predicted("0.out", "4.out", "5.out"))) == ["0.out", "4.out"]
    assert aws.request_counts()["s3:HEAD"] == 2


def test_without_the_permission_to_list_each_output_is_asked_for_at_its_likeliest_place(
    aws: LocalAws, s3: Any
) -> None:
    put(s3, "out/aiml/run/a.out", "outaiml/run/b.out")
    aws.add_fault("s3:LIST", code="AccessDenied", status=403, for_seconds=600)

    assert list(first_look(s3, predicted("a.out", "b.out"))) == ["a.out"]
    assert aws.request_counts()["s3:HEAD"] == 2


def test_what_s3_cannot_be_asked_for_counts_as_not_there(
    aws: LocalAws, s3: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    gone = {name: [AsyncInference(Location("no-such-bucket", name))] for name in ("a", "b")}

    assert first_look(s3, gone) == {}
    assert "NoSuchBucket" in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_a_bug_is_not_taken_for_a_fault_of_s3() -> None:
    with pytest.raises(AttributeError):
        first_look(None, predicted("a.out"))


def test_where_nothing_is_predicted_nothing_is_asked() -> None:
    assert first_look(None, {}) == {}
    assert first_look(None, {"a": [], "b": []}) == {}
