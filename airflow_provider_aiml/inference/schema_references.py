"""The references of a JSON schema to places in itself: found, followed, and moved with the schema.

https://json-schema.org/draft/2020-12/json-schema-core#section-8.2
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

__all__ = ["DEFINITIONS", "leads_somewhere", "moved", "references"]

DEFINITIONS: Final = ("$defs", "definitions")
"""Keywords under which a schema keeps others, to refer to."""
_REFERENCES: Final = frozenset({"$ref", "$dynamicRef"})
_ANCHORS: Final = ("$anchor", "$dynamicAnchor", "$id")
"""Keywords that name a place; the last one did in older drafts, with a ``#`` before the name."""
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas", *DEFINITIONS})
"""Keywords that hold schemas by name."""
_VALUES: Final = frozenset({"const", "enum", "default", "examples"})
"""Keywords that hold values, which look like schemas at most."""


def references(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    """Give each reference and where it stands.

    :param schema: a JSON schema.
    :param path: what the schema itself is called.
    """
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in _REFERENCES and isinstance(value, str):
                yield f"{path}[{key!r}]", value
            yield from references(value, f"{path}[{key!r}]")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from references(value, f"{path}[{index}]")


def leads_somewhere(schema: Any, reference: str) -> bool:
    """Follow a JSON pointer (``#/…``) or an anchor (``#name``).

    :param schema: the whole schema.
    :param reference: a reference to a place in it.
    """
    if not reference.startswith("#/"):
        return reference == "#" or reference[1:] in _anchors(schema)
    target = schema
    for step in unquote(reference[2:]).split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and key.isdecimal() and int(key) < len(target):
            target = target[int(key)]
        elif isinstance(target, Mapping) and key in target:
            target = target[key]
        else:
            return False
    return True


def _anchors(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        yield from (name.removeprefix("#") for key in _ANCHORS if isinstance(name := schema.get(key), str))
        schema = list(schema.values())
    for value in schema if isinstance(schema, list) else ():
        yield from _anchors(value)


def moved(schema: Any, place: str) -> Any:
    """Give a copy whose references fit the place that the schema has moved to.

    :param schema: a JSON schema, or a part of one.
    :param place: where it stands now, as a JSON pointer; its definitions stand at the top, as before.
    """
    if isinstance(schema, list):
        return [moved(value, place) for value in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {key: _moved_under(key, value, place) for key, value in schema.items()}


def _moved_under(key: str, value: Any, place: str) -> Any:
    if key in _REFERENCES and isinstance(value, str):
        pointer = value == "#" or value.startswith("#/")
        stays = unquote(value).split("/")[1:2] in ([name] for name in DEFINITIONS)
        return f"#{place}{value[1:]}" if pointer and not stays else value
    if key in _VALUES:
        return value
    if key in _NAMED and isinstance(value, Mapping):
        return {name: moved(item, place) for name, item in value.items()}
    return moved(value, place)
