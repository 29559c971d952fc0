"""A bounded conversation within one task: tools are run, answers of the wrong shape corrected, turns counted.

Pure: the call of the model and the place that keeps the turns are passed in. Everything here follows from the
turns so far, so a retry that is given them goes on where the last try stopped.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airflow_provider_aiml.exceptions import (
    AnswerMismatchError,
    InferenceError,
    Problem,
    RequestError,
    ServiceRefusedError,
    TurnLimitError,
)
from airflow_provider_aiml.inference.arguments import read_number
from airflow_provider_aiml.inference.conversation import carried, to_json
from airflow_provider_aiml.inference.output_schema import MisfitError, OutputSchema
from airflow_provider_aiml.inference.stop_reasons import FAIL_ON, UNREMARKABLE, check_stop_reason
from airflow_provider_aiml.inference.structured_output import (
    ANSWER_TOOL,
    Mode,
    answer_message,
    correction,
    modes_left,
    read_answer,
    with_schema,
)
from airflow_provider_aiml.inference.tool_calls import ToolBox, client_uses
from airflow_provider_aiml.inference.turns import Progress, Turn
from airflow_provider_aiml.inference.usage import add_usage, total_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["Limits", "Outcome", "ToolLoop"]

log = logging.getLogger(__name__)

MAX_TURNS: Final = 10
SCHEMA_RETRIES: Final = 2
_ALONE: Final = f"Call {ANSWER_TOOL} alone, after the other tools have answered."


@dataclass(frozen=True, slots=True)
class Limits:
    """What a task may use up.

    :param max_turns: calls of the model, corrections not counted. Default: 10.
    :param max_total_tokens: tokens of all turns, read and written, after which no other request is sent;
        None for no limit.
    :param schema_retries: corrections of an answer that does not fit its schema. Default: 2.
    """

    max_turns: int = MAX_TURNS
    max_total_tokens: int | None = None
    schema_retries: int = SCHEMA_RETRIES

    @classmethod
    def read(cls, max_turns: Any, max_total_tokens: Any, schema_retries: Any) -> Limits:
        """Read the limits of a task; None is the default.

        :raises RequestError: one is no number, or none that makes sense.
        """
        turns = read_number(max_turns, "max_turns", int)
        retries = read_number(schema_retries, "schema_retries", int)
        limits = cls(
            MAX_TURNS if turns is None else turns,
            read_number(max_total_tokens, "max_total_tokens", int),
            SCHEMA_RETRIES if retries is None else retries,
        )
        for name, least in (("max_turns", 1), ("max_total_tokens", 1), ("schema_retries", 0)):
            number = getattr(limits, name)
            if number is not None and number < least:
                problem = Problem(name, str(number), f"at least {least}")
                raise RequestError("The request cannot be sent", problems=(problem,))
        return limits


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the conversation of a task ended.

    :param response: the last response, JSON-safe.
    :param message: the model's last message, JSON-safe; the call of the answer's tool is text by now.
    :param said: all that was said after the task's own message, as a history keeps it and a request can
        carry it: the turns with tools and the last message. Corrections are left out.
    :param usage: the tokens of all turns.
    :param metrics: the metrics of all turns, added up.
    :param tool_calls: ``turn``, ``name`` and ``status`` of each tool that ran.
    :param turns: how often the model was asked.
    :param output: the object that was asked for; None without a schema.
    """

    response: dict[str, Any]
    message: dict[str, Any]
    said: list[dict[str, Any]]
    usage: dict[str, Any]
    metrics: dict[str, Any]
    tool_calls: list[dict[str, Any]]
    turns: int
    output: Any = None

    def to_record(self) -> dict[str, Any]:
        """Give what a history keeps of it, besides what was said."""
        response = {name: value for name, value in self.response.items() if name != "output"}
        facts: dict[str, Any] = {
            "usage": self.usage,
            "metrics": self.metrics,
            "tool_calls": self.tool_calls,
        }
        if self.message != self.said[-1]:
            facts["message"] = self.message
        return {"response": response, **facts, "turns": self.turns, "output": self.output}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], said: list[dict[str, Any]]) -> Outcome:
        """Rebuild it.

        :param record: what :meth:`to_record` gave; what is missing counts as empty.
        :param said: what was said after the task's own message.
        """
        return cls(
            response=dict(record.get("response") or {}),
            message=dict(record.get("message") or said[-1]),
            said=said,
            usage=dict(record.get("usage") or {}),
            metrics=dict(record.get("metrics") or {}),
            tool_calls=list(record.get("tool_calls") or []),
            turns=int(record.get("turns") or 1),
            output=record.get("output"),
        )

    def facts(self) -> dict[str, Any]:
        """Give what an error's record holds of it."""
        return {
            "message": self.message,
            "stop_reason": self.response.get("stopReason"),
            "usage": self.usage,
            "tool_calls": self.tool_calls,
            "turns": self.turns,
        }


