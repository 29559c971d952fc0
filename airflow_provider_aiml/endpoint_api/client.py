"""A call of a deployed API: its URL, strictly encoded, and what its answer means."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow_provider_aiml.endpoint_api.paths import split_path
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    BusyError,
    InferenceError,
    ModelFailedError,
    Problem,
    RequestError,
    ServiceRefusedError,
    UnknownOutcomeError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ApiRequest", "answer_failure", "region_of"]

_UNRESERVED = "-_.~"
_HOST = re.compile(r"[a-z0-9]+\.execute-api\.([a-z0-9-]+)\.[a-z0-9.-]+")
_LONGEST_QUOTE = 2048


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request of an API.

    :param url: the stage's URL, as the deploy operator gives it.
    :param path: below it: text, whose slashes separate segments, or the segments.
    :param query: parameters; a list gives a parameter several times, None leaves it out.
    :param method: GET or POST.
    """

    url: str
    path: str | Sequence[str] = ""
    query: Mapping[str, Any] | None = None
    method: str = "GET"

    def full_url(self) -> str:
        """Give the whole URL, with everything but unreserved characters encoded, as a signature needs it.

        :raises RequestError: the URL or the method is none, or a segment would lead to another route.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in ("https", "http") or not parts.netloc:
            problem = Problem("url", "no URL", "the stage's URL, https://…")
            raise RequestError("The API cannot be called", problems=(problem,))
        if self.method not in ("GET", "POST"):
            problem = Problem("method", repr(self.method), "GET or POST")
            raise RequestError("The API cannot be called", problems=(problem,))
        segments = [quote(segment, safe=_UNRESERVED) for segment in self._segments()]
        path = "/".join([parts.path.rstrip("/"), *segments]) or "/"
        query = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in self._pairs())
        return f"{parts.scheme}://{parts.netloc}{path}" + (f"?{query}" if query else "")

    def _segments(self) -> list[str]:
        """Give the segments; one that is empty would be missing, and dots are resolved on the way."""
        plain = split_path(self.path) if isinstance(self.path, str) else self.path
        segments = ["" if one is None else str(one) for one in plain]
        for number, segment in enumerate(segments, start=1):
            if segment in ("", ".", ".."):
                found = repr(segment) if segment else "empty"
                problem = Problem(f"path, segment {number}", found, "a text that is not empty, nor . or ..")
                raise RequestError("The API cannot be called", problems=(problem,))
        return segments

    def _pairs(self) -> list[tuple[str, Any]]:
        pairs = []
        for name, value in (self.query or {}).items():
            values = value if isinstance(value, list | tuple) else [value]
            pairs += [(name, one) for one in values if one is not None]
        return pairs


def _encoded(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return quote(text, safe=_UNRESERVED)


def region_of(url: str) -> str | None:
    """Give the region in an API's host; None for a domain of one's own."""
    found = _HOST.fullmatch((urlsplit(url).hostname or "").lower())
    return found[1] if found else None


def answer_failure(
    status: int, headers: Mapping[str, str], body: bytes, *, quote_message: bool
) -> InferenceError | None:
    """Say what an answer means; None for a good one.

    :param headers: by lower-case name.
    :param quote_message: put the API's message, at most 2 KB, into the error.
    """
    if 200 <= status < 300:
        return None
    message = _message(body) if quote_message else ""
    facts: dict[str, Any] = {
        "code": headers.get("x-amzn-errortype") or str(status),
        "request_id": headers.get("x-amzn-requestid"),
    }
    said = f" ({message})" if message else ""
    if status == 424:
        words = message or None
        return ModelFailedError("The model behind the API failed", model_message=words, **facts)
    if status == 403:
        hint = (
            "allow execute-api:Invoke on the API to the identity, sign with its region, or give the API key; "
            "an unknown path or method is 403, too"
        )
        return AccessDeniedError(f"The API refused the caller{said}", hint=hint, **facts)
    if status == 429 and "LimitExceeded" in facts["code"]:
        hint = "raise quota_limit, or wait for the next quota_period"
        return ServiceRefusedError(f"The API key's quota is used up{said}", hint=hint, **facts)
    if status in (429, 503):
        return BusyError(f"The API is throttled or its model not ready{said}", **facts)
    if status in (500, 502, 504):
        slow = "a model that takes over 29 s needs a raised quota and timeout"
        return UnknownOutcomeError(
            f"The API answered {status}{said}", hint=slow if status == 504 else None, **facts
        )
    return ServiceRefusedError(f"The API refused the request with {status}{said}", **facts)


def _message(body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    found = (document.get("message") or document.get("Message")) if isinstance(document, dict) else None
    return str(found)[:_LONGEST_QUOTE] if found else ""
