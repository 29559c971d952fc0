"""Arguments in snake_case to API members, checked against botocore's service model before anything is sent.

botocore checks types and minimums, not maximums, patterns or enums; AWS refuses those only after the body has
travelled, and its answer often does not name the field. Here every offending field is named in one error,
with what it was (type, length, number, never the payload) and what is allowed. All limits are read from the
model, so an argument that AWS adds needs no code, only a newer botocore.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from botocore import __version__ as botocore_version
from botocore import xform_name

from airflow_provider_aiml.exceptions import PayloadError, Problem, RequestError
from airflow_provider_aiml.inference.cross_field_rules import broken_rules
from airflow_provider_aiml.inference.described import describe
from airflow_provider_aiml.inference.shape_checks import Check, Run
from airflow_provider_aiml.inference.shape_plans import build_check, closest

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel

__all__ = ["LIMITS", "Member", "Validate", "api_members", "check_request", "load_operation", "python_name"]

LIMITS = frozenset({"min", "max", "pattern", "enum"})
Validate: TypeAlias = "bool | Collection[str] | Mapping[str, bool]"
"""True: all checks. False: none. Names out of :data:`LIMITS`: only those limits, besides types and what is
required. A map switches each limit on or off; one that it does not name is on."""


@dataclass(frozen=True, slots=True)
class Member:
    """One argument of an operation, as the service model has it.

    :param name: the API's name: ``EndpointName``.
    :param argument: our name: ``endpoint_name``.
    :param type: the model's type: ``string``, ``blob``, ``integer``, ``structure``, …
    :param required: whether the API demands it.
    :param sensitive: whether the model marks it as such.
    :param is_body: whether it is the whole HTTP body.
    :param location: ``header``, ``uri``, ``querystring``, or None for the body or a part of it.
    :param wire_name: the HTTP header's or path label's name; None where there is none.
    :param minimum: the least number, length or count; None without.
    :param maximum: the greatest number, length or count; None without.
    :param pattern: the Java pattern; None without.
    :param enum: the values that this botocore knows; empty without.
    """

    name: str
    argument: str
    type: str
    required: bool
    sensitive: bool
    is_body: bool
    location: str | None
    wire_name: str | None
    minimum: float | None
    maximum: float | None
    pattern: str | None
    enum: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """An operation, read once."""

    operation: str
    members: dict[str, Member]
    checks: dict[str, Check]


_LONGEST_NAME = 64
_plans: WeakKeyDictionary[OperationModel, _Plan] = WeakKeyDictionary()


@lru_cache(maxsize=1024)
def python_name(member: str) -> str:
    """Give our argument for an API member: ``S3OutputPathExtension`` is ``s3_output_path_extension``.

    The rule is botocore's own; nothing is renamed.
    """
    return str(xform_name(member))


def load_operation(service: str, operation: str) -> OperationModel:
    """Load an operation's model without a client, credentials or a region.

    :param service: botocore's name of the service: ``sagemaker-runtime`` or ``bedrock-runtime``.
    :param operation: the API's name of the operation: ``InvokeEndpoint``.
    :raises RequestError: the installed botocore has no such service or operation.
    """
    from botocore.model import OperationNotFoundError

    try:
        return _service_model(service).operation_model(operation)
    except OperationNotFoundError:
        raise RequestError(
            f"{operation} is not an operation of {service} in botocore {botocore_version}",
            hint="Upgrade botocore.",
        ) from None


@lru_cache(maxsize=16)
def _service_model(service: str) -> ServiceModel:
    from botocore.exceptions import UnknownServiceError
    from botocore.loaders import create_loader
    from botocore.model import ServiceModel

    try:
        return ServiceModel(create_loader().load_service_model(service, "service-2"), service)
    except UnknownServiceError:
        raise RequestError(
            f"botocore {botocore_version} has no service {service}", hint="Upgrade botocore."
        ) from None


def api_members(operation: OperationModel) -> dict[str, Member]:
    """Give every argument of an operation, by our name, in the model's order."""
    return dict(_plan(operation).members)