@dataclass(slots=True)
class ToolLoop:
    """One task's conversation, from its request to the answer that it wants.

    :param request: members of Converse by their snake_case names.
    :param converse: asks the model: a request in, Converse's response out.
    :param save: keeps the turns; called after each answer, after each tool, and before the next request.
    :param tools: the tools that run here.
    :param schema: the shape of the answer; None for any.
    :param modes: how to ask for that shape, each one where the service refuses those before it.
    :param fail_on: stop reasons that fail.
    :param limits: what may be used up.
    :param before_request: looks at each request before it is sent, and at what there is of the answer, which
        is None before the first; it may refuse the request.
    """

    request: Mapping[str, Any]
    converse: Callable[[dict[str, Any]], Mapping[str, Any]]
    save: Callable[[Progress], None]
    tools: ToolBox = field(default_factory=lambda: ToolBox({}))
    schema: OutputSchema | None = None
    modes: tuple[Mode, ...] = ("native", "tool", "offer")
    fail_on: Collection[str] = FAIL_ON
    limits: Limits = field(default_factory=Limits)
    before_request: Callable[[dict[str, Any], dict[str, Any] | None], None] = lambda request, result: None

    def run(self, progress: Progress) -> Outcome:
        """Go on until the model has given its answer.

        :param progress: the turns so far; empty at the first try. It grows.
        :raises AnswerStoppedError: the model stopped for a reason in ``fail_on``.
        :raises AnswerMismatchError: its answer does not fit the schema after all corrections.
        :raises TurnLimitError: a limit was reached before it had answered.
        :raises InferenceError: what ``converse``, ``save`` or ``before_request`` raised.
        """
        while True:
            if not progress.turns or progress.turns[-1].replied:
                wants_tools = bool(progress.turns) and progress.turns[-1].kind == "tools"
                self._mind_limits(progress, wants_tools=wants_tools)
                self._ask(progress)
            outcome = self._settle(progress)
            if outcome is not None:
                return outcome

    def _ask(self, progress: Progress) -> None:
        modes: tuple[Mode | None, ...] = (None,)
        if self.schema is not None:
            modes = modes_left(progress.mode) if progress.mode else self.modes
        for mode, following in itertools.pairwise(modes):
            try:
                return self._ask_by(mode, progress)
            except ServiceRefusedError as error:
                if (error.code or "").lower() != "validationexception":  # In a stream it begins small.
                    raise
                log.info(
                    "The service refuses the schema asked for by %s; it is asked for by %s", mode, following
                )
        return self._ask_by(modes[-1], progress)

    def _ask_by(self, mode: Mode | None, progress: Progress) -> None:
        request = dict(self.request)
        if self.schema is not None and mode is not None:
            corrects = bool(progress.turns) and progress.turns[-1].kind == "correction"
            request = with_schema(request, self.schema, mode, forced=corrects)
        if progress.turns:
            request["messages"] = [*request.get("messages", []), *progress.messages()]
        self.before_request(request, self._outcome(progress).facts() if progress.turns else None)
        response = {**self.converse(request)}
        response.pop("ResponseMetadata", None)
        progress.turns.append(Turn(to_json(response)))
        progress.mode = mode
        self.save(progress)

    def _settle(self, progress: Progress) -> Outcome | None:
        """Decide what the last answer means: the end, or a reply to it."""
        turn = progress.turns[-1]
        check_stop_reason(turn.stop_reason, self.fail_on, lambda: self._outcome(progress).facts())
        # Bedrock says end_turn beside whole calls, too (strands-agents, issues 767, 1810 and 1827).
        if turn.stop_reason in UNREMARKABLE and self._has_calls(turn):
            # Before they run: past a limit, the model would never be told what they gave.
            self._mind_limits(progress, wants_tools=True)
            self._run_tools(turn, progress)
            return None
        if self.schema is None:
            return self._outcome(progress)
        try:
            output = read_answer(turn.message, self.schema, progress.mode or self.modes[-1])
        except MisfitError as misfit:
            self._correct(misfit, progress)
            return None
        return self._outcome(progress, (output,))

    def _has_calls(self, turn: Turn) -> bool:
        """Say whether there are tools to run here, besides the one that is the answer."""
        uses = client_uses(turn.message)
        if self.schema is not None and all(use.get("name") == ANSWER_TOOL for use in uses):
            return False
        return self.tools.runs(turn.message)

    def _run_tools(self, turn: Turn, progress: Progress) -> None:
        turn.kind = "tools"
        for use in client_uses(turn.message)[len(turn.reply) :]:
            if self.schema is not None and use.get("name") == ANSWER_TOOL:
                result = {"toolUseId": use["toolUseId"], "content": [{"text": _ALONE}], "status": "error"}
                turn.reply.append({"toolResult": result})
            else:
                turn.reply.append(to_json(self.tools.result(use)))
            turn.replied = len(turn.reply) == len(client_uses(turn.message))
            self.save(progress)

    def _correct(self, misfit: MisfitError, progress: Progress) -> None:
        made, allowed = progress.count("correction"), self.limits.schema_retries
        turn, mode = progress.turns[-1], progress.mode or self.modes[-1]
        if mode == "offer" or (mode == "tool" and self.tools.tools):
            allowed += 1  # An answer's tool that is not forced may be forgotten once.
        if made >= allowed:
            self._give_up(misfit, progress)
        log.warning(
            "The answer does not fit output_schema; correction %d of %d is asked for", made + 1, allowed
        )
        turn.kind, turn.reply, turn.replied = "correction", correction(turn.message, misfit, mode), True
        self.save(progress)

    def _give_up(self, misfit: MisfitError, progress: Progress) -> NoReturn:
        raise AnswerMismatchError(
            f"The answer does not fit output_schema after {progress.count('correction')} corrections",
            problems=misfit.problems,
            result=self._outcome(progress).facts(),
            hint="describe the fields in the schema, make it simpler, or raise schema_retries",
        ) from None

    def _mind_limits(self, progress: Progress, *, wants_tools: bool) -> None:
        if not progress.turns:
            return
        asked = len(progress.turns) - progress.count("correction")
        used = total_tokens(add_usage(turn.response.get("usage") for turn in progress.turns))
        most = self.limits.max_total_tokens
        why: InferenceError | None = None
        facts = {"result": self._outcome(progress).facts()}
        if asked >= self.limits.max_turns and wants_tools:
            why = TurnLimitError(
                f"The model still asks for tools after {asked} turns",
                hint="raise max_turns, or say in the system prompt when to stop",
                **facts,
            )
        elif most is not None and used >= most:
            why = TurnLimitError(
                f"{used} tokens were used by {len(progress.turns)} turns, and the answer is not there",
                hint="raise max_total_tokens, or ask for less",
                **facts,
            )
        if why is not None:
            raise why

    def _outcome(self, progress: Progress, read: tuple[Any, ...] = ()) -> Outcome:
        last = progress.turns[-1]
        message = last.message
        if read and progress.mode is not None:
            message = answer_message(message, read[0], progress.mode)
        before = [said for turn in progress.turns[:-1] if turn.kind == "tools" for said in turn.messages()]
        return Outcome(
            response=last.response,
            message=message,
            said=[*before, carried(_without_cut_calls(message, last.stop_reason))],
            usage=add_usage(turn.response.get("usage") for turn in progress.turns),
            metrics=add_usage(turn.response.get("metrics") for turn in progress.turns),
            tool_calls=list(_tool_calls(progress)),
            turns=len(progress.turns),
            output=read[0] if read else None,
        )


def _without_cut_calls(message: dict[str, Any], reason: str) -> dict[str, Any]:
    """Leave out the calls of an answer that was cut off: none runs, and a history wants their results."""
    if reason in UNREMARKABLE:
        return message
    calls = client_uses(message)
    return {**message, "content": [one for one in message["content"] if one.get("toolUse") not in calls]}


def _tool_calls(progress: Progress) -> list[dict[str, Any]]:
    calls = []
    for number, turn in enumerate(progress.turns, start=1):
        names = {use["toolUseId"]: use.get("name") for use in client_uses(turn.message)}
        for block in turn.reply if turn.kind == "tools" else ():
            result = block["toolResult"]
            name = names.get(result["toolUseId"])
            calls.append({"turn": number, "name": name, "status": result["status"]})
    return calls
