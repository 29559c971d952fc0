"""A conversation with a model: messages in, the extended history out.

Content blocks are kept as they are, whatever their kind. XCom holds JSON, so bytes in a block travel as
``{"$base64": "…"}`` and become bytes again on the way in.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from airflow_provider_aiml.exceptions import Problem, RequestError, ResponseError
from airflow_provider_aiml.inference.arguments import NUMBER_HINT

BYTES_KEY = "$base64"
UNSAID = "[no text]"
"""What stands in a conversation for an answer that holds nothing which can be sent."""
UNNAMED_TOOL = "unknown"
"""What a tool is called in a conversation that the model called by nothing."""
INVALID_INPUT = "invalid_input"
"""The key under which a conversation holds a tool's input that is no JSON object."""
_NOT_IN_A_TOOL_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_TOOL_NAME = 64
_SPEAKERS = {"user": "assistant", "assistant": "user"}
"""Who speaks after whom; messages of any other role (system, in newer models) stand outside the turns."""
_DOCUMENTS = frozenset({"input", "json"})
"""Members that hold JSON of a tool's or a model's own: no block, no bytes."""
Message = dict[str, Any]


def extend_history(history: Any, message: Any) -> list[Message]:
    """Give the messages to send: the history, then the user's new message.

    :param history: what an earlier turn returned as ``history``, or None.
    :param message: the new message's text, or its content blocks.
    :raises RequestError: a message is none, or the roles do not alternate.
    """
    return [*([] if history is None else check_history(history)), user_message(message)]


def user_message(message: Any) -> Message:
    """Give a message of the user, from its text or its content blocks.

    :raises RequestError: it is neither, or empty.
    """
    return {"role": "user", "content": _content_blocks(message, "message")}


def system_blocks(system: Any) -> list[dict[str, Any]] | None:
    """Give the system prompt as blocks, from text or from blocks.

    :raises RequestError: it is neither.
    """
    return None if system is None else _content_blocks(system, "system")


def message_text(message: Mapping[str, Any]) -> str:
    """Join the text of a message, cited or not; other blocks stay in ``message`` and ``history``."""
    return "".join(_text_of(block) for block in message["content"])


def _text_of(block: Mapping[str, Any]) -> str:
    if "text" in block:
        return str(block["text"])
    parts = _cited_parts(block)
    return "".join(str(part.get("text", "")) for part in parts or () if isinstance(part, Mapping))


def _cited_parts(block: Mapping[str, Any]) -> Sequence[Any] | None:
    """Give the texts that are cited in a block; None where its citations are none."""
    cited = block.get("citationsContent") or {}
    parts = (cited.get("content") or []) if isinstance(cited, Mapping) else None
    return parts if isinstance(parts, (list, tuple)) else None


def reply_of(response: Mapping[str, Any]) -> Message:
    """Take the model's message out of a Converse response.

    :raises ResponseError: the response holds none.
    """
    output = response.get("output")
    message = output.get("message") if isinstance(output, Mapping) else None
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), Sequence):
        raise ResponseError("The answer of Converse holds no message")
    return dict(message)


def carried(message: Mapping[str, Any]) -> Message:
    """Give a message as a later request can carry it.

    Models answer with no content, with blank text, or with reasoning alone, and call tools by names that no
    tool can have (``functions.add``) or with an input that is no object, all of which Bedrock refuses in a
    request; they and tools write half of a surrogate pair, which becomes U+FFFD. Reasoning that is
    not signed goes back to nobody. What an answer really was stays in the record of its turn.

    :param message: a message with content blocks, JSON-safe or not.
    """
    content = list(message["content"])
    if message.get("role") == "assistant":
        content = [_sendable(block) for block in content if not _is_blank(block) and not _is_unsigned(block)]
        if all("reasoningContent" in block for block in content):
            content.append({"text": UNSAID})
    return {**message, "content": mended(content)}


def _sendable(block: Any) -> Any:
    """Give a call of a tool a name and an input that a request can have; other blocks stay as they are."""
    use = block.get("toolUse") if isinstance(block, Mapping) else None
    if not isinstance(use, Mapping):
        return block
    name = _NOT_IN_A_TOOL_NAME.sub("_", str(use.get("name") or ""))[:_LONGEST_TOOL_NAME]
    given = use.get("input", {})
    fitting = given if isinstance(given, Mapping) else {INVALID_INPUT: given}
    return {**block, "toolUse": {**use, "name": name or UNNAMED_TOOL, "input": fitting}}


def mended(value: Any) -> Any:
    """Put U+FFFD in the place of each half of a surrogate pair, for UTF-8 has no form for it."""
    if isinstance(value, str):
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, (list, tuple)):
        return [mended(item) for item in value]
    if isinstance(value, (dict, Mapping)):
        return {mended(key): mended(item) for key, item in value.items()}
    return value


def _is_blank(block: Any) -> bool:
    if isinstance(block, str):
        return not block.strip()
    if not isinstance(block, Mapping) or set(block) - {"text", "citationsContent"}:
        return False
    if _cited_parts(block) is None:
        return False  # The check of the request names it.
    return not _text_of(block).strip()


