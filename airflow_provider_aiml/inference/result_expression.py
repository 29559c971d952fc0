"""The expression that picks, from a whole result, what a task gives to the next one.

jmespath is imported where it is used: a DAG file without expressions does not pay for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow_provider_aiml.exceptions import Problem, RequestError, ResponseError

log = logging.getLogger(__name__)


def check_expression(expression: str, field: str = "result_expression") -> None:
    """Refuse what is not a JMESPath.

    :param expression: the expression, without Jinja.
    :param field: the argument that holds it.
    :raises RequestError: the expression does not parse. https://jmespath.org/specification.html
    """
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(expression)
    except (JMESPathError, TypeError, AttributeError) as error:
        at = getattr(error, "lex_position", None)
        found = "not a JMESPath" if at is None else f"not a JMESPath from character {at}"
        allowed = "a JMESPath over the whole result, such as body.predictions[0]"
        raise RequestError(
            "The expression cannot be read", problems=(Problem(field, found, allowed),)
        ) from None


def apply_expression(expression: str, result: Mapping[str, Any] | list[Any]) -> Any:
    """Evaluate ``expression`` on the whole result, whose ``body`` is one key; warn where it finds nothing.

    :param expression: a JMESPath, for example ``body.choices[0].message.content``.
    :param result: the operator's whole result, or a list of them.
    :raises RequestError: the expression does not parse.
    :raises ResponseError: a function in it does not fit the answer (``length`` of a number). The answer was
        paid for; it is not thrown away where ``output_uri`` is set.
    """
    import jmespath
    from jmespath.exceptions import JMESPathError

    check_expression(expression)
    try:
        value = jmespath.search(expression, result)
    except (JMESPathError, TypeError) as error:
        raise ResponseError(
            f"result_expression does not fit the answer: {type(error).__name__}",
            hint=f"the keys at its root are {_keys(result)}",
        ) from None
    if value is None:
        log.warning("result_expression gave null; the keys at its root are %s", _keys(result))
    return value


def _keys(result: Mapping[str, Any] | list[Any]) -> str:
    """Name the keys of the result and, one level down, the keys of a JSON body: names, never values."""
    if isinstance(result, list):
        return (
            f"those of a list of {len(result)}: {_keys(result[0])}" if result else "none: the list is empty"
        )
    named = ", ".join(result)
    body = result.get("body")
    if isinstance(body, Mapping):
        inner = ", ".join(sorted(map(str, body))[:20])
        return f"{named} (in body: {inner})"
    return named
