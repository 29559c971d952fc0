"""Running the tools that a model asked for, in order; what goes wrong is told to the model.

https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use-inference-call.html
"""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_aiml.exceptions import Problem, RequestError
from airflow_provider_aiml.inference.tool_schemas import ArgumentsError, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ToolBox", "check_calls", "client_uses", "declared_tools", "with_tools"]

log = logging.getLogger(__name__)

_NOTHING: Final[Mapping[str, Any]] = {"role": "assistant", "content": ()}
"""What was said before the first message."""
_LONGEST_ERROR: Final = 2_048
"""Characters of a tool's own error that the model is told."""


def client_uses(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the calls of tools that this side has to answer; Bedrock runs those of type ``server_tool_use``.

    :param message: the model's message.
    """
    return [use for use in _inner(message, "toolUse") if use.get("type") != "server_tool_use"]


def declared_tools(config: Any) -> frozenset[str]:
    """Name the tools of a tool config that the service does not run itself.

    :param config: a ``toolConfig``; None for none.
    :raises RequestError: its tools are no list.
    """
    tools = (config or {}).get("tools") or []
    if not isinstance(tools, (list, tuple)):
        raise _unfit("tool_config.tools", f"a {type(tools).__name__}", "a list of tools")
    specs = [tool.get("toolSpec") for tool in tools if isinstance(tool, Mapping)]
    return frozenset(str(spec.get("name")) for spec in specs if isinstance(spec, Mapping))


def with_tools(tools: Iterable[Any], specs: Sequence[Any]) -> list[Any]:
    """Add tools behind others, but before the cache points at their end, which then cover all of them.

    :param tools: the ``tools`` of a ``toolConfig``.
    :param specs: those to add.
    """
    given = list(tools)
    end = len(given)
    while end and isinstance(given[end - 1], Mapping) and "cachePoint" in given[end - 1]:
        end -= 1
    return [*given[:end], *specs, *given[end:]]


def check_calls(
    said: Sequence[Mapping[str, Any]], request: Mapping[str, Any], *, own_tools: bool = True
) -> None:
    """Refuse a conversation whose calls of tools lack their tools or their results, as Bedrock would.

    :param said: the messages, the last of which is the task's own.
    :param request: the request's members by their snake_case names.
    :param own_tools: whether the request brings the tools; those of a managed prompt stand in the prompt.
    :raises RequestError: the tools are missing, or a result is.
    """
    calls = any("toolUse" in block or "toolResult" in block for one in said for block in one["content"])
    if calls and own_tools and not request.get("tool_config"):
        found = "missing, though the history holds calls of tools"
        raise _unfit("tools / tool_config", found, "the tools that the history speaks of")
    spoken = [(index, one) for index, one in enumerate(said) if one["role"] in ("user", "assistant")]
    for (_, asked), (index, reply) in itertools.pairwise([(-1, _NOTHING), *spoken]):
        where = "message" if index == len(said) - 1 else f"history[{index}].content"
        given = [use.get("toolUseId") for use in _inner(reply, "toolResult")]
        wanted = [use.get("toolUseId") for use in client_uses(asked)]
        if missing := [use_id for use_id in wanted if use_id not in given]:
            found = f"without the results of {len(missing)} of the calls of tools before it"
            raise _unfit(where, found, "a toolResult block for each call")
        orphans = [use_id for use_id in given if use_id not in wanted]
        if orphans and reply["role"] == "user":  # In an answer they are those of the service's own tools.
            found = f"with {len(orphans)} results of calls that the message before it does not make"
            raise _unfit(where, found, "a toolResult block for each call, and no other")


def _inner(message: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return [block[kind] for block in message["content"] if isinstance(block.get(kind), Mapping)]


def _unfit(field: str, found: str, allowed: str) -> RequestError:
    return RequestError("The conversation cannot be sent", problems=(Problem(field, found, allowed),))


@dataclass(frozen=True, slots=True)
class ToolBox:
    """The tools of a task.

    :param tools: those that run here, by name.
    :param declared: names of tools that the model was told of and that do not run here.
    :param let_through: errors of a tool that end the task instead of being told to the model.
    """

    tools: Mapping[str, Tool]
    declared: frozenset[str] = frozenset()
    let_through: tuple[type[BaseException], ...] = ()

    def runs(self, message: Mapping[str, Any]) -> bool:
        """Say whether every call of a message is to be answered here; a tool that nobody knows is, too."""
        uses = client_uses(message)
        return bool(uses) and bool(self.tools) and not any(use.get("name") in self.declared for use in uses)

    def result(self, use: Mapping[str, Any]) -> dict[str, Any]:
        """Run one call.

        :param use: the ``toolUse`` that the model wrote.
        :return: its ``toolResult``, with status ``error`` where it failed.
        """
        name, started = str(use.get("name")), time.monotonic()
        tool = self.tools.get(name)
        if tool is None:
            known = ", ".join(sorted(self.tools))
            return self._failed(use, "an unknown name", f"There is no tool of that name; there are: {known}")
        try:
            content = result_content(tool.call(use.get("input")))
        except self.let_through:
            raise
        except ArgumentsError as error:
            return self._failed(use, "arguments that do not fit", str(error))
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            return self._failed(use, f"a {type(error).__name__}", f"The tool failed: {told}")
        log.info("The tool %s answered after %.3f s", name, time.monotonic() - started)
        return {"toolResult": {"toolUseId": use["toolUseId"], "content": content, "status": "success"}}

    def _failed(self, use: Mapping[str, Any], why: str, told: str) -> dict[str, Any]:
        known = str(use.get("name")) if use.get("name") in self.tools else "that the model asked for"
        log.warning("The tool %s failed with %s; the model is told", known, why)
        content = [{"text": told[:_LONGEST_ERROR]}]
        return {"toolResult": {"toolUseId": use["toolUseId"], "content": content, "status": "error"}}


def result_content(value: Any) -> list[dict[str, Any]]:
    """Write what a tool returned as the content of its result: text as text, the rest as a JSON object.

    :param value: text, or anything that pydantic can write as JSON; what is no mapping stands under
        ``result``, for models want an object.
    :raises ValueError: it cannot be written.
    """
    if isinstance(value, str):
        return [{"text": value or "(empty)"}]
    from pydantic_core import to_jsonable_python

    writable = to_jsonable_python(value)
    written = json.loads(json.dumps(writable, allow_nan=False))
    return [{"json": written if isinstance(written, dict) else {"result": written}}]