def _is_unsigned(block: Any) -> bool:
    """Tell reasoning that Bedrock wrote and takes from nobody.

    DeepSeek and gpt-oss sign none, and Converse refuses theirs: "User messages cannot contain reasoning
    content" (langchain-aws, issue 401; aws-samples/bedrock-chat, issues 845 and 851). Claude's is refused
    without its signature.
    """
    reasoning = block.get("reasoningContent") if isinstance(block, Mapping) else None
    thought = reasoning.get("reasoningText") if isinstance(reasoning, Mapping) else None
    return isinstance(thought, Mapping) and not thought.get("signature")


def check_known(message: Any, operation: str) -> None:
    """Refuse an answer with a part that is newer than botocore, which gives its name and drops the rest.

    :param message: the model's message.
    :param operation: the operation, for the error.
    :raises ResponseError: it has one, and no history could carry it.
    """
    pending = [message]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            if isinstance(told := value.get("SDK_UNKNOWN_MEMBER"), Mapping):
                raise ResponseError(
                    f"{operation}: the answer holds what is not known: {told.get('name')}",
                    hint="a newer release of botocore may know it",
                )
            pending += [
                item for key, item in value.items() if key not in _DOCUMENTS and not isinstance(item, str)
            ]
        elif isinstance(value, (list, tuple)):
            pending.extend(value)


def to_json(value: Any) -> Any:
    """Make a response JSON-safe: bytes as base64, times as ISO 8601, decimals as numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, (dict, Mapping)):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return {BYTES_KEY: base64.b64encode(value).decode("ascii")}
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, dt.datetime) else value


def json_bytes(value: Any) -> bytes:
    """Write JSON, in characters that can be read wherever that is possible.

    :param value: JSON-safe.
    """
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which models do write, and cut streams hold: it has no UTF-8, but escapes.
        return json.dumps(value).encode()


def from_json(value: Any) -> Any:
    """Reverse :func:`to_json` for bytes. What a model or a tool wrote holds none, whatever it looks like.

    :raises RequestError: what claims to be base64 is not.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return [from_json(item) for item in value]
    if isinstance(value, (dict, Mapping)):
        if len(value) == 1 and BYTES_KEY in value:
            return _decode(value[BYTES_KEY])
        return {key: item if key in _DOCUMENTS else from_json(item) for key, item in value.items()}
    return value


def _decode(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        problem = Problem(f"history…{BYTES_KEY}", f"a {type(text).__name__}", "base64")
        raise RequestError("The history cannot be read", problems=(problem,)) from None


def check_history(history: Any, *, appended: bool = False) -> list[Message]:
    """Give the messages of a history, ready to be sent.

    :param history: what an earlier turn returned as ``history``.
    :param appended: whether it goes on after the messages of a managed prompt, so that the model may begin.
    :raises RequestError: it is none, a message is none, or no message of the user can follow.
    """
    if isinstance(history, (str, bytes, Mapping)) or not isinstance(history, Sequence):
        raise _wrong("history", f"a {type(history).__name__}", "the list that an earlier turn returned")
    messages = [_check_message(message, f"history[{index}]") for index, message in enumerate(history)]
    expected = None if appended else "user"
    for index, message in enumerate(messages):
        role = message["role"]
        if role in _SPEAKERS and expected not in (role, None):
            raise _wrong(f"history[{index}].role", role, f"{expected}: roles alternate")
        expected = _SPEAKERS.get(role, expected)
    if expected == "assistant":
        raise _wrong("history", f"{len(messages)} messages, the last by the user", "an answer at its end")
    return messages


def _check_message(message: Any, field: str) -> Message:
    if not isinstance(message, Mapping) or "content" not in message or type(message.get("role")) is not str:
        raise _wrong(field, f"a {type(message).__name__}", "a mapping with role and content")
    content = message["content"]
    if message["role"] == "assistant" and isinstance(content, (list, tuple)):
        content = carried(message)["content"]
    return {**message, "content": _content_blocks(content, f"{field}.content")}


def _content_blocks(content: Any, field: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        content = [content]
    if isinstance(content, (bytes, Mapping)) or not isinstance(content, Sequence):
        hint = NUMBER_HINT if isinstance(content, (int, float)) else None
        raise _wrong(field, f"a {type(content).__name__}", "text or a list of content blocks", hint)
    if not content:
        raise _wrong(field, "empty", "at least one content block")
    return [_content_block(block, f"{field}[{index}]") for index, block in enumerate(content)]


def _content_block(block: Any, field: str) -> dict[str, Any]:
    if isinstance(block, str):
        block = {"text": block}
    if not isinstance(block, Mapping):
        raise _wrong(field, f"a {type(block).__name__}", "text or a content block")
    if block and _is_blank(block):
        raise _wrong(field, "blank text", "text with something in it")
    restored: dict[str, Any] = from_json(block)
    return restored


def _wrong(field: str, found: str, allowed: str, hint: str | None = None) -> RequestError:
    problem = Problem(field, found, allowed)
    return RequestError("The conversation cannot be sent", problems=(problem,), hint=hint)
