"""Splits an answer of Converse into the events of ConverseStream, and breaks streams on demand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_aiml.local_aws.bedrock import tokens
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_aiml.local_aws.bedrock.conversation import Block
    from airflow_provider_aiml.local_aws.bedrock.faults import Fault

__all__ = ["CHUNK_KEY", "Event", "answer_events", "broken", "chunk_tokens", "converse_events"]

Event = tuple[str, dict[str, Any]]
"""The name and the members of a stream event; a name that ends in ``Exception`` is one."""

CHUNK_KEY: Final = "local-aws-chunk-tokens"
"""The key of the request metadata which sets how many tokens a chunk has."""
_CHUNK_TOKENS = 3


def chunk_tokens(metadata: Mapping[str, str]) -> int:
    """Return how many tokens a chunk has: 3, unless the request's metadata says otherwise.

    :raises ApiError: ``ValidationException`` if it says something that is no number from 1 to 100,000.
    """
    wanted = metadata.get(CHUNK_KEY, str(_CHUNK_TOKENS))
    if not wanted.isascii() or not wanted.isdigit() or not 1 <= int(wanted) <= 100_000:
        raise invalid(f"The request metadata {CHUNK_KEY} must be a number from 1 to 100000.")
    return int(wanted)


def converse_events(response: Mapping[str, Any], size: int) -> Iterator[Event]:
    """Yield the events that say the same as a response of Converse."""
    extra = {k: response[k] for k in ("additionalModelResponseFields",) if k in response}
    blocks = response["output"]["message"]["content"]
    for name, payload in answer_events(blocks, response["stopReason"], size):
        yield name, payload | extra if name == "messageStop" else payload
    members = ("usage", "metrics", "trace", "performanceConfig", "serviceTier")
    yield "metadata", {member: response[member] for member in members if member in response}


def answer_events(blocks: Sequence[Block], stop_reason: str, size: int) -> Iterator[Event]:
    """Yield the events from ``messageStart`` to ``messageStop``."""
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(blocks):
        if "toolUse" in block:
            use = block["toolUse"]
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            yield "contentBlockStart", {"start": start, "contentBlockIndex": index}
        for delta in _deltas(block, size):
            yield "contentBlockDelta", {"delta": delta, "contentBlockIndex": index}
        yield "contentBlockStop", {"contentBlockIndex": index}
    yield "messageStop", {"stopReason": stop_reason}


def _deltas(block: Block, size: int) -> Iterator[dict[str, Any]]:
    if "toolUse" in block:
        for piece in tokens.pieces(json.dumps(block["toolUse"]["input"]), size):
            yield {"toolUse": {"input": piece}}
    elif "reasoningContent" in block:
        for part in _thought(block["reasoningContent"]["reasoningText"], size):
            yield {"reasoningContent": part}
    elif "citationsContent" in block:
        for part in block["citationsContent"]["content"]:
            for piece in tokens.pieces(part["text"], size):
                yield {"text": piece}
        for citation in block["citationsContent"]["citations"]:
            yield {"citation": citation}
    else:
        for piece in tokens.pieces(block["text"], size):
            yield {"text": piece}


def _thought(said: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    for piece in tokens.pieces(said["text"], size):
        yield {"text": piece}
    if "signature" in said:
        yield {"signature": said["signature"]}


def broken(events: Iterator[Event], fault: Fault) -> Iterator[Event]:
    """Yield *events* as they are, or the first half of them and then what *fault* asks for."""
    if fault.event is None:
        yield from events
        return
    whole = list(events)
    yield from whole[: max(2, len(whole) // 2)]
    if fault.event:
        yield fault.event, dict(fault.payload)
