from __future__ import annotations

import datetime as dt
import json

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.outputs import AsyncInference, Location
from airflow_provider_aiml.inference.submissions import (
    Submission,
    longest_deadline,
    read_submissions,
    s3_uri,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000.0
LONGEST = NOW + 21_600 + 3_600 + 600
SUBMITTED = {
    "inference_id": "i-1",
    "output_location": "s3://bucket/out/1",
    "failure_location": "s3://bucket/err/1",
    "deadline": "2027-01-15T08:00:00+00:00",
}


def test_what_the_operator_returns_is_what_the_sensor_reads():
    (submission,) = read_submissions(SUBMITTED, now=NOW)

    inference = AsyncInference(Location("bucket", "out/1"), Location("bucket", "err/1"), "i-1")
    assert submission == Submission(inference, NOW)
    assert json.loads(json.dumps(submission.to_dict())) == SUBMITTED


def test_a_location_alone_may_take_as_long_as_sagemaker_allows():
    expected = Submission(AsyncInference(Location("b", "k")), LONGEST)

    assert read_submissions("s3://b/k", now=NOW) == [expected]
    assert read_submissions({"output_location": "s3://b/k"}, now=NOW) == [expected]
    assert read_submissions(["s3://b/k", {"output_location": "s3://b/k"}], now=NOW) == [expected] * 2


def test_a_deadline_without_a_zone_is_utc():
    assert read_submissions({**SUBMITTED, "deadline": "2027-01-15T08:00:00"}, now=NOW)[0].deadline == NOW


@pytest.mark.parametrize(
    ("ttl", "invocation", "deadline"),
    [(None, None, LONGEST), (60, 30, NOW + 690), (60, None, NOW + 60 + 3_600 + 600)],
)
def test_the_deadline_is_the_last_moment_at_which_an_output_can_come(ttl, invocation, deadline):
    assert longest_deadline(NOW, ttl, invocation) == deadline


@pytest.mark.parametrize(
    ("given_", "problem"),
    [
        ([], "inference: is empty"),
        (None, "inference: is NoneType"),
        (b"s3://b/k", "inference: is bytes"),
        (3, "inference: is int"),
        ([3], r"inference\[0\]: is a int"),
        (["s3://b/k", "b/k"], r"inference\[1\]: is a string of 3 characters that does not start with s3://"),
        ({"canary": 1}, "inference: is a mapping of 1 keys without output_location"),
        ({**SUBMITTED, "deadline": "soon"}, r"inference.deadline: is a str, allowed is a time in ISO 8601"),
        ({**SUBMITTED, "deadline": 3}, r"inference.deadline: is a int"),
        ({**SUBMITTED, "failure_location": "x"}, r"inference\.failure_location: is a string of 1 characters"),
        ([SUBMITTED, {"output_location": "x"}], r"inference\[1\]\.output_location: is a string of 1 char"),
    ],
)
def test_what_cannot_be_waited_for_is_refused_by_its_place(given_, problem):
    with pytest.raises(RequestError, match=problem) as caught:
        read_submissions(given_, now=NOW)

    assert "canary" not in str(caught.value)


@given(
    st.datetimes(
        min_value=dt.datetime(2000, 1, 1), max_value=dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC)
    ),
    st.none() | st.text(),
    st.none() | st.text(min_size=1).map(lambda key: Location("b", key[:200])),
)
def test_every_submission_survives_xcom(deadline, inference_id, failure):
    submission = Submission(AsyncInference(Location("b", "k"), failure, inference_id), deadline.timestamp())

    assert read_submissions([json.loads(json.dumps(submission.to_dict()))], now=NOW) == [submission]


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("https://bucket.s3.us-east-1.amazonaws.com/out/x.out", "s3://bucket/out/x.out"),
        ("https://my.bucket.s3.dualstack.eu-west-1.amazonaws.com/a%20b", "s3://my.bucket/a b"),
        ("https://s3.cn-north-1.amazonaws.com.cn/bucket/x", "s3://bucket/x"),
        ("https://s3-us-west-2.amazonaws.com/bucket/x", "s3://bucket/x"),
        ("s3://bucket/x%20y", "s3://bucket/x%20y"),
        ("https://example.com/s3.amazonaws.com/x", "https://example.com/s3.amazonaws.com/x"),
        (None, None),
    ],
)
def test_an_https_address_of_s3_is_read_as_its_uri(address: object, uri: object) -> None:
    assert s3_uri(address) == uri
