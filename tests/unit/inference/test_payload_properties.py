"""Whatever goes in comes back, and rubbish never raises anything but the two typed errors."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from airflow_provider_aiml.exceptions import PayloadError, ResponseError
from airflow_provider_aiml.inference.payload import decode, encode, media_type
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

CANARY = "canary7f3a"
TYPES = [
    "application/json",
    "application/jsonlines",
    "text/csv",
    "text/csv; header=absent; charset=utf-16",
    "text/plain",
    "text/plain; charset=latin-1",
    "application/x-npy",
    "application/octet-stream",
    "image/png",
]
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)
ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5),
        st.just(CANARY), st.datetimes(), st.decimals(), st.frozensets(st.just(CANARY)), st.just(object()),
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner, inner)
    | st.dictionaries(st.sampled_from([CANARY, "b", 3, None, (CANARY,)]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(JSON.filter(lambda value: not isinstance(value, str)))
def test_json_makes_the_round_trip(value: Any) -> None:
    assert decode(encode(value, "application/json"), "application/json").value == value


@given(JSON)
def test_text_that_is_json_is_never_encoded_again(value: Any) -> None:
    text = json.dumps(value)
    assert encode(text, "application/json") == text.encode()


@given(st.lists(JSON, max_size=5))
def test_json_lines_make_the_round_trip_and_hold_one_line_each(records: list[Any]) -> None:
    body = encode(records, "application/jsonlines")
    assert decode(body, "application/jsonlines").value == records
    assert len(body.decode().splitlines()) == len(records)


@given(st.lists(st.lists(TEXT, min_size=1, max_size=4), max_size=5), st.sampled_from(["utf-8", "utf-16"]))
def test_csv_makes_the_round_trip(rows: list[list[str]], charset: str) -> None:
    content_type = f"text/csv; charset={charset}"
    # A mark of byte order in front of all else is no part of the first cell.
    if rows and rows[0][0].startswith("\ufeff"):
        rows[0][0] = "x" + rows[0][0]
    assert decode(encode(rows, content_type), content_type).value == rows


@given(st.dictionaries(TEXT, st.none(), min_size=1, max_size=3), st.integers(1, 3))
def test_dicts_as_csv_hold_a_header_and_one_row_each(row: dict[str, None], count: int) -> None:
    decoded = decode(encode([row] * count, "text/csv"), "text/csv").value
    assert len(decoded) == count + 1


@given(
    npst.arrays(st.sampled_from([np.int32, np.float64, np.bool_, np.uint8]), npst.array_shapes(min_side=0))
)
def test_arrays_make_the_round_trip(array: Any) -> None:
    decoded = decode(encode(array, "application/x-npy"), "application/x-npy").value
    assert np.array_equal(np.array(decoded, dtype=array.dtype).reshape(array.shape), array, equal_nan=True)


@given(st.binary(max_size=60))
def test_bytes_of_no_known_type_make_the_round_trip(body: bytes) -> None:
    assert base64.b64decode(decode(body, "application/x-unknown").value) == body


def _decodes_or_says_so(body: bytes, content_type: str) -> None:
    error = None
    try:
        decode(body, content_type)
    except ResponseError as caught:
        error = caught
    assert error is None or (error.partial_body == body and CANARY not in str(error))


def _encoded_or_refused(payload: Any, content_type: str) -> bytes | PayloadError:
    try:
        return encode(payload, content_type)
    except PayloadError as error:
        return error


@given(st.binary(max_size=80), st.sampled_from(TYPES))
def test_rubbish_raises_nothing_but_a_response_error(rubbish: bytes, content_type: str) -> None:
    _decodes_or_says_so(rubbish + CANARY.encode(), content_type)


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_content_type_is_met(content_type: str, charset: str) -> None:
    media_type(content_type)
    _decodes_or_says_so(b"\xff[1,", content_type)
    _decodes_or_says_so(b"[1]", f"application/json; charset={charset}")


@settings(max_examples=200)
@given(st.data())
def test_a_changed_array_raises_nothing_but_a_response_error(data: st.DataObject) -> None:
    body = bytearray(encode([[1.0, 2.0], [3.0, 4.0]], "application/x-npy"))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    _decodes_or_says_so(bytes(body), "application/x-npy")


@settings(max_examples=300)
@given(ANYTHING, st.sampled_from(TYPES))
def test_any_payload_is_encoded_or_refused_without_its_words(payload: Any, content_type: str) -> None:
    outcome = _encoded_or_refused(payload, content_type)
    if isinstance(outcome, PayloadError):
        assert outcome.problems
        assert CANARY not in str(outcome) + str(outcome.to_dict())
    else:
        assert isinstance(outcome, bytes)


@pytest.mark.parametrize(
    "charset", ["idna", "punycode", "undefined", "rot13", "hex", "unicode_escape", "utf-7", "mbcs"]
)
def test_a_strange_charset_raises_nothing_but_typed_errors(charset: str) -> None:
    _decodes_or_says_so(b"\xff.\xfe..a" * 30, f"text/plain; charset={charset}")
    outcome = _encoded_or_refused("ü..a\udfff" * 30, f"text/plain; charset={charset}")
    assert isinstance(outcome, bytes) or "charset" in str(outcome)
