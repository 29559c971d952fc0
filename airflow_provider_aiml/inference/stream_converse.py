"""The events of ConverseStream, put together to what Converse would have answered.

What has no place in the answer is an error and never dropped: an event, a delta or a member of one that this
release does not know would be a part of the answer that is lost.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.exceptions import ResponseError
from airflow_provider_aiml.inference.stream_family import MISSHAPEN, WHOLE, tool_input
from airflow_provider_aiml.inference.stream_text import join_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ConverseAssembly"]

Members = dict[str, Any]

_PARTS = {
    "text": None,
    "citation": None,
    "toolUse": {"input"},
    "toolResult": {"text", "json"},
    "reasoningContent": {"text", "signature", "redactedContent"},
    "image": {"source", "error"},
}
"""The deltas of a content block, and of those that are structures the members."""


@dataclass(slots=True)
class _Block:
    """One content block as it comes.

    :param start: the members of its ``contentBlockStart``, by kind.
    :param deltas: its deltas, by kind.
    """

    start: dict[str, Members] = field(default_factory=dict)
    deltas: dict[str, list[Any]] = field(default_factory=dict)

    def whole(self, *, strict: bool) -> Members:
        kinds = {*self.start, *self.deltas}
        if kinds <= {"text", "citation"}:
            return _text(self.deltas.get("text", []), self.deltas.get("citation", []))
        if len(kinds) > 1:
            raise ResponseError(
                f"A content block of the stream is of several kinds: {', '.join(sorted(kinds))}"
            )
        kind = kinds.pop()
        start, deltas = self.start.get(kind, {}), self.deltas.get(kind, [])
        if kind == "toolUse":
            return {kind: _tool_use(start, deltas, strict=strict)}
        return {kind: _BUILDERS[kind](start, deltas)}


class ConverseAssembly:
    """Takes events one by one, and gives the answer.

    :param operation: the operation, for errors. Default: ``ConverseStream``.
    """

    def __init__(self, operation: str = "ConverseStream") -> None:
        self._operation = operation
        self._role: str | None = None
        self._blocks: dict[int, _Block] = {}
        self._stop: Members | None = None
        self._metadata: Members | None = None
        self._take: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "messageStart": self._message_start,
            "contentBlockStart": self._block_start,
            "contentBlockDelta": self._block_delta,
            "contentBlockStop": self._block_stop,
            "messageStop": self._message_stop,
            "metadata": self._take_metadata,
        }

    def add(self, event: Mapping[str, Any]) -> int:
        """Take the next event.

        :param event: as botocore gives it: ``{"contentBlockDelta": {…}}``.
        :return: the size of what it said, in bytes of text, of a tool's input or of an image.
        :raises ResponseError: it is of no kind that is known, or out of its order.
        """
        for name, members in event.items():
            if name not in self._take:
                raise ResponseError(f"{self._operation}: the stream holds an event that is not known: {name}")
            if self._role is None and name != "messageStart":
                raise ResponseError(f"{self._operation}: the stream begins with {name}")
            self._take[name](members)
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        return _size(delta)

    def result(self, *, counted: bool = True) -> Members:
        """Give the members that Converse would have answered.

        :param counted: whether the stream has to tell its tokens at the end. Default: True.
        :raises ResponseError: the stream has not come to its end, or a tool's input is not JSON.
        """
        missing = [
            name
            for name, found in (("messageStop", self._stop), ("metadata", self._metadata))
            if found is None and (counted or name != "metadata")
        ]
        if missing or self._stop is None:
            raise ResponseError(
                f"{self._operation}: the stream ended before {missing[0]}", code="StreamCut", retryable=True
            )
        strict = self._stop.get("stopReason") in WHOLE
        return {**self._message(strict=strict), **self._stop, **(self._metadata or {})}

    def partial(self) -> Members:
        """Give what came so far, in the same shape; without ``stopReason`` or ``usage`` where they lack."""
        try:
            message = self._message(strict=False)
        except (ResponseError, *MISSHAPEN):
            message = {"output": {"blocks": [_as_it_came(block) for block in self._blocks.values()]}}
        return {**message, **(self._stop or {}), **(self._metadata or {})}

    @property
    def usage(self) -> Mapping[str, int]:
        """The tokens, once the stream has told of them."""
        return (self._metadata or {}).get("usage") or {}

    def _message(self, *, strict: bool) -> Members:
        blocks = [self._blocks[index].whole(strict=strict) for index in sorted(self._blocks)]
        return {"output": {"message": {"role": self._role, "content": blocks}}}

    def _message_start(self, members: Mapping[str, Any]) -> None:
        if self._role is not None:
            raise ResponseError(f"{self._operation}: the stream begins a second message")
        self._role = str(members.get("role", "assistant"))

    def _block(self, members: Mapping[str, Any]) -> _Block:
        return self._blocks.setdefault(int(members.get("contentBlockIndex", 0)), _Block())

    def _block_start(self, members: Mapping[str, Any]) -> None:
        start = members.get("start") or {}
        for kind in start:
            if kind not in _BUILDERS:
                raise self._unknown("a content block", kind, start)
        block = self._block(members)
        block.start.update({kind: dict(start[kind]) for kind in start})

    def _block_delta(self, members: Mapping[str, Any]) -> None:
        delta = members.get("delta") or {}
        if not delta:
            raise ResponseError(f"{self._operation}: the stream holds a delta without content")
        block = self._block(members)
        for kind, said in delta.items():
            if kind not in _PARTS:
                raise self._unknown("a delta", kind, delta)
            if said is None:
                continue
            known = _PARTS[kind]
            for part in said if isinstance(said, list) else [said]:
                if known is not None and not (part and set(part) <= known):
                    lost = next(iter(set(part) - known), "nothing")
                    raise self._unknown(f"a delta of {kind}", lost, part)
            block.deltas.setdefault(kind, []).append(said)

    def _block_stop(self, members: Mapping[str, Any]) -> None:
        self._block(members)  # A block of empty text has no other event.

    def _message_stop(self, members: Mapping[str, Any]) -> None:
        self._stop = dict(members)

    def _take_metadata(self, members: Mapping[str, Any]) -> None:
        self._metadata = dict(members)

    def _unknown(self, what: str, kind: str, members: Mapping[str, Any]) -> ResponseError:
        """Name what is not known; botocore says so of members that are new to it, too."""
        told = members.get("SDK_UNKNOWN_MEMBER")
        name = told.get("name", kind) if isinstance(told, dict) else kind
        return ResponseError(
            f"{self._operation}: the stream holds {what} that is not known: {name}",
            hint="a newer release of botocore, or of this provider, may know it; stream=False goes without",
        )


def _joined(pieces: list[Any]) -> Any:
    """Join pieces of text, or of bytes."""
    return b"".join(pieces) if pieces and isinstance(pieces[0], bytes) else join_text(pieces)


def _members(deltas: list[Any], name: str) -> list[Any]:
    return [delta[name] for delta in deltas if name in delta]


def _text(texts: list[str], citations: list[Any]) -> Members:
    if citations:
        return {"citationsContent": {"content": [{"text": join_text(texts)}], "citations": citations}}
    return {"text": join_text(texts)}


def _tool_use(start: Members, deltas: list[Any], *, strict: bool = False) -> Members:
    return {**start, "input": tool_input(join_text(_members(deltas, "input")), strict=strict)}


def _tool_result(start: Members, deltas: list[Any]) -> Members:
    """Join the texts of deltas that follow each other; those of one delta are blocks of their own."""
    content: list[Members] = []
    for delta in deltas:
        for number, part in enumerate(delta):
            if number == 0 and "text" in part and content and "text" in content[-1]:
                content[-1] = {"text": content[-1]["text"] + part["text"]}
            else:
                content.append(dict(part))
    return {**start, "content": content}


def _reasoning(start: Members, deltas: list[Any]) -> Members:
    redacted = _members(deltas, "redactedContent")
    text: Members = {"text": join_text(_members(deltas, "text"))}
    if signature := _members(deltas, "signature"):
        text["signature"] = join_text(signature)
    if not redacted:
        return {**start, "reasoningText": text}
    if text != {"text": ""}:
        raise ResponseError("A content block of the stream is reasoning both open and redacted")
    return {**start, "redactedContent": _joined(redacted)}


def _image(start: Members, deltas: list[Any]) -> Members:
    image = dict(start)
    for delta in deltas:
        source = delta.get("source") or {}
        if "bytes" in source:
            before = image.get("source", {}).get("bytes")
            image["source"] = {"bytes": source["bytes"] if before is None else before + source["bytes"]}
        elif source:
            image["source"] = source
        if "error" in delta:
            image["error"] = delta["error"]
    return image


_BUILDERS: dict[str, Callable[[Members, list[Any]], Members]] = {
    "toolUse": _tool_use,
    "toolResult": _tool_result,
    "reasoningContent": _reasoning,
    "image": _image,
}


def _as_it_came(block: _Block) -> Members:
    return {"start": block.start, "deltas": block.deltas}


def _size(delta: Mapping[str, Any]) -> int:
    """Count the bytes of content in a delta."""
    pending: list[Any] = list(delta.values())
    size = 0
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, (str, bytes)):
            size += len(value.encode("utf-8", "replace") if isinstance(value, str) else value)
    return size
