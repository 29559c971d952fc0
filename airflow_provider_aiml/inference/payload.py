"""Bodies by content type: values to the bytes that a model gets, and its answer's bytes to values.

================================ ========================================= ================
content type                     to send                                   answer
================================ ========================================= ================
``application/json``, ``*+json`` JSON's own types, or text that is JSON    the value
``application/jsonlines``        a list of records, one dict, or text      list
``text/csv``                     lists or dicts in a list, text, a number  list of rows
``text/*``                       text                                      text
``application/x-npy``            an array or a nested list (extra numpy)   nested list
anything else                    text, unless it is an image, sound, film  base64
================================ ========================================= ================

JSON lines also go by ``x-jsonlines``, ``jsonl``, ``x-jsonl``, ``ndjson`` and ``x-ndjson``. Bytes, binary
files and paths are sent as they are under any type. Text is never encoded twice: under a JSON type it has to
be JSON already, as a rendered template is, so a bare JSON string is sent as ``json.dumps(text)``.
``; charset=`` is honoured both ways, and all is UTF-8 without it; ``; header=absent`` leaves out the line of
names when dicts become CSV.

No error holds a word of a payload or an answer.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_aiml.exceptions import PayloadError, Problem, ResponseError
from airflow_provider_aiml.inference import csv_text, json_text, npy
from airflow_provider_aiml.inference.arguments import NUMBER_HINT
from airflow_provider_aiml.inference.described import describe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Decoded", "Encoding", "decode", "encode", "load_payload", "media_type"]

Encoding = Literal["json", "jsonlines", "csv", "text", "npy", "base64"]

_JSON_LINES = frozenset(
    f"application/{name}" for name in ("jsonlines", "x-jsonlines", "jsonl", "x-jsonl", "ndjson", "x-ndjson")
)
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))', re.DOTALL)
_PLAIN_NUMBERS = 2**64
"""What a number has to be less than for Python's form of it to be one that every reader of CSV takes."""
_BINARY_TYPES = ("image/", "audio/", "video/")
_UNREADABLE = {
    "FileNotFoundError": "absent",
    "PermissionError": "not readable with this connection",
    "IsADirectoryError": "a folder",
}
_AS_IS = "bytes, a binary file, a path"
_ALLOWED: dict[Encoding, str] = {
    "json": f"JSON's own types, text that is JSON already, {_AS_IS}",
    "jsonlines": f"a list of records, one dict, text of JSON lines, {_AS_IS}",
    "csv": f"a list of lists, a list of dicts, text, {_AS_IS}",
    "text": f"text, {_AS_IS}",
    "npy": f"an array, a nested list, {_AS_IS}",
    "base64": _AS_IS,
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """An answer's value, and how it was had from the bytes.

    :param value: the value; None for an empty body that should be JSON or npy.
    :param encoding: the form; ``base64`` says that ``value`` is base64 text, as the content type is unknown.
    """

    value: Any
    encoding: Encoding


def media_type(content_type: str | None) -> tuple[str, dict[str, str]]:
    """Split a content type into its type, in lower case, and its parameters, names in lower case.

    :param content_type: for example ``text/csv; charset=latin-1``; None gives an empty type.
    """
    bare, _, _ = (content_type or "").partition(";")
    parameters = {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain.strip()
        for name, quoted, plain in _PARAMETER.findall(content_type or "")
    }
    return bare.strip().lower(), parameters


def encode(payload: Any, content_type: str) -> bytes:
    """Turn a payload into the bytes of a body, see the module's table.

    :param payload: what to send.
    :param content_type: as which.
    :raises PayloadError: the payload does not fit the content type; the message names place and type.
    """
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, (bytearray, memoryview)):
        return bytes(payload)
    bare, parameters = media_type(content_type)
    if callable(getattr(payload, "open", None)):
        return load_payload(payload, field="payload")
    if callable(getattr(payload, "read", None)):
        return encode(_read(payload), content_type)
    encoding = _encoding(bare)
    if encoding == "npy" and not isinstance(payload, str):
        return npy.to_npy(payload)
    text = payload if isinstance(payload, str) else _written(payload, encoding, content_type, parameters)
    if isinstance(payload, str):
        _check_text(payload, bare, encoding)
    return _to_bytes(text, parameters.get("charset") or "utf-8")


def decode(body: bytes, content_type: str | None) -> Decoded:
    """Turn the bytes of an answer into a value, see the module's table.

    :param body: all bytes of the answer; may be empty.
    :param content_type: what the service says it is; None where it says nothing.
    :raises ResponseError: the bytes are not what the content type says; they are kept in ``partial_body``.
    """
    bare, parameters = media_type(content_type)
    encoding = _encoding(bare)
    if encoding == "base64":
        return Decoded(base64.b64encode(body).decode("ascii"), encoding)
    try:
        if encoding == "npy":
            return Decoded(npy.from_npy(body) if body else None, encoding)
        text = _to_text(body, encoding, parameters.get("charset"))
        return Decoded(_READERS[encoding](text), encoding)
    except json_text.MalformedError as error:
        raise ResponseError(
            f"The answer of {len(body)} bytes came as {encoding}, but it is {error}",
            partial_body=body,
            hint="decode=False gives the bytes as they came, in base64.",
        ) from None
    except npy.NumpyMissingError:
        raise ResponseError(
            "The answer is an npy array, which cannot be read here", partial_body=body, hint=f"{npy.MISSING}."
        ) from None


