"""Bodies by content type: what is sent, what is refused, and what an answer becomes."""

from __future__ import annotations

import base64
import csv
import datetime
import decimal
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from airflow_provider_aiml.exceptions import PayloadError, ResponseError
from airflow_provider_aiml.inference.payload import Decoded, decode, encode, load_payload, media_type

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary7f3a"
JSON_LINES_TYPES = [
    f"application/{name}" for name in ("jsonlines", "x-jsonlines", "jsonl", "x-jsonl", "ndjson", "x-ndjson")
]


def refused(payload: Any, content_type: str) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        encode(payload, content_type)
    assert CANARY not in str(caught.value)
    assert CANARY not in str(caught.value.to_dict())
    return caught.value


def malformed(body: bytes, content_type: str) -> ResponseError:
    with pytest.raises(ResponseError) as caught:
        decode(body, content_type)
    assert CANARY not in str(caught.value)
    assert caught.value.partial_body is body
    assert caught.value.may_have_been_billed is True
    assert caught.value.retryable is False
    return caught.value


@pytest.mark.parametrize(
    ("content_type", "parts"),
    [
        (
            "text/csv; header=present; Charset=latin-1",
            ("text/csv", {"header": "present", "charset": "latin-1"}),
        ),
        ("Application/JSON", ("application/json", {})),
        ('text/plain; charset="utf-8"; x="a\\";b"', ("text/plain", {"charset": "utf-8", "x": 'a";b'})),
        (" text/plain ;charset = utf-8 ", ("text/plain", {"charset": "utf-8"})),
        ("text/plain; nothing; charset=", ("text/plain", {"charset": ""})),
        ("", ("", {})),
        (None, ("", {})),
    ],
)
def test_a_content_type_is_split_into_type_and_parameters(content_type: str | None, parts: Any) -> None:
    assert media_type(content_type) == parts


@pytest.mark.parametrize(
    ("payload", "content_type", "body"),
    [
        ({"a": [1, 2.5, None, True, "é"]}, "application/json", '{"a":[1,2.5,null,true,"é"]}'.encode()),
        ((1, 2), "application/json; charset=utf-8", b"[1,2]"),
        ([], "application/vnd.model+json", b"[]"),
        (None, "text/json", b"null"),
        ({"a": "é"}, "application/json; charset=latin-1", '{"a":"é"}'.encode("latin-1")),
        ([{"a": 1}, [2]], "application/jsonlines", b'{"a":1}\n[2]\n'),
        ({"a": 1}, "application/jsonlines", b'{"a":1}\n'),
        ([], "application/jsonlines", b""),
        (["a\u2028b\n\x85"], "application/x-ndjson", b'["a'[1:] + b'\\u2028b\\n\\u0085"\n'),
        ([[1, 2.5], ["a,b", None]], "text/csv", b'1,2.5\n"a,b",\n'),
        ([(True, 'say "x"')], "text/csv", b'True,"say ""x"""\n'),
        ([{"a": 1, "b": 2}, {"b": 4, "a": 3}], "text/csv", b"a,b\n1,2\n3,4\n"),
        ([{"a": 1, "b": 2}], "text/csv; header=absent", b"1,2\n"),
        ([{"a": 1}], "text/csv; header=present", b"a\n1\n"),
        ([], "text/csv", b""),
        (
            [[decimal.Decimal("1.10"), np.float64(0.5), np.int64(3), np.float32(0.5)]],
            "text/csv",
            b"1.10,0.5,3,0.5\n",
        ),
        ([["é"]], "text/csv; charset=latin-1", "é\n".encode("latin-1")),
        ("plain é", "text/plain", "plain é".encode()),
        (123, "text/csv", b"123"),
        (1.5, "text/csv", b"1.5"),
        ("é", "text/plain; charset=latin-1", b"\xe9"),
        ("a=1&b=2", "application/x-www-form-urlencoded", b"a=1&b=2"),
    ],
)
def test_a_payload_becomes_the_bytes_of_its_content_type(
    payload: Any, content_type: str, body: bytes
) -> None:
    assert encode(payload, content_type) == body


@pytest.mark.parametrize("content_type", JSON_LINES_TYPES)
def test_every_spelling_of_json_lines_is_known(content_type: str) -> None:
    assert encode([1, 2], content_type) == b"1\n2\n"
    assert decode(b"1\n2\n", content_type) == Decoded([1, 2], "jsonlines")


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ('{"a": 1}', "application/json"),
        (' [1e5, "\\u00e9"]\n', "application/json"),
        ("12", "application/json"),
        ("9" * 5000, "application/json"),
        ('{"a": 1}\n\n[2]', "application/jsonlines"),
        ("a,b\n1,2\n", "text/csv"),
    ],
)
def test_text_that_is_in_the_form_already_is_sent_as_it_is(text: str, content_type: str) -> None:
    assert encode(text, content_type) == text.encode()


