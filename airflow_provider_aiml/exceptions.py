"""Every error that this provider raises, and what each one tells its reader.

The name of an error says the cause; its fields say what to do::

    InferenceError
    ├── RequestError                 bad input, found before anything was sent
    │   ├── PayloadError             a body that cannot be encoded, does not fit, or is too large
    │   └── AwsConfigurationError    no such connection, half a key pair, no region
    ├── ServiceRefusedError          AWS refused the request: nothing ran
    │   ├── AccessDeniedError        the identity may not do this
    │   └── EndpointNotReadyError    absent, not in service, or of the wrong kind
    ├── BusyError                    throttled, overloaded or still loading: nothing ran, try later
    ├── ModelFailedError             the model ran and failed
    ├── UnknownOutcomeError          it may or may not have run (time-out, lost connection, server fault)
    ├── ResponseError                it ran, but its answer is malformed, cut off, or not what was asked
    │   ├── AnswerStoppedError       the model stopped for a reason that the task does not accept
    │   ├── AnswerMismatchError      the answer does not fit the schema, corrections included
    │   └── TurnLimitError           tools and corrections went on until a limit of the task
    ├── OutputExpiredError           neither output nor failure appeared before the deadline
    ├── OutputUnreadableError        whether there is an output could not be asked or read
    ├── NoticeQueueError             the queue of completion notices cannot be used
    ├── StackFailedError             CloudFormation could not do what a template says, and took it back
    └── StoredAnswerError            the place that keeps paid answers cannot be read or written
        └── HistoryConflictError     another writer extended the conversation's history meanwhile

This module knows nothing of AWS's libraries or of Airflow; :mod:`airflow_provider_aiml.aws_task` adds the
classes that also stop Airflow's retries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AccessDeniedError",
    "AnswerMismatchError",
    "AnswerStoppedError",
    "AwsConfigurationError",
    "BusyError",
    "EndpointNotReadyError",
    "HistoryConflictError",
    "InferenceError",
    "ModelFailedError",
    "NoticeQueueError",
    "OutputExpiredError",
    "OutputUnreadableError",
    "PayloadError",
    "Problem",
    "RequestError",
    "ResponseError",
    "ServiceRefusedError",
    "StackFailedError",
    "StoredAnswerError",
    "TurnLimitError",
    "UnknownOutcomeError",
    "error_from_dict",
]


class InferenceError(Exception):
    """Base of everything that this provider raises.

    :param message: what happened, without any payload.
    :param code: the AWS error code, for example ``ModelError``; None where AWS gave none.
    :param request_id: the AWS request id, for a support case.
    :param inference_id: the SageMaker inference id, where there is one.
    :param retryable: whether the same request, sent again, may succeed. Default: the class's own.
    :param may_have_been_billed: whether the inference may have run. Default: the class's own.
    :param hint: the setting or permission to change.
    """

    retryable: bool = False
    may_have_been_billed: bool = False
    partial_body: bytes | None = None
    """What had arrived of an answer that broke off. Never part of the message, nor of :meth:`to_dict`."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        request_id: str | None = None,
        inference_id: str | None = None,
        retryable: bool | None = None,
        may_have_been_billed: bool | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id
        self.inference_id = inference_id
        self.hint = hint
        if retryable is not None:
            self.retryable = retryable
        if may_have_been_billed is not None:
            self.may_have_been_billed = may_have_been_billed

    def __str__(self) -> str:
        facts = [self.message.rstrip(".") + "."]
        labelled = (("code", self.code), ("request id", self.request_id), ("inference id", self.inference_id))
        if known := ", ".join(f"{label} {value}" for label, value in labelled if value):
            facts.append(f"[{known}]")
        facts.append("A retry may help." if self.retryable else "A retry cannot help.")
        if self.may_have_been_billed:
            facts.append("The call may have been billed.")
        if self.hint:
            facts.append(f"Hint: {self.hint}")
        return " ".join(facts)

    def to_dict(self) -> dict[str, Any]:
        """Give a JSON-safe form, for a trigger event or a record; :func:`error_from_dict` reverses it."""
        return {
            "type": public_class(type(self)).__name__,
            "message": self.message,
            "code": self.code,
            "request_id": self.request_id,
            "inference_id": self.inference_id,
            "retryable": self.retryable,
            "may_have_been_billed": self.may_have_been_billed,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request, never with the value itself in it.

    :param field: the argument, as the operator spells it, with its path: ``messages[0].content``.
    :param found: what it was: a type, a length, a number; never payload text.
    :param allowed: what is allowed.
    """

    field: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.field}: is {self.found}, allowed is {self.allowed}"

    def called(self, names: Mapping[str, str]) -> Problem:
        """Give the problem with its field as the reader calls it.

        :param names: what a field begins with, and what it begins with for the reader; the first that fits.
        """
        for theirs, ours in names.items():
            rest = self.field.removeprefix(theirs)
            if rest != self.field and (not rest or rest[0] in ".["):
                return replace(self, field=ours + rest)
        return self


class RequestError(InferenceError):
    """The request is wrong; nothing was sent and nothing is billed.

    :param problems: every offending field. The message lists them.
    """

    def __init__(self, message: str, *, problems: tuple[Problem, ...] = (), **facts: Any) -> None:
        listed = "; ".join(str(problem) for problem in problems)
        super().__init__(f"{message}: {listed}" if listed else message, **facts)
        self.summary = message
        self.problems = problems

    def with_fields_called(self, names: Mapping[str, str]) -> Self:
        """Give the same error in the words of the one who reads it; see :meth:`Problem.called`."""
        facts = {name: value for name, value in self.__dict__.items() if name not in ("message", "summary")}
        problems = tuple(problem.called(names) for problem in self.problems)
        return type(self)(self.summary, **{**facts, "problems": problems})


class PayloadError(RequestError):
    """The body cannot be encoded as its content type, does not fit, or is over the limit."""


class AwsConfigurationError(RequestError):
    """The connection, its keys or the region cannot be used; no call was made."""


class ServiceRefusedError(InferenceError):
    """AWS refused the request as it stands; the model did not run."""


class AccessDeniedError(ServiceRefusedError):
    """The identity of the connection lacks a permission, or the model is not enabled for the account."""


class EndpointNotReadyError(ServiceRefusedError):
    """The endpoint or model is absent, not InService, or of the wrong kind for this operation."""


class BusyError(InferenceError):
    """Throttled, overloaded, not reachable or still loading: the model surely did not run."""

    retryable = True


class ModelFailedError(InferenceError):
    """The model ran and failed.

    :param model_message: the model's own words, at most 2 KB; None with ``quote_model_errors=False``.
    :param original_status: the HTTP status that the model's container gave, where known.
    :param log_stream_arn: the CloudWatch log stream of the container, where known.
    """

    may_have_been_billed = True

    def __init__(
        self,
        message: str,
        *,
        model_message: str | None = None,
        original_status: int | None = None,
        log_stream_arn: str | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.model_message = model_message
        self.original_status = original_status
        self.log_stream_arn = log_stream_arn

    def __str__(self) -> str:
        if self.model_message is None:
            return super().__str__()
        return f"{super().__str__()} The model said: {self.model_message}"


class UnknownOutcomeError(InferenceError):
    """Whether the model ran is not known, so the request is not sent again by itself."""

    retryable = True
    may_have_been_billed = True


class ResponseError(InferenceError):
    """The model ran, but its answer is malformed, cut off, or not what was asked for.

    :param partial_body: the raw bytes that did arrive. Never part of the message.
    """

    may_have_been_billed = True

    def __init__(self, message: str, *, partial_body: bytes | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.partial_body = partial_body


class AnswerStoppedError(ResponseError):
    """The model stopped for a reason that the task does not accept; its answer may be cut off or withheld.

    :param stop_reason: the reason, as the API names it.
    :param result: what there is of the task's result, the partial text included. Never part of the message.
    """

    def __init__(
        self,
        message: str,
        *,
        stop_reason: str | None = None,
        result: Mapping[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.stop_reason = stop_reason
        self.result = result


class AnswerMismatchError(ResponseError):
    """The answer does not fit the task's schema, after as many corrections as the task allows.

    :param problems: what is wrong with the last answer: path and rule, never a value. The message lists them.
    :param result: what there is of the task's result. Never part of the message.
    """

    def __init__(
        self,
        message: str,
        *,
        problems: tuple[Problem, ...] = (),
        result: Mapping[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        listed = "; ".join(str(problem) for problem in problems)
        super().__init__(f"{message}: {listed}" if listed else message, **facts)
        self.problems = problems
        self.result = result


class TurnLimitError(ResponseError):
    """The model kept asking for tools until a limit of the task.

    :param result: what there is of the task's result. Never part of the message.
    """

    def __init__(self, message: str, *, result: Mapping[str, Any] | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.result = result


class OutputExpiredError(InferenceError):
    """Neither the output nor the failure object appeared before the inference's deadline."""

    may_have_been_billed = True


class OutputUnreadableError(InferenceError):
    """Whether there is an output, or where, could not be asked or read; it may be there."""

    retryable = True
    may_have_been_billed = True


class NoticeQueueError(InferenceError):
    """The queue of completion notices is absent, in another region, or closed to the identity."""

    may_have_been_billed = True


class StackFailedError(InferenceError):
    """A stack operation failed; the message has the reasons of the resources that did."""


class StoredAnswerError(InferenceError):
    """The place that keeps a paid answer, or what is known of it, cannot be read, written or trusted."""

    retryable = True


class HistoryConflictError(StoredAnswerError):
    """Another writer extended the conversation's history between reading and writing it."""


def public_class(error_class: type[InferenceError]) -> type[InferenceError]:
    """Give the class of this module that ``error_class`` is or extends."""
    return next(base for base in error_class.__mro__ if base.__module__ == __name__)


def raise_alone(error: InferenceError) -> NoReturn:
    """Raise ``error`` without the one that is being handled, whose words may repeat a payload.

    Elsewhere it is enough to raise behind the ``except``; in a generator that is a context manager it is not,
    for what the ``with`` block raised is handled until the generator ends.
    """
    try:
        raise error
    finally:
        error.__context__ = None


def error_from_dict(facts: dict[str, Any]) -> InferenceError:
    """Rebuild an error from :meth:`InferenceError.to_dict`.

    A type that this release does not know (an event of a newer one) becomes :class:`InferenceError`.
    """
    known = globals().get(str(facts.get("type")))
    error_class = known if isinstance(known, type) and issubclass(known, InferenceError) else InferenceError
    return error_class(
        str(facts.get("message") or "The error's event holds no message"),
        code=facts.get("code"),
        request_id=facts.get("request_id"),
        inference_id=facts.get("inference_id"),
        retryable=facts.get("retryable"),
        may_have_been_billed=facts.get("may_have_been_billed"),
        hint=facts.get("hint"),
    )