def load_payload(path: Any, *, field: str = "payload_uri") -> bytes:
    """Read all of a file or object.

    :param path: anything with ``.open("rb")``: pathlib, Airflow's ObjectStoragePath, universal_pathlib.
    :param field: the argument that an error names.
    :raises PayloadError: it does not exist, may not be read, or is a folder.
    """
    try:
        with path.open("rb") as stream:
            body = stream.read()
    except Exception as error:  # each store has errors of its own
        kind = type(error).__name__
    else:
        return bytes(body)
    problem = Problem(
        field,
        _UNREADABLE.get(kind, f"unreadable ({kind})"),
        "an existing object that the connection may read",
    )
    raise PayloadError("The payload cannot be read", problems=(problem,), retryable=kind not in _UNREADABLE)


def _encoding(bare: str) -> Encoding:
    if bare in ("application/json", "text/json") or bare.endswith("+json"):
        return "json"
    if bare in _JSON_LINES:
        return "jsonlines"
    if bare in ("text/csv", "application/csv"):
        return "csv"
    if bare == "application/x-npy":
        return "npy"
    return "text" if bare.startswith("text/") else "base64"


def _written(payload: Any, encoding: Encoding, content_type: str, parameters: dict[str, str]) -> str:
    if encoding == "json":
        return json_text.to_json(payload)
    if encoding == "jsonlines" and (isinstance(payload, dict) or json_text.is_list(payload)):
        return json_text.to_json_lines(payload)
    if encoding == "csv" and json_text.is_list(payload):
        return csv_text.to_csv(payload, header=parameters.get("header", "").lower() != "absent")
    number = isinstance(payload, (int, float)) and not isinstance(payload, bool)
    if encoding == "csv" and number and abs(payload) < _PLAIN_NUMBERS:
        return str(payload)
    raise _unfit(payload, encoding, NUMBER_HINT if encoding == "text" and number else None)


def _check_text(text: str, bare: str, encoding: Encoding) -> None:
    if encoding == "json" and not json_text.is_json(text):
        raise _unfit(text, encoding, "To send a bare JSON string, pass json.dumps(text).")
    if encoding == "jsonlines" and not json_text.is_json_lines(text):
        raise _unfit(text, encoding, "Each line that is not blank has to be JSON.")
    if encoding == "npy" or bare.startswith(_BINARY_TYPES):
        raise _unfit(text, encoding)


def _unfit(payload: Any, encoding: Encoding, hint: str | None = None) -> PayloadError:
    found = describe(payload) + (f" that is not {encoding}" if hint and isinstance(payload, str) else "")
    problem = Problem("payload", found, _ALLOWED[encoding])
    return PayloadError("The payload does not fit its content_type", problems=(problem,), hint=hint)


def _read(stream: Any) -> bytes | str:
    try:
        content = stream.read()
    except (OSError, ValueError):
        problem = Problem("payload", "a file that cannot be read", "an open file")
        raise PayloadError("The payload cannot be read", problems=(problem,)) from None
    if isinstance(content, (bytes, bytearray, str)):
        return content if isinstance(content, str) else bytes(content)
    problem = Problem("payload", f"a file that reads as {describe(content)}", "a file of bytes or text")
    raise PayloadError("The payload cannot be read", problems=(problem,))


def _to_bytes(text: str, charset: str) -> bytes:
    try:
        return text.encode(charset)
    except (UnicodeError, LookupError, ValueError):
        found = "text that the charset of content_type cannot encode, or a charset that is not known"
        problem = Problem("payload", found, "text within the charset; without one it is UTF-8")
        raise PayloadError("The payload cannot be encoded", problems=(problem,)) from None


def _to_text(body: bytes, encoding: Encoding, charset: str | None) -> str:
    guessed = json.detect_encoding(body) if encoding == "json" else "utf-8"
    try:
        return body.decode(charset or guessed).removeprefix("\ufeff")
    except (UnicodeError, LookupError, ValueError):
        named = "the charset of its content type" if charset else "UTF-8"
        raise json_text.MalformedError(f"not text in {named}") from None


def _json_or_nothing(text: str) -> Any:
    return json_text.from_json(text) if text else None


_READERS: dict[Encoding, Callable[[str], Any]] = {
    "json": _json_or_nothing,
    "jsonlines": json_text.from_json_lines,
    "csv": csv_text.from_csv,
    "text": str,
}