def test_a_bare_json_string_is_sent_as_json_dumps_of_it() -> None:
    error = refused(f"{CANARY} is no JSON", "application/json")
    assert "json.dumps(text)" in str(error)
    assert encode(json.dumps("hello"), "application/json") == b'"hello"'


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/csv", "application/x-npy", "image/png", "x"]
)
def test_bytes_files_and_paths_are_sent_as_they_are_under_any_type(content_type: str, tmp_path: Path) -> None:
    body = b"\x00\xff{not json"
    assert encode(body, content_type) is body
    assert encode(bytearray(body), content_type) == body
    assert encode(memoryview(body), content_type) == body
    assert encode(io.BytesIO(body), content_type) == body
    (tmp_path / "body").write_bytes(body)
    assert encode(tmp_path / "body", content_type) == body


def test_a_text_file_is_treated_as_its_text() -> None:
    assert encode(io.StringIO('{"a": 1}'), "application/json") == b'{"a": 1}'
    refused(io.StringIO(CANARY), "application/json")


class Reads:
    def __init__(self, content: Any) -> None:
        self.content = content

    def read(self) -> Any:
        return self.content


def test_a_file_that_cannot_be_read_is_a_payload_error() -> None:
    closed = io.BytesIO(b"")
    closed.close()
    assert "an open file" in str(refused(closed, "text/csv"))
    assert "reads as a list of 1" in str(refused(Reads([CANARY]), "text/csv"))
    assert encode(Reads(bytearray(b"ab")), "text/csv") == b"ab"


@pytest.mark.parametrize(
    ("payload", "field", "found"),
    [
        ({CANARY: datetime.datetime(2026, 1, 1)}, "payload[value 0]", "a datetime.datetime"),
        ({"x": 1, CANARY: [CANARY, decimal.Decimal(1)]}, "payload[value 1][1]", "a decimal.Decimal"),
        ([np.int64(1)], "payload[0]", "a numpy.int64"),
        (np.zeros(3), "payload", "a numpy.ndarray"),
        ({CANARY}, "payload", "a set of 1"),
        ({"a": b"raw"}, "payload[value 0]", "3 bytes"),
        ([1.0, float("nan")], "payload[1]", "a float that is not finite"),
        ({"a": float("-inf")}, "payload[value 0]", "a float that is not finite"),
        ({(CANARY, 1): 1}, "payload[key 0]", "a tuple of 2"),
    ],
)
def test_what_json_has_no_form_for_is_named_by_place_and_type(payload: Any, field: str, found: str) -> None:
    error = refused(payload, "application/json")
    assert [(problem.field, problem.found) for problem in error.problems] == [(field, found)]
    assert ".tolist()" in str(error)


def test_what_contains_itself_or_is_nested_too_deeply_is_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    for payload in (cycle, deep, {"a": cycle}):
        assert "nested deeper than 500 levels" in str(refused(payload, "application/json"))


