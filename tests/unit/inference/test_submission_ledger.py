from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from airflow_provider_aiml.exceptions import StoredAnswerError
from airflow_provider_aiml.inference.outputs import Location
from airflow_provider_aiml.inference.paid_submission import SubmissionRecord
from airflow_provider_aiml.inference.submission_ledger import (
    NoPages,
    ObjectPages,
    Pages,
    SubmissionLedger,
    TaskStatePages,
)

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws import LocalAws

FIRST, SECOND, OTHER_PAGE = "ab" + "0" * 38, "ab" + "1" * 38, "cd" + "0" * 38
RECORD = SubmissionRecord("asked", 1, 5.0)


class Store:
    """Airflow's task state store, as its accessor behaves."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.calls = 0
        self.gone = False
        self.retention: object = None

    def get(self, key: str) -> Any:
        self._reach()
        return self.values.get(key)

    def set(self, key: str, value: Any, *, retention: object) -> None:
        self._reach()
        self.values[key] = dict(value)
        self.retention = retention

    def _reach(self) -> None:
        self.calls += 1
        if self.gone:
            raise BrokenPipeError("the supervisor is gone")


@pytest.fixture(params=["task state", "object"])
def pages(request: pytest.FixtureRequest, aws: LocalAws) -> Pages:
    return TaskStatePages(Store(), "ever") if request.param == "task state" else object_pages(aws)


def object_pages(aws: LocalAws) -> ObjectPages:
    client = boto3.client(
        "s3",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="ledger")
    return ObjectPages(client, Location("ledger", "inputs/task"))


def test_a_later_try_reads_what_an_earlier_one_wrote(pages: Pages) -> None:
    SubmissionLedger(pages).write({FIRST: RECORD})

    later = SubmissionLedger(pages)
    assert later.read([FIRST, SECOND, OTHER_PAGE], now=0) == {FIRST: RECORD}
    assert later.absence_is_certain(SECOND)
    assert not later.absence_is_certain(OTHER_PAGE)


def test_records_of_one_page_stand_beside_each_other(pages: Pages) -> None:
    SubmissionLedger(pages).write({FIRST: RECORD})
    SubmissionLedger(pages).write({SECOND: SubmissionRecord("asked", 2, 6.0), OTHER_PAGE: RECORD})

    found = SubmissionLedger(pages).read([FIRST, SECOND, OTHER_PAGE], now=0)
    assert {identity: record.ordinal for identity, record in found.items()} == {
        FIRST: 1,
        SECOND: 2,
        OTHER_PAGE: 1,
    }


def test_without_a_place_nothing_is_kept_and_that_is_known() -> None:
    ledger = SubmissionLedger(NoPages())
    ledger.write({FIRST: RECORD})

    assert SubmissionLedger(NoPages()).read([FIRST], now=0) == {}
    assert not SubmissionLedger(NoPages()).absence_is_certain(FIRST)


def test_a_process_whose_supervisor_is_gone_cannot_write_and_is_told_to_stop() -> None:
    store = Store()
    ledger = SubmissionLedger(TaskStatePages(store, "ever"))
    ledger.read([FIRST], now=0)
    store.gone = True

    with pytest.raises(StoredAnswerError, match="cannot be written: BrokenPipeError") as failure:
        ledger.write({FIRST: RECORD})
    assert failure.value.retryable
    assert not failure.value.may_have_been_billed


def test_a_place_that_cannot_be_read_is_an_error_and_not_an_absent_record(aws: LocalAws) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    ledger = SubmissionLedger(ObjectPages(client, Location("no-such-bucket", "inputs/task")))

    with pytest.raises(
        StoredAnswerError, match=r"NoSuchBucket.*upload_to: the bucket does not exist"
    ) as failure:
        ledger.read([FIRST], now=0)
    assert not failure.value.retryable


@pytest.mark.parametrize("body", [b'["rubbish"]', b'{"abc": {"state": "su', b"\xff"])
def test_a_page_that_cannot_be_read_stops_all_but_what_is_bought_again_on_purpose(
    aws: LocalAws, body: bytes
) -> None:
    pages = object_pages(aws)
    pages.put("ab", {})
    (page,) = pages.client.list_objects_v2(Bucket="ledger")["Contents"]
    pages.client.put_object(Bucket="ledger", Key=page["Key"], Body=body)

    with pytest.raises(StoredAnswerError, match="set reinvoke=True") as failure:
        SubmissionLedger(pages).read([FIRST], now=0)
    assert not failure.value.retryable
    again = SubmissionLedger(pages)
    assert again.read([FIRST], now=0, whole=False) == {}
    again.write({FIRST: RECORD})
    assert SubmissionLedger(pages).read([FIRST], now=0) == {FIRST: RECORD}


@pytest.mark.parametrize("page", [["rubbish"], {FIRST: {"state": "of a later release"}}])
def test_a_record_that_is_there_and_cannot_be_read_is_an_error_that_says_where(page: object) -> None:
    store = Store()
    store.values["aiml.submissions.ab"] = page

    with pytest.raises(StoredAnswerError, match=r"aiml\.submissions\.ab in the task state store") as failure:
        SubmissionLedger(TaskStatePages(store, "ever")).read([FIRST], now=0)
    assert not failure.value.retryable


def test_what_is_bought_again_on_purpose_needs_no_record_that_can_be_read(pages: Pages) -> None:
    pages.put("ab", {FIRST: {"state": "of a later release"}, SECOND: RECORD.to_dict()})

    assert SubmissionLedger(pages).read([FIRST, SECOND], now=0, whole=False) == {SECOND: RECORD}
    with pytest.raises(StoredAnswerError, match="ab"):
        SubmissionLedger(pages).read([FIRST], now=0)


def test_the_state_store_is_asked_to_keep_what_is_written() -> None:
    store = Store()
    SubmissionLedger(TaskStatePages(store, "ever")).write({FIRST: RECORD})

    assert store.retention == "ever"


def test_thousands_of_records_take_few_round_trips() -> None:
    store = Store()
    identities = [f"{number:040x}"[::-1] for number in range(5_000)]
    SubmissionLedger(TaskStatePages(store, "ever")).write(dict.fromkeys(identities, RECORD))

    assert store.calls <= 2 * 256
    assert len(SubmissionLedger(TaskStatePages(store, "ever")).read(identities, now=0)) == 5_000
