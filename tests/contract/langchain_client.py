"""Talks to the local AWS through langchain-aws's ChatBedrockConverse, and prints what it was told as JSON.

Runs in an environment of its own, so it imports nothing of this project. The endpoint and the credentials
come from the environment, as boto3 reads them.
"""

from __future__ import annotations

import json
import sys

from langchain_aws import ChatBedrockConverse
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, Field

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
model = ChatBedrockConverse(model=CLAUDE, max_tokens=200, temperature=0)


class Ticket(BaseModel):
    """A support ticket."""

    summary: str = Field(description="one sentence")
    priority: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def invoke():
    """Ask once, with a system prompt."""
    answer = model.invoke([SystemMessage("Be kind"), HumanMessage('Say "one é 😀 two"')])
    return {
        "text": answer.text,
        "stop_reason": answer.response_metadata["stopReason"],
        "usage": dict(answer.usage_metadata),
    }


def go_on():
    """Ask in a conversation of three messages."""
    said = [HumanMessage("My name is Ada."), AIMessage("Hello Ada."), HumanMessage("What is my name?")]
    return model.invoke(said).text


def stream():
    """Ask for a stream."""
    pieces = list(model.stream('Say "one é 😀 two three four five"'))
    whole = sum(pieces[1:], pieces[0])
    return {
        "pieces": len([piece for piece in pieces if piece.text]),
        "text": whole.text,
        "stop_reason": whole.response_metadata["stopReason"],
        "usage": dict(whole.usage_metadata),
    }


def use_tools():
    """Let the model call a tool, and give it the result."""
    asked = [HumanMessage('use tool add with {"a": 1, "b": 2}')]
    called = model.bind_tools([add]).invoke(asked)
    call = called.tool_calls[0]
    result = ToolMessage(str(add(**call["args"])), tool_call_id=call["id"])
    answer = model.bind_tools([add]).invoke([*asked, called, result])
    return {"name": call["name"], "args": call["args"], "answer": answer.text}


def stream_tools():
    """Let the model call a tool in a stream."""
    pieces = list(model.bind_tools([add]).stream('use tool add with {"a": 1, "b": 2}'))
    whole = sum(pieces[1:], pieces[0])
    return [{"name": call["name"], "args": call["args"]} for call in whole.tool_calls]


def structure():
    """Ask for an object."""
    return model.with_structured_output(Ticket).invoke("My printer burns.").model_dump()


if __name__ == "__main__":
    told = {ask.__name__: ask() for ask in (invoke, go_on, stream, use_tools, stream_tools, structure)}
    sys.stdout.write(json.dumps(told))
