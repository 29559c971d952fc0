"""Mapping templates, run by airspeed-ext with the gateway's variables.

Written apart from the provider's own local rendering on purpose, so that neither hides the other's faults.
"""

from __future__ import annotations

import base64
import json
import re
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, unquote_plus

from airflow_provider_aiml.local_aws.execute_api.refusals import RefusedError, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["run_template"]

_ESCAPES = str.maketrans(
    {'"': '\\"', "'": "\\'", "\\": "\\\\", "/": "\\/", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b"}
)


class _Text(str):
    """A text with the methods of Java's strings that templates use."""

    __slots__ = ()

    def split(self, pattern: str) -> list[_Text]:  # type: ignore[override]
        parts = re.split(pattern, self)
        if len(parts) > 1:
            while parts and not parts[-1]:
                del parts[-1]
        return [_Text(part) for part in parts]

    def trim(self) -> _Text:
        return _Text(self.strip(" \t\r\n\f\v\b\0"))

    def matches(self, pattern: str) -> bool:
        return bool(re.fullmatch(pattern, self))

    def replaceAll(self, pattern: str, new: str) -> _Text:  # noqa: N802
        return _Text(re.sub(pattern, re.sub(r"\\(.)|\$(\d)", _as_pythons, new), self))

    def substring(self, start: int, end: int | None = None) -> _Text:
        stop = len(self) if end is None else end
        if not 0 <= start <= stop <= len(self):
            raise IndexError
        return _Text(self[start:stop])

    def charAt(self, position: int) -> _Text:  # noqa: N802
        return self.substring(position, position + 1)

    def contains(self, part: str) -> bool:
        return part in self

    def startsWith(self, start: str) -> bool:  # noqa: N802
        return self.startswith(start)

    def indexOf(self, part: str, start: int = 0) -> int:  # noqa: N802
        return self.find(part, max(start, 0))

    def endsWith(self, end: str) -> bool:  # noqa: N802
        return self.endswith(end)

    def equals(self, other: Any) -> bool:
        return bool(self == other)

    def isEmpty(self) -> bool:  # noqa: N802
        return not self

    def length(self) -> int:
        return len(self)

    def toUpperCase(self) -> _Text:  # noqa: N802
        return _Text(self.upper())

    def toLowerCase(self) -> _Text:  # noqa: N802
        return _Text(self.lower())


def _as_pythons(piece: re.Match[str]) -> str:
    """Write a piece of Java's replacement as Python's: ``$1`` is a group, a backslash quotes what follows."""
    return f"\\g<{piece[2]}>" if piece[2] else piece[1].replace("\\", r"\\")


class _Rounds(list[Any]):
    """What a loop goes over: the gateway ends it after a thousand rounds, while there is a next one."""

    def __iter__(self) -> Iterator[Any]:
        return islice(super().__iter__(), 1000)


def _rounds(calculate: Callable[..., Any], *around: Any) -> Any:
    items = calculate(*around)
    items = list(items) if isinstance(items, dict) else items
    return _Rounds(items) if isinstance(items, list | range) else items


def _texts(value: Any) -> Any:
    """Give a value with every text in it as one of ours."""
    if isinstance(value, dict):
        return {name: _texts(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_texts(one) for one in value]
    return _Text(value) if isinstance(value, str) else value


class _Util:
    """``$util``, its methods spelt as the gateway spells them."""

    def escapeJavaScript(self, text: Any) -> str:  # noqa: N802
        if text is None:
            return ""
        pieces = []
        for char in str(text).translate(_ESCAPES):
            if " " <= char <= "~":
                pieces.append(char)
            else:
                pieces.append(json.dumps(char)[1:-1])
        return _Text("".join(pieces))

    def urlEncode(self, text: Any) -> str:  # noqa: N802
        return quote_plus(str(text))

    def urlDecode(self, text: Any) -> str:  # noqa: N802
        return unquote_plus(str(text))

    def base64Encode(self, text: Any) -> str:  # noqa: N802
        return base64.b64encode(str(text).encode()).decode()

    def base64Decode(self, text: Any) -> str:  # noqa: N802
        return base64.b64decode(str(text)).decode()

    def parseJson(self, text: Any) -> Any:  # noqa: N802
        return _texts(json.loads(str(text)))


class _Input:
    """``$input``."""

    def __init__(self, parameters: Mapping[str, Mapping[str, str]], body: str) -> None:
        self._parameters = _texts({place: dict(values) for place, values in parameters.items()})
        self.body = _Text(body or "{}")

    def params(self, name: str | None = None) -> Any:
        if name is None:
            return self._parameters
        for place in ("path", "querystring", "header"):
            wanted = name.lower() if place == "header" else name
            if wanted in self._parameters[place]:
                return self._parameters[place][wanted]
        return _Text()

    def path(self, path: str) -> Any:
        return _texts(_find(path, self._document()))

    def json(self, path: str) -> str:
        return json.dumps(_find(path, self._document()))

    def _document(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            message = f"Could not parse request body into json: {error}"
            raise RefusedError(400, message, "BadRequestException") from None


def _find(path: str, document: Any) -> Any:
    found = [match.value for match in _parsed_path(path).find(document)]
    if "*" in path or ".." in path:
        return found
    return found[0] if found else None


@lru_cache(maxsize=256)
def _parsed_path(path: str) -> Any:
    from jsonpath_ng.ext.parser import parse

    return parse(path)


@lru_cache(maxsize=256)
def _parsed_template(template: str) -> Any:
    from airspeed import Template
    from airspeed.operators import ForeachDirective, _Element

    # Airspeed knows the braces of #{else} and #{end} alone.
    parsed = Template(re.sub(r"#\{(set|if|elseif|foreach)\}", r"#\1", template))
    parsed.ensure_compiled()
    elements: list[Any] = [parsed.root_element]
    while elements:
        element = elements.pop()
        inside = vars(element).values() if isinstance(element, _Element) else element
        elements += [one for one in inside if isinstance(one, _Element | list)]
        if isinstance(element, ForeachDirective):
            element.value.calculate = partial(_rounds, element.value.calculate)
    return parsed


def run_template(
    template: str,
    *,
    parameters: Mapping[str, Mapping[str, str]],
    body: str,
    context: dict[str, Any],
    stage_variables: Mapping[str, str],
) -> str:
    """Run a template.

    :param context: ``$context``; overrides are found in it afterwards.
    :raises RefusedError: the template fails, or wants JSON of a body that is none.
    """
    names = {
        "input": _Input(parameters, body),
        "util": _Util(),
        "context": context,
        "stageVariables": dict(stage_variables),
        "esc": {"newline": "\n"},
    }
    try:
        return str(_parsed_template(template).merge(names))
    except Exception as error:  # a template can fail in any way
        cause = error.__cause__ or error
        raise (cause if isinstance(cause, RefusedError) else failed()) from None