def check_request(
    operation: OperationModel, params: Mapping[str, Any], *, validate: Validate = True
) -> dict[str, Any]:
    """Turn arguments into API members, and refuse what AWS would refuse.

    Bodies are neither copied nor read. Nested structures keep the API's camelCase.

    :param operation: the operation's model: ``client.meta.service_model.operation_model(name)``, or
        :func:`load_operation`.
    :param params: arguments in snake_case; one that is None counts as absent.
    :param validate: what to check, see :data:`Validate`. Default: everything. False only maps the names.
    :raises RequestError: with every offending field; :class:`PayloadError` where only the body is at fault.
    """
    limits = read_limits(validate)
    plan = _plan(operation)
    run = Run(limits or frozenset())
    request: dict[str, Any] = {}
    for argument, value in params.items():
        member = plan.members.get(argument)
        if member is None:
            _refuse_unknown(argument, plan, run)
        elif value is not None:
            request[member.name] = value
            if limits is not None:
                plan.checks[argument].check(value, argument, run)
    if limits is not None:
        _check_whole(plan, request, run)
    if run.problems:
        raise _refusal(plan, run)
    return request


def _check_whole(plan: _Plan, request: dict[str, Any], run: Run) -> None:
    for argument, member in plan.members.items():
        if member.required and member.name not in request:
            run.refuse(argument, "missing", f"{plan.checks[argument].allowed} (required)")
    if ruled := broken_rules(plan.operation, request):
        fields = {problem.field for problem in ruled}
        run.problems[:] = [problem for problem in run.problems if problem.field not in fields] + ruled


def _refuse_unknown(argument: str, plan: _Plan, run: Run) -> None:
    spoken = argument if argument.isidentifier() and len(argument) <= _LONGEST_NAME else "an argument"
    meant = plan.members.get(python_name(argument))
    name = meant.argument if meant else closest(argument, plan.members)
    known = ", ".join(plan.members)
    run.refuse(
        spoken,
        f"not a member of {plan.operation} in botocore {botocore_version}",
        f"{name} (the closest of {known})" if name else known,
    )


def _refusal(plan: _Plan, run: Run) -> RequestError:
    bodies = {argument for argument, member in plan.members.items() if member.is_body}
    error_class = PayloadError if all(problem.field in bodies for problem in run.problems) else RequestError
    hint = f"If AWS allows this by now, upgrade botocore (here: {botocore_version}) or narrow validate."
    return error_class(
        f"The request for {plan.operation} was not sent",
        problems=tuple(run.problems),
        hint=hint if run.limit_hit else None,
    )


def read_limits(validate: Validate) -> frozenset[str] | None:
    """Give the limits to check; None for no check at all.

    :param validate: what to check, see :data:`Validate`.
    :raises RequestError: it means nothing.
    """
    if isinstance(validate, bool):
        return LIMITS if validate else None
    if isinstance(validate, Mapping):
        wrong = not LIMITS.issuperset(validate) or not all(isinstance(on, bool) for on in validate.values())
        chosen = LIMITS - {name for name, on in validate.items() if not on}
    elif isinstance(validate, Collection) and not isinstance(validate, (str, bytes)):
        named = [name for name in validate if isinstance(name, str)]
        wrong = len(named) < len(validate) or not LIMITS.issuperset(named)
        chosen = LIMITS.intersection(named)
    else:
        wrong = True
    if wrong:
        names = ", ".join(sorted(LIMITS))
        allowed = f"True, False, a collection of {names}, or a dict that maps these to True or False"
        found = f"{describe(validate)} with something else"
        raise RequestError("The request was not checked", problems=(Problem("validate", found, allowed),))
    return chosen


def _plan(operation: OperationModel) -> _Plan:
    plan = _plans.get(operation)
    if plan is None:
        plan = _plans[operation] = _read(operation)
    return plan


def _read(operation: OperationModel) -> _Plan:
    shape = operation.input_shape
    if shape is None:
        return _Plan(operation.name, {}, {})
    body = shape.serialization.get("payload")
    members: dict[str, Member] = {}
    checks: dict[str, Check] = {}
    for name, member in shape.members.items():
        argument = python_name(name)
        is_body = name == body
        checks[argument] = build_check(member, {}, is_body=is_body)
        members[argument] = Member(
            name=name,
            argument=argument,
            type=member.type_name,
            required=name in shape.required_members,
            sensitive=bool(member.metadata.get("sensitive")),
            is_body=is_body,
            location=member.serialization.get("location"),
            wire_name=member.serialization.get("name"),
            minimum=member.metadata.get("min"),
            maximum=member.metadata.get("max"),
            pattern=member.metadata.get("pattern"),
            enum=tuple(member.metadata.get("enum", ())),
        )
    return _Plan(operation.name, members, checks)
