"""Mapping templates, parsed once and rendered often, through airspeed-ext; its errors in our words.

What airspeed takes in another way than API Gateway's Velocity is done as there, or refused.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sized
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.endpoint_api.java_values import as_java, printed
from airflow_provider_aiml.exceptions import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MOST_ITEMS", "TemplateFaultError", "parse", "render"]

_KEPT = 64
MOST_ITEMS = 1000
"""After so many rounds API Gateway ends a ``#foreach`` without a word, and no quota raises it (2026-11).

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
"""
_BRACED = re.compile(r"#\{(if|elseif|foreach|set)\}")
_FOREIGN_TEXT = re.compile(r"#break\b|#\{break\}|(?<!\\)#\[\[")
_NAMES = {
    "input": {"body", "json", "params", "path"},
    "util": {"base64Decode", "base64Encode", "escapeJavaScript", "parseJson", "urlDecode", "urlEncode"},
}


class TemplateFaultError(Exception):
    """A template does not parse, or fails while it is rendered.

    :param found: what is wrong and where, with the template's words, never the payload's.
    """

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found

    def as_problem(self, field: str) -> Problem:
        """Give it as a problem of the argument that the template came in."""
        return Problem(field, self.found, "a mapping template that API Gateway can run")


@lru_cache(maxsize=_KEPT)
def parse(template: str) -> Any:
    """Parse a template.

    :raises TemplateFaultError: it cannot be parsed, or has what cannot be rendered as API Gateway does.
    """
    from airspeed import Template, TemplateSyntaxError

    parsed = Template(_BRACED.sub(r"#\1", template))
    try:
        parsed.ensure_compiled()
        for element in list(_elements(parsed.root_element)):
            _adapt(element)
    except TemplateSyntaxError as error:
        raise TemplateFaultError(f"a template that does not parse: {error}") from None
    except RecursionError:
        raise TemplateFaultError("a template that is nested too deeply") from None
    return parsed


def _elements(value: Any) -> Iterator[Any]:
    """Give each element of a parsed template; airspeed keeps what is in parentheses as a method."""
    from airspeed.operators import ParenthesizedExpression, _Element

    if isinstance(value, _Element):
        yield value
        inside = [value.calculate.__self__] if isinstance(value, ParenthesizedExpression) else []
        value = [*vars(value).values(), *inside]
    elif isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _elements(one)


def _adapt(element: Any) -> None:
    from airspeed.operators import BinaryOperator, ForeachDirective

    if foreign := _foreign(element):
        raise TemplateFaultError(f"a template with {foreign}, which is not known here")
    if isinstance(element, ForeachDirective):
        element.value.calculate = partial(_bounded, element.value.calculate)
    elif isinstance(element, BinaryOperator) and element.apply_to is operator.add:
        element.apply_to = _plus


def _foreign(element: Any) -> str | None:
    """Name what airspeed takes for text or for nothing, or does otherwise than Velocity."""
    from airspeed.operators import FallthroughHashText, FormalReference, MacroDefinition, Text

    if isinstance(element, MacroDefinition):
        return "#macro"
    if isinstance(element, FallthroughHashText):
        found = _FOREIGN_TEXT.match(element.full_text(), element.start)
        return found[0] if found else None
    if isinstance(element, Text):
        return "#[[" if _FOREIGN_TEXT.search(element.my_text()) else None
    return _unknown_name(element.expression) if isinstance(element, FormalReference) else None


def _unknown_name(expression: Any) -> str | None:
    """Name a function of ``$util`` or ``$input`` that API Gateway does not have; airspeed writes nothing."""
    if expression is None or expression.subexpression is None:
        return None
    owner, member = expression.part.name, getattr(expression.subexpression.expression, "part", None)
    if owner not in _NAMES or member is None or member.name in _NAMES[owner]:
        return None
    return f"${owner}.{member.name}"


def _bounded(calculate: Callable[..., Any], *around: Any) -> Any:
    items = calculate(*around)
    if isinstance(items, Sized) and len(items) > MOST_ITEMS:
        found = f"a #foreach over {len(items):,} items, of which API Gateway takes {MOST_ITEMS:,} alone"
        raise TemplateFaultError(found)
    return items


def _plus(left: Any, right: Any) -> Any:
    """Add as Velocity does: what stands beside a text becomes one."""
    texts = isinstance(left, str) or isinstance(right, str)
    if texts and left is not None and right is not None:
        return as_java(printed(left) + printed(right))
    return left + right


def render(template: str, variables: dict[str, Any]) -> str:
    """Render a template.

    :param variables: its names; what the template sets stays out of it, but for what it writes into a map.
    :raises TemplateFaultError: it cannot be parsed, or fails.
    """
    from airspeed import TemplateError

    parsed = parse(template)
    try:
        return str(parsed.merge(dict(variables)))
    except TemplateError as error:
        cause = error.__cause__
        raise (cause if isinstance(cause, TemplateFaultError) else _failure(error)) from None


def _failure(error: Any) -> TemplateFaultError:
    """Say where it failed and with what kind of error; its text may hold the payload."""
    element = getattr(error, "element", None)
    where = f" at {element.my_text().strip()[:80]!r}" if element is not None else ""
    return TemplateFaultError(f"a template that fails{where}: {type(error.__cause__ or error).__name__}")
