"""What API Gateway gives to mapping templates: ``$input``, ``$util``, ``$context``, ``$stageVariables``.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, unquote_plus

from airflow_provider_aiml.endpoint_api.java_values import as_java, printed
from airflow_provider_aiml.endpoint_api.json_paths import select

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["escape_java_script", "gateway_variables"]

_SHORT_ESCAPES = {"\b": "b", "\n": "n", "\t": "t", "\f": "f", "\r": "r"}
_ESCAPED = "'\"\\/"


def escape_java_script(text: str) -> str:
    r"""Escape as commons-lang 2 does, which API Gateway uses: ``'`` too, as ``\'``, which JSON does not know.

    https://commons.apache.org/proper/commons-lang/javadocs/api-2.6/org/apache/commons/lang/StringEscapeUtils.html
    """
    return "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    if char in _ESCAPED:
        return "\\" + char
    if char in _SHORT_ESCAPES:
        return "\\" + _SHORT_ESCAPES[char]
    if " " <= char <= "\x7f":
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex().upper()}" for at in range(0, len(units), 2))


def _on_text(function: Callable[[str], Any]) -> Callable[..., Any]:
    return lambda value=None: None if value is None else as_java(function(printed(value)))


_UTIL = {
    "escapeJavaScript": _on_text(escape_java_script),
    "parseJson": _on_text(json.loads),
    "urlEncode": _on_text(lambda text: quote_plus(text, safe="*").replace("~", "%7E")),
    "urlDecode": _on_text(unquote_plus),
    "base64Encode": _on_text(lambda text: base64.b64encode(text.encode()).decode()),
    "base64Decode": _on_text(lambda text: base64.b64decode(text).decode()),
}
_ESC = {"newline": "\n", "dollar": "$", "hash": "#", "quote": '"', "singleQuote": "'", "backslash": "\\"}


def gateway_variables(
    *,
    parameters: Mapping[str, Mapping[str, str]],
    body: str,
    context: Mapping[str, Any],
    stage_variables: Mapping[str, str],
) -> dict[str, Any]:
    """Give the names that a template may use.

    :param parameters: ``path``, ``querystring`` and ``header``, each a map of decoded values.
    :param body: the payload as it came; without any, ``$input.body`` is ``{}``.
    :param context: ``$context``; what a template writes into it is found there afterwards.
    """
    return {
        "input": _input(as_java(parameters), body),
        "util": _UTIL,
        "context": context,
        "stageVariables": as_java(stage_variables),
        "esc": _ESC,
    }


def _input(parameters: Any, body: str) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in dict.items(parameters["header"])}

    def params(name: str | None = None) -> Any:
        if name is None:
            return parameters
        for place in ("path", "querystring"):
            if name in parameters[place]:
                return parameters[place][name]
        return headers.get(str(name).lower(), as_java(""))

    def at_path(path: str) -> Any:
        return as_java(select(_document(body), path))

    def as_json(path: str) -> Any:
        return as_java(json.dumps(select(_document(body), path), ensure_ascii=False, separators=(",", ":")))

    return {"params": params, "path": at_path, "json": as_json, "body": as_java(body or "{}")}


def _document(body: str) -> Any:
    return json.loads(body) if body.strip() else {}
