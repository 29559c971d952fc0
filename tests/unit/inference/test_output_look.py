"""One look through real clients against the local AWS, and through an S3 that fails as asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.inference.output_look import fault_code, look
from airflow_provider_aiml.inference.outputs import AsyncInference, Location, Look, Seen
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.parsers import ResponseParserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_aiml.local_aws import LocalAws

OUTPUT = Location("bkt", "out/a")
FAILURE = Location("bkt", "err/a")
INFERENCE = AsyncInference(OUTPUT, FAILURE)


class Client:
    """Raises what is planned for each call in turn; None answers, and a string is what LIST names."""

    def __init__(self, *planned: BaseException | str | None) -> None:
        self.planned = list(planned)
        self.asked: list[str] = []

    def _answer(self, operation: str) -> dict[str, Any]:
        self.asked.append(operation)
        planned = self.planned.pop(0)
        if isinstance(planned, BaseException):
            raise planned
        return {} if planned is None else {"Contents": [{"Key": planned}]}

    def head_object(self, **request: Any) -> dict[str, Any]:
        return self._answer(f"HEAD {request['Key']}")

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        return self._answer(f"LIST {request['Prefix']}")


def aws_error(code: str, operation: str = "HeadObject") -> ClientError:
    return ClientError({"Error": {"Code": code}}, operation)


ABSENT = aws_error("404")


def looked(inference: AsyncInference, *planned: BaseException | str | None) -> tuple[Look, list[str]]:
    """Look, and give what was seen and asked."""
    client = Client(*planned)
    return look(client, inference), client.asked


@pytest.mark.parametrize(
    ("planned", "seen", "calls"),
    [
        ([None], Look(Seen.OUTPUT), 1),
        ([ABSENT, None], Look(Seen.FAILURE), 2),
        ([ABSENT, ABSENT, None], Look(Seen.NOTHING), 3),
        ([aws_error("NoSuchKey"), ABSENT, aws_error("AccessDenied")], Look(Seen.NOTHING), 3),
        ([ABSENT, ABSENT, aws_error("NoSuchBucket")], Look(Seen.FAULT, "NoSuchBucket"), 3),
        ([aws_error("403"), ABSENT, aws_error("AccessDenied")], Look(Seen.FORBIDDEN, "403"), 3),
        (
            [aws_error("403")] * 2 + [aws_error("InvalidAccessKeyId")],
            Look(Seen.FAULT, "InvalidAccessKeyId"),
            3,
        ),
        ([aws_error("400")] * 2 + [aws_error("ExpiredToken")], Look(Seen.FAULT, "ExpiredToken"), 3),
        ([aws_error("400")] * 2 + [None] * 2, Look(Seen.FAULT, "400"), 4),
        ([aws_error("403")] * 2 + ["out/a"], Look(Seen.OUTPUT), 3),
        ([aws_error("403")] * 2 + ["out/abc", "err/a"], Look(Seen.FAILURE), 4),
        ([aws_error("403")] * 2 + ["out/abc", "err/abc"], Look(Seen.NOTHING), 4),
        ([ABSENT, ABSENT, "out/a"], Look(Seen.OUTPUT), 3),
        ([aws_error("403")] * 2 + [aws_error("InternalError")], Look(Seen.FAULT, "InternalError"), 3),
        ([ABSENT, ABSENT, aws_error("InternalError")], Look(Seen.NOTHING), 3),
        ([aws_error("503")], Look(Seen.FAULT, "503"), 1),
        ([ABSENT, EndpointConnectionError(endpoint_url="")], Look(Seen.FAULT, "EndpointConnectionError"), 2),
        ([aws_error("403"), None], Look(Seen.FAILURE), 2),
        ([aws_error("AccessDenied", "AssumeRole")], Look(Seen.FAULT, "CredentialRetrievalError"), 1),
        (
            [ABSENT, ABSENT, aws_error("Throttling", "GetRoleCredentials")],
            Look(Seen.FAULT, "CredentialRetrievalError"),
            3,
        ),
    ],
)
def test_a_look_says_what_is_there_or_why_it_cannot_be_said(
    planned: list[BaseException | str | None], seen: Look, calls: int
) -> None:
    answer, asked = looked(INFERENCE, *planned)
    assert answer == seen
    assert asked == ["HEAD out/a", "HEAD err/a", "LIST out/a", "LIST err/a"][:calls]


def test_without_a_failure_location_only_the_output_is_looked_for() -> None:
    assert looked(AsyncInference(OUTPUT), ABSENT, None) == (Look(Seen.NOTHING), ["HEAD out/a", "LIST out/a"])


@pytest.mark.parametrize("call", [0, 2])
def test_a_bug_is_not_taken_for_a_fault_of_s3(call: int) -> None:
    planned = [ABSENT, ABSENT, None]
    planned[call] = TypeError("a bug")  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        look(Client(*planned), INFERENCE)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (aws_error("SlowDown"), "SlowDown"),
        (ClientError({}, "HeadObject"), "ClientError"),
        (ResponseParserError("truncated"), "ResponseParserError"),
        (ConnectionResetError(), "ConnectionResetError"),
        (TimeoutError(), "TimeoutError"),
        (KeyError("Contents"), None),
    ],
)
def test_a_fault_is_named_by_its_aws_code_or_its_class(error: Exception, code: str | None) -> None:
    assert fault_code(error) == code


def test_a_real_client_sees_what_s3_holds(aws: LocalAws) -> None:
    import boto3

    client: Any = boto3.client(
        "s3",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    put: Callable[[str], Any] = lambda key: client.put_object(Bucket="bkt", Key=key, Body=b"x")  # noqa: E731
    assert look(client, INFERENCE) == Look(Seen.FAULT, "NoSuchBucket")
    client.create_bucket(Bucket="bkt")
    assert look(client, INFERENCE) == Look(Seen.NOTHING)
    put("err/a")
    assert look(client, INFERENCE) == Look(Seen.FAILURE)
    put("out/a")
    assert look(client, INFERENCE) == Look(Seen.OUTPUT)
