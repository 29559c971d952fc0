"""The expression that picks, from a whole result, what a task gives to the next one.

jmespath is imported where it is used: a DAG file without expressions does not pay for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow_provider_aiml.exceptions import Problem, RequestError, ResponseError

log = logging.getLogger(__name__)

_TAKE_EXPRESSIONS = frozenset({"sort_by", "min_by", "max_by", "map"})
_MOST_KEYS = 20


def check_expression(expression: str, field: str = "result_expression") -> None:
    """Refuse what is not a JMESPath.

    :param expression: the expression, without Jinja.
    :param field: the argument that holds it.
    :raises RequestError: the expression does not parse, or gives no value but an expression, as ``&body``
        does. https://jmespath.org/specification.html
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
        if not _gives_expression(parsed):
            return
        found = "one whose & is not within sort_by, min_by, max_by or map"
    problem = Problem(field, found, allowed)
    raise RequestError("The expression cannot be read", problems=(problem,))


def _gives_expression(node: Mapping[str, Any], function: str = "") -> bool:
    """Say whether a parsed JMESPath holds an expression that no function takes.

    :param function: the function whose argument the node is.
    """
    if node["type"] == "expref" and function not in _TAKE_EXPRESSIONS:
        return True
    called = str(node["value"]) if node["type"] == "function_expression" else ""
    return any(_gives_expression(child, called) for child in node["children"] if isinstance(child, Mapping))


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
