"""The URL of a call, and what its answer means."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from airflow_provider_aiml.endpoint_api.client import ApiRequest, answer_failure, region_of
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    BusyError,
    ModelFailedError,
    RequestError,
    ServiceRefusedError,
    UnknownOutcomeError,
)
from hypothesis import given
from hypothesis import strategies as st

URL = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod/"


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("321", {"items": "101,131"}, "321?items=101%2C131"),
        ("/ratings/321/", None, "ratings/321"),
        (["a/b", "c d"], {}, "a%2Fb/c%20d"),
        ("", {"a": [1, 2], "b": None, "c": True}, "?a=1&a=2&c=true"),
        ("~x", {"é": "&="}, "~x?%C3%A9=%26%3D"),
    ],
)
def test_everything_but_unreserved_characters_is_encoded(path: Any, query: Any, expected: str) -> None:
    slash = "" if expected.startswith("?") else "/"
    assert ApiRequest(URL, path, query).full_url() == URL.rstrip("/") + slash + expected


@pytest.mark.parametrize(
    "path", [["..", "dev"], "a/./b", ["users", "", "items"], "users//items", ["a", None]]
)
def test_a_segment_that_would_change_the_route_is_refused(path: Any) -> None:
    with pytest.raises(RequestError, match="path, segment"):
        ApiRequest(URL, path).full_url()


SEGMENT = st.text(min_size=1).filter(lambda text: text not in (".", ".."))


@given(st.lists(SEGMENT, max_size=3), st.dictionaries(st.text(min_size=1), st.text(), max_size=3))
def test_what_goes_in_comes_out_at_the_gateway(path: list[str], query: dict[str, str]) -> None:
    parts = urlsplit(ApiRequest(URL, path, query).full_url())
    assert [unquote(part) for part in parts.path.split("/")[2:]] == path
    assert dict(parse_qsl(parts.query, keep_blank_values=True)) == query


@pytest.mark.parametrize("url", ["", "abc", "ftp://x/y", "https://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match="url"):
        ApiRequest(url).full_url()


def test_another_method_is_refused() -> None:
    with pytest.raises(RequestError, match="method"):
        ApiRequest(URL, method="PUT").full_url()


def test_a_root_without_a_stage_has_a_path() -> None:
    assert ApiRequest("https://example.com").full_url() == "https://example.com/"


def test_the_region_is_in_the_host_unless_the_domain_is_ones_own() -> None:
    assert region_of(URL) == "eu-west-1"
    assert region_of("https://api.example.com/prod") is None


def failure(status: int, body: Any = None, kind: str = "X", quote: bool = True) -> Any:
    text = json.dumps(body if body is not None else {"message": "why"}).encode()
    headers = {"x-amzn-errortype": kind, "x-amzn-requestid": "r1"}
    return answer_failure(status, headers, text, quote_message=quote)


@pytest.mark.parametrize(
    ("status", "kind", "error_class", "retryable"),
    [
        (400, "BadRequestException", ServiceRefusedError, False),
        (403, "InvalidSignatureException", AccessDeniedError, False),
        (404, "X", ServiceRefusedError, False),
        (413, "X", ServiceRefusedError, False),
        (415, "X", ServiceRefusedError, False),
        (424, "X", ModelFailedError, False),
        (429, "TooManyRequestsException", BusyError, True),
        (429, "LimitExceededException", ServiceRefusedError, False),
        (500, "X", UnknownOutcomeError, True),
        (503, "X", BusyError, True),
        (504, "X", UnknownOutcomeError, True),
    ],
)
def test_each_status_has_its_error(status: int, kind: str, error_class: type, retryable: bool) -> None:
    error = failure(status, kind=kind)
    assert type(error) is error_class
    assert (error.retryable, error.code, error.request_id) == (retryable, kind, "r1")
    assert "why" in str(error)


def test_a_good_answer_is_no_failure() -> None:
    assert failure(200) is None


def test_a_message_is_quoted_only_if_it_may_be() -> None:
    assert "why" not in str(failure(424, quote=False))
    assert "why" not in str(failure(400, quote=False))


def test_a_slow_model_is_told_of_the_limit() -> None:
    assert "29 s" in failure(504).hint


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
def test_a_body_without_a_message_is_no_trouble(body: bytes) -> None:
    error = answer_failure(500, {}, body, quote_message=True)
    assert isinstance(error, UnknownOutcomeError)
    assert error.code == "500"
