"""Mapping templates, parsed once and rendered often, through airspeed-ext; its errors in our words."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from airflow_provider_aiml.exceptions import Problem

__all__ = ["TemplateFaultError", "parse", "render"]

_KEPT = 64


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

    :raises TemplateFaultError: it cannot be parsed.
    """
    from airspeed import Template, TemplateSyntaxError

    parsed = Template(template)
    try:
        parsed.ensure_compiled()
    except TemplateSyntaxError as error:
        raise TemplateFaultError(f"a template that does not parse: {error}") from None
    except RecursionError:
        raise TemplateFaultError("a template that is nested too deeply") from None
    return parsed


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
        raise TemplateFaultError(_failure(error)) from None


def _failure(error: Any) -> str:
    """Say where it failed and with what kind of error; its text may hold the payload."""
    element = getattr(error, "element", None)
    where = f" at {element.my_text().strip()[:80]!r}" if element is not None else ""
    return f"a template that fails{where}: {type(error.__cause__ or error).__name__}"
