"""The expression that picks, from a whole result, what a task gives to the next one.

jmespath is imported where it is used: a DAG file without expressions does not pay for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.exceptions import Problem, RequestError, ResponseError

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_MOST_KEYS = 20
_LONGEST_NAME = 40


def check_expression(expression: str) -> None:
    """Refuse what is not a JMESPath, or one that no answer can fit.

    :param expression: the expression, without Jinja.
    :raises RequestError: the expression does not parse, calls a function that there is not or with another
        number of arguments, or gives no value but an expression, as ``&body`` does.
        https://jmespath.org/specification.html
    """
    import jmespath
    from jmespath.exceptions import JMESPathError

    allowed = "a JMESPath over the whole result, such as body.predictions[0]"
    try:
        parsed = jmespath.compile(expression).parsed
    except (JMESPathError, TypeError, AttributeError) as error:
        at = getattr(error, "lex_position", None)
        found = "not a JMESPath" if at is None else f"not a JMESPath from character {at}"
    else:
        mistake = next(_mistakes(parsed), None)
        if mistake is None:
            return
        found = mistake
    problem = Problem("result_expression", found, allowed)
    raise RequestError("The expression cannot be read", problems=(problem,))


def _mistakes(node: Mapping[str, Any], wanted: bool = False) -> Iterator[str]:
    """Name what is wrong with a parsed JMESPath whatever the answer will be, as far as it can be told.

    :param wanted: whether the node stands where a function takes an expression.
    """
    if node["type"] == "expref" and not wanted:
        yield "one whose & is not within sort_by, min_by, max_by or map"
    children = [child for child in node["children"] if isinstance(child, Mapping)]
    expressions: list[bool] = []
    if node["type"] == "function_expression":
        signature = _signature(node["value"])
        yield from _miscalled(node["value"], signature, len(children))
        expressions = [argument["types"] == ["expref"] for argument in signature or ()]
    expressions += [False] * (len(children) - len(expressions))
    for number, (child, takes_it) in enumerate(zip(children, expressions, strict=True), start=1):
        if takes_it and child["type"] != "expref":
            yield f"one without & before argument {number} of {node['value']}()"
        yield from _mistakes(child, takes_it)


def _signature(function: str) -> tuple[Mapping[str, Any], ...] | None:
    from jmespath.functions import Functions

    known = Functions.FUNCTION_TABLE.get(function)
    return None if known is None else known["signature"]


def _miscalled(function: str, signature: tuple[Mapping[str, Any], ...] | None, given: int) -> Iterator[str]:
    """Compare a call with what the function takes."""
    if signature is None:
        yield f"one with {function[:_LONGEST_NAME]}(), which JMESPath does not have"
        return
    takes, more = len(signature), any(argument.get("variadic") for argument in signature)
    if given < takes or (given > takes and not more):
        counted = f"{given} argument{'' if given == 1 else 's'}"
        yield f"one with {function}() of {counted}, which takes {takes}{' or more' if more else ''}"


def apply_expression(
    expression: str, result: Mapping[str, Any] | list[Any], *, log_payloads: bool = False
) -> Any:
    """Evaluate ``expression`` on the whole result, whose ``body`` is one key; warn where it finds nothing.

    :param expression: a JMESPath, for example ``body.choices[0].message.content``.
    :param result: the operator's whole result, or a list of them.
    :param log_payloads: name the keys of the answer too, where nothing is found: they may be records' own.
        Default: False.
    :raises RequestError: the expression cannot be used.
    :raises ResponseError: a function in it does not fit the answer (``length`` of a number). The answer was
        paid for; it is not thrown away where ``output_uri`` is set.
    """
    import jmespath

    check_expression(expression)
    try:
        value = jmespath.search(expression, result)
    except Exception as error:  # floor of a number that is none raises what Python does
        kind = type(error).__name__
    else:
        if value is None:
            keys = _keys(result, log_payloads)
            log.warning("result_expression gave null; the keys at its root are %s", keys)
        return value
    raise ResponseError(
        f"result_expression does not fit the answer: {kind}",
        hint=f"the keys at its root are {_keys(result, log_payloads)}",
    )


def _keys(result: Mapping[str, Any] | list[Any], log_payloads: bool) -> str:
    """Name the keys of the result, which are ours; of what the model gave, how many there are."""
    if isinstance(result, list):
        if not result:
            return "none: the list is empty"
        return f"those of a list of {len(result)}: {_keys(result[0], log_payloads)}"
    return ", ".join(key + _inner_keys(value, log_payloads) for key, value in result.items())


def _inner_keys(value: object, log_payloads: bool) -> str:
    if not isinstance(value, Mapping):
        return ""
    if log_payloads:
        return f" (with {', '.join(sorted(map(str, value))[:_MOST_KEYS])})"
    return f" (with {len(value)} key{'' if len(value) == 1 else 's'})"
