"""Routes and parameters: how we write them, and how API Gateway does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "PARAMETER_NAME",
    "declared_parameters",
    "is_parameter",
    "is_segment",
    "path_variables",
    "split_path",
]

PARAMETER_NAME = re.compile(r"[A-Za-z0-9._:-]+")
_LITERAL = re.compile(r"[A-Za-z0-9._:-]+")
_VARIABLE = re.compile(r"\{([A-Za-z0-9._:-]+)(\+?)\}")
_PREFIX = "method.request."
_PLACES = ("querystring", "header")
# Places that others than a method's declaration know, or that are declared by the path itself.
_OTHER_PLACES = ("path", "multivaluequerystring", "multivalueheader")


def split_path(path: str) -> tuple[str, ...]:
    """Give a path's segments; slashes at its ends do not matter."""
    return tuple(path.strip("/").split("/")) if path.strip("/") else ()


def is_segment(segment: str, *, last: bool) -> bool:
    """Say whether API Gateway takes this as a segment: plain, ``{name}``, or ``{name+}`` at the end.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-settings-method-request.html
    """
    if variable := _VARIABLE.fullmatch(segment):
        return last or not variable[2]
    return bool(_LITERAL.fullmatch(segment))


def path_variables(segments: Iterable[str]) -> list[str]:
    """Give the names of a route's variables."""
    return [variable[1] for segment in segments if (variable := _VARIABLE.fullmatch(segment))]


def is_parameter(name: str) -> bool:
    """Say whether a method can declare this: ``items``, ``header.X-Name``, or API Gateway's own name for it.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html
    """
    short = name.removeprefix(_PREFIX)
    place = short.partition(".")[0]
    known = place in _PLACES if short != name else place not in _OTHER_PLACES or place == short
    return known and bool(PARAMETER_NAME.fullmatch(short))


def declared_parameters(segments: Iterable[str], parameters: Mapping[str, bool]) -> dict[str, bool]:
    """Give what a method declares, as API Gateway calls it, with whether it is required.

    :param parameters: ``items`` or ``querystring.items``, ``header.X-Name``, or API Gateway's own name.
    """
    declared = {f"{_PREFIX}path.{name}": True for name in path_variables(segments)}
    for name, required in parameters.items():
        short = name.removeprefix(_PREFIX)
        where, _, rest = short.partition(".")
        full = short if rest and where in _PLACES else f"querystring.{short}"
        declared[_PREFIX + full] = bool(required)
    return declared