class Gathered(Sequence[Any]):
    """As Airflow gives what mapped tasks returned: a sequence that fetches its items."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __repr__(self) -> str:
        return f"Gathered{self.items}"


@pytest.mark.parametrize(
    ("payload", "content_type", "body"),
    [
        (Gathered([1, 2], [3, 4]), "application/json", b"[[1,2],[3,4]]"),
        ({"instances": Gathered(Gathered(1), "a")}, "application/json", b'{"instances":[[1],"a"]}'),
        (Gathered({"a": 1}, Gathered(2)), "application/jsonlines", b'{"a":1}\n[2]\n'),
        (Gathered(Gathered(1, "a"), [2, "b"]), "text/csv", b"1,a\n2,b\n"),
        (Gathered({"a": 1}, {"a": 2}), "text/csv", b"a\n1\n2\n"),
        (Gathered(), "text/csv", b""),
    ],
    ids=str,
)
def test_what_mapped_tasks_gave_is_a_list(payload: Any, content_type: str, body: bytes) -> None:
    assert encode(payload, content_type) == body


@pytest.mark.parametrize("content_type", ["application/json", "application/jsonlines"])
def test_a_fault_in_what_mapped_tasks_gave_is_named_by_place(content_type: str) -> None:
    with pytest.raises(PayloadError) as caught:
        encode(Gathered([1], [object()]), content_type)

    assert caught.value.problems[0].field == "payload[1][0]"


def test_a_row_that_native_rendering_made_a_tuple_of_is_told_from_a_list_of_rows() -> None:
    assert "[[1, 2, 3]]" in str(refused((1, 2, 3), "text/csv").hint)


@pytest.mark.parametrize("number", [3.1, 491701234567])
def test_a_number_is_no_text_for_native_rendering_may_have_changed_it(number: float) -> None:
    assert "3.10 is 3.1" in str(refused(number, "text/plain").hint)


def test_an_int_of_too_many_digits_is_refused() -> None:
    assert "payload: is not JSON" in str(refused(10**5000, "application/json"))


def test_a_faulty_record_of_json_lines_is_named() -> None:
    assert (
        refused([1, {CANARY: {CANARY}}], "application/jsonlines").problems[0].field == "payload[1][value 0]"
    )
    assert "not blank has to be JSON" in str(refused(f"1\n{CANARY}", "application/jsonlines"))


@pytest.mark.parametrize(
    ("rows", "field", "found"),
    [
        ([1, 2], "payload[0]", "an int"),
        ([[1], CANARY], "payload[1]", "text of 10 characters"),
        ([[1], {"a": 1}], "payload[1]", "a dict of 1"),
        ([{"a": 1}, [1]], "payload[1]", "a list of 1"),
        ([{"a": 1}, {CANARY: 1}], "payload[1]", "a dict of 1 with other keys than the first row"),
        ([[1, [CANARY]]], "payload[0][1]", "a list of 1"),
        ([[b"x"]], "payload[0][0]", "1 bytes"),
        ([[datetime.date(2026, 1, 1)]], "payload[0][0]", "a datetime.date"),
        ([{(CANARY,): 1}], "payload[0][0]", "a tuple of 1"),
    ],
)
def test_a_row_or_cell_that_csv_has_no_form_for_is_named(rows: Any, field: str, found: str) -> None:
    error = refused(rows, "text/csv")
    assert [(problem.field, problem.found) for problem in error.problems] == [(field, found)]


@pytest.mark.parametrize(
    ("payload", "content_type", "allowed"),
    [
        ({"a": CANARY}, "text/plain", "text, bytes"),
        ([1], "text/plain", "text, bytes"),
        (True, "text/plain", "text, bytes"),
        (float("nan"), "text/plain", "text, bytes"),
        (2**64, "text/plain", "text, bytes"),
        ([5], "text/html", "text, bytes"),
        (5, "application/jsonlines", "a list of records"),
        ({"a": 1}, "text/csv", "a list of lists"),
        (None, "text/csv", "a list of lists"),
        ({"a": 1}, "application/octet-stream", "bytes"),
        ([1], "image/png", "bytes"),
        (CANARY, "image/png", "bytes"),
        (CANARY, "audio/wav", "bytes"),
        (CANARY, "application/x-npy", "an array"),
        ({"a": 1}, "", "bytes"),
    ],
)
def test_a_payload_that_does_not_fit_its_content_type_is_refused(
    payload: Any, content_type: str, allowed: str
) -> None:
    error = refused(payload, content_type)
    assert error.problems[0].field == "payload"
    assert error.problems[0].allowed.startswith(allowed)


@pytest.mark.parametrize(
    ("text", "charset"),
    [("é", "ascii"), ("\ud800", "utf-8"), ("a", "no-such"), ("a", "base64"), ("a", "a\0b")],
)
def test_text_that_its_charset_cannot_hold_is_refused(text: str, charset: str) -> None:
    assert "charset" in str(refused(text, f"text/plain; charset={charset}"))


@pytest.mark.parametrize(
    ("body", "content_type", "value", "encoding"),
    [
        (b'{"a": [1, 2.5, null]}', "application/json", {"a": [1, 2.5, None]}, "json"),
        ('{"a": "é"}'.encode(), "application/vnd.x+json; charset=UTF-8", {"a": "é"}, "json"),
        (b"\xef\xbb\xbf[1]", "application/json", [1], "json"),
        ("[1]".encode("utf-16"), "application/json", [1], "json"),
        (b"\xef\xbb\xbf[1]", "application/json; charset=utf-8", [1], "json"),
        (b"", "application/json", None, "json"),
        (b'{"a":1}\n\n2\r\n', "application/jsonlines", [{"a": 1}, 2], "jsonlines"),
        (b"", "application/jsonlines", [], "jsonlines"),
        ('"a\u2028b"\n'.encode(), "application/jsonlines", ["a\u2028b"], "jsonlines"),
        (b'a,"b,c"\r\n1,\n', "text/csv", [["a", "b,c"], ["1", ""]], "csv"),
        (b'"two\nlines",x', "text/csv; charset=utf-8", [["two\nlines", "x"]], "csv"),
        (b"\xef\xbb\xbfa\n", "text/csv", [["a"]], "csv"),
        (b"", "text/csv", [], "csv"),
        (b"0.5\n0.25\n", "text/csv", [["0.5"], ["0.25"]], "csv"),
        ("grün".encode(), "text/plain", "grün", "text"),
        (b"gr\xfcn", "text/html; charset=latin-1", "grün", "text"),
        (b"", "text/plain", "", "text"),
        (b"\x00\xff", "application/octet-stream", "AP8=", "base64"),
        (b"abc", None, "YWJj", "base64"),
        (b"abc", "", "YWJj", "base64"),
        (b"", "image/png", "", "base64"),
        (b"", "application/x-npy", None, "npy"),
    ],
)
def test_an_answer_becomes_a_value_by_its_content_type(
    body: bytes, content_type: str | None, value: Any, encoding: str
) -> None:
    assert decode(body, content_type) == Decoded(value, encoding)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "content_type", "why"),
    [
        (b'{"a": canary7f3a}', "application/json", "not JSON at line 1, column 7"),
        (b'{"a": "canary7f3a', "application/json", "not JSON at line 1"),
        (b'["canary7f3a", NaN]', "application/json", "JSON with NaN"),
        (b"[-Infinity]", "application/json", "JSON with -Infinity"),
        (b"[" * 100_000, "application/json", "nested too deeply"),
        (b"9" * 5000, "application/json", "an int of too many digits"),
        (b'"canary7f3a\xff"', "application/json", "not text in UTF-8"),
        (b"   ", "application/json", "not JSON"),
        (b"1\ncanary7f3a\n", "application/jsonlines", "JSON Lines whose line 2 is not JSON"),
        (b"\n[NaN]", "application/jsonlines", "line 2 is JSON with NaN"),
        (b'a,"canary7f3a', "text/csv", "a quote out of place"),
        (b'"canary7f3a"x', "text/csv", "a quote out of place"),
        (b"canary7f3a\xff", "text/plain", "not text in UTF-8"),
        (b"\xff", "text/plain; charset=ascii", "not text in the charset of its content type"),
        (b"a", "text/plain; charset=no-such", "not text in the charset"),
        (b"a", "text/csv; charset=zip", "not text in the charset"),
        (b"canary7f3a", "application/x-npy", "not an npy array"),
    ],
)
def test_a_malformed_answer_is_typed_kept_and_not_quoted(body: bytes, content_type: str, why: str) -> None:
    error = malformed(body, content_type)
    assert why in str(error)
    assert f"{len(body)} bytes" in str(error)
    assert "may have been billed" in str(error)
    assert "decode=False" in str(error)


def test_a_long_cell_is_read() -> None:
    cell = "x" * (csv.field_size_limit() + 1)
    assert decode(cell.encode(), "text/csv").value == [[cell]]


def test_an_object_is_loaded_whole(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"1,2\r\n")
    assert load_payload(tmp_path / "rows.csv") == b"1,2\r\n"


class Unreadable:
    def open(self, mode: str) -> Any:
        raise {"rb": PermissionError(CANARY)}[mode]


class Broken:
    def open(self, mode: str) -> Any:
        raise TimeoutError(CANARY)


def test_an_object_that_cannot_be_read_is_a_payload_error(tmp_path: Path) -> None:
    for path, found in [
        (tmp_path / "absent", "payload_uri: is absent"),
        (tmp_path, "payload_uri: is a folder"),
        (tmp_path / "a\0b", "unreadable (ValueError)"),
        (Unreadable(), "not readable with this connection"),
        (Broken(), "unreadable (TimeoutError)"),
    ]:
        with pytest.raises(PayloadError) as caught:
            load_payload(path)
        assert found in str(caught.value)
        assert CANARY not in str(caught.value)


def test_the_error_names_the_argument_that_the_path_came_from(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent", "text/csv").problems[0].field == "payload"


def test_base64_of_an_unknown_type_gives_the_bytes_back() -> None:
    decoded = decode(bytes(range(256)), "application/x-unknown")
    assert base64.b64decode(decoded.value) == bytes(range(256))
