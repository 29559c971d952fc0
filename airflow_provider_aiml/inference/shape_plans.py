"""Shapes of botocore's service models, read once into trees of checks.

Lists, maps, structures and unions, and how any shape becomes a check. Names of operations and members do not
enter this room: rules about those are in :mod:`airflow_provider_aiml.inference.cross_field_rules`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.model import ListShape, MapShape, StructureShape

from airflow_provider_aiml.inference.described import describe
from airflow_provider_aiml.inference.patterns import compile_pattern
from airflow_provider_aiml.inference.shape_checks import (
    BlobCheck,
    BoolCheck,
    Bounds,
    Check,
    DocumentCheck,
    NumberCheck,
    OpaqueCheck,
    Run,
    TextCheck,
    TimestampCheck,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from botocore.model import Shape

__all__ = ["ListCheck", "MapCheck", "StructureCheck", "bounds_of", "build_check", "closest"]

_NUMBERS: dict[str, tuple[type[float], ...]] = {
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
}


@dataclass(frozen=True, slots=True)
class ListCheck:
    """A list, and each of its items."""

    bounds: Bounds
    item: Check

    @property
    def allowed(self) -> str:
        """Say what is allowed."""
        return self.bounds.spoken("a list of", "items") or "a list"

    def check(self, value: Any, where: str, run: Run) -> None:
        """Check type, count and items."""
        if not isinstance(value, (list, tuple)):
            run.refuse(where, describe(value), self.allowed)
            return
        if self.bounds.broken_by(len(value), run):
            run.over(where, describe(value), self.allowed)
        for index, item in enumerate(value):
            self.item.check(item, f"{where}[{index}]", run)


@dataclass(frozen=True, slots=True)
class MapCheck:
    """A map. Its keys are the caller's own words, so places are named by number."""

    bounds: Bounds
    key: Check
    value: Check

    @property
    def allowed(self) -> str:
        """Say what is allowed."""
        return self.bounds.spoken("a dict of", "keys") or "a dict"

    def check(self, value: Any, where: str, run: Run) -> None:
        """Check type, count, keys and values."""
        if not isinstance(value, dict):
            run.refuse(where, describe(value), self.allowed)
            return
        if self.bounds.broken_by(len(value), run):
            run.over(where, describe(value), self.allowed)
        for index, (key, item) in enumerate(value.items()):
            self.key.check(key, f"{where}[key {index}]", run)
            self.value.check(item, f"{where}[value {index}]", run)


@dataclass(slots=True)
class StructureCheck:
    """A structure: its members by the API's names. In a union exactly one is given.

    Its members are filled in after it is made, since a shape may contain itself.
    """

    members: dict[str, Check]
    required: tuple[str, ...]
    is_union: bool

    @property
    def allowed(self) -> str:
        """Say what is allowed."""
        return f"a dict with {'exactly one' if self.is_union else 'any'} of {', '.join(self.members)}"

    def check(self, value: Any, where: str, run: Run) -> None:
        """Check type, required and unknown members, and each member."""
        if not isinstance(value, dict):
            run.refuse(where, describe(value), self.allowed)
            return
        if self.is_union and len(value) != 1:
            run.refuse(where, f"a dict with {len(value)} of them", self.allowed)
        for name in self.required:
            if name not in value:
                run.refuse(f"{where}.{name}", "missing", f"{self.members[name].allowed} (required)")
        for name, item in value.items():
            if (member := self.members.get(name)) is not None:
                member.check(item, f"{where}.{name}", run)
            else:
                self._refuse_unknown(name, where, run)

    def _refuse_unknown(self, name: Any, where: str, run: Run) -> None:
        """Name an unknown key only where it is a slip of the pen; any other may be misplaced payload."""
        meant = closest(name, self.members) if isinstance(name, str) else None
        if meant is None:
            run.refuse(where, "a dict with an unknown key", self.allowed)
        else:
            run.refuse(f"{where}.{name}", "unknown", f"{meant} (the closest of {', '.join(self.members)})")


def closest(name: str, known: Iterable[str]) -> str | None:
    """Give the name that was probably meant, if one is near."""
    by_folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return by_folded[near[0]] if near else None


def bounds_of(shape: Shape) -> Bounds:
    """Read a shape's minimum and maximum."""
    return Bounds(shape.metadata.get("min"), shape.metadata.get("max"))


def build_check(shape: Shape, built: dict[str, StructureCheck], *, is_body: bool = False) -> Check:
    """Make the check of a shape.

    :param shape: any shape of a service model.
    :param built: the structures that are made already, by shape name; a shape may contain itself.
    :param is_body: the shape is the whole HTTP body.
    """
    if shape.serialization.get("eventstream"):
        return OpaqueCheck()
    if isinstance(shape, StructureShape):
        return DocumentCheck() if shape.is_document_type else _structure(shape, built)
    if isinstance(shape, ListShape):
        return ListCheck(bounds_of(shape), build_check(shape.member, built))
    if isinstance(shape, MapShape):
        return MapCheck(bounds_of(shape), build_check(shape.key, built), build_check(shape.value, built))
    if shape.type_name == "blob":
        return BlobCheck(bounds_of(shape), is_body)
    return _SCALARS.get(shape.type_name, _number)(shape)


def _structure(shape: StructureShape, built: dict[str, StructureCheck]) -> StructureCheck:
    if (known := built.get(shape.name)) is not None:
        return known
    made = built[shape.name] = StructureCheck({}, tuple(shape.required_members), bool(shape.is_tagged_union))
    made.members.update({name: build_check(member, built) for name, member in shape.members.items()})
    return made


def _text(shape: Shape) -> Check:
    java = shape.metadata.get("pattern")
    return TextCheck(
        bounds=bounds_of(shape),
        enum=tuple(shape.metadata.get("enum", ())),
        java=java,
        pattern=compile_pattern(java) if java else None,
        sensitive=bool(shape.metadata.get("sensitive")),
        location=shape.serialization.get("location"),
    )


def _number(shape: Shape) -> Check:
    return NumberCheck(_NUMBERS[shape.type_name], bounds_of(shape), bool(shape.metadata.get("sensitive")))


_SCALARS: dict[str, Callable[[Any], Check]] = {
    "string": _text,
    "character": _text,
    "boolean": lambda shape: BoolCheck(),
    "timestamp": lambda shape: TimestampCheck(),
}
