"""Values that fit any template, for a trial of one without knowing what its callers send."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aiml.endpoint_api.java_values import JavaString

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["SAMPLE_BODIES", "SAMPLE_PARAMETER", "with_sample_body"]


def _whole(text: str, *positions: int) -> str:
    """Give all of it: where a text is cut depends on how long the real one is."""
    _ = [index(one) for one in positions]
    return str.__str__(text)


class _Splitting(JavaString):
    """A text that splits into three of itself, so that a comma which is missing or too many shows."""

    __slots__ = ()
    java: ClassVar[Mapping[str, Callable[..., Any]]] = {
        **JavaString.java,
        "charAt": _whole,
        "split": lambda text, *_: [str.__str__(text)] * 3,
        "substring": _whole,
    }


SAMPLE_PARAMETER = _Splitting("1")


class _Anything(int):
    """A 2 whose properties and elements are 2, as is what its methods give, and which loops over two of them.

    So the count of a loop agrees with its size, and a wrong comma shows here, too.
    """

    def __getitem__(self, key: Any) -> _Anything:
        return self

    def __call__(self, *arguments: Any) -> _Anything:
        return self

    def __iter__(self) -> Iterator[_Anything]:
        return iter((self, self))

    def __len__(self) -> int:
        return 2


class _Agreeing(_Anything):
    """It equals every text that it is compared with, for templates with a branch for each value they know."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        from airspeed.operators import REPLACE_FORMAL_TEXT

        # Airspeed's mark, which it compares with everything before it writes it.
        return other != REPLACE_FORMAL_TEXT if isinstance(other, str) else int.__eq__(self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other


SAMPLE_BODIES = (_Anything(2), _Agreeing(2))


def with_sample_body(variables: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """Give a template's variables with ``body`` wherever it looks in the request's body."""

    def anywhere(*_: Any) -> Any:
        return body

    reading = {**variables["input"], "body": body, "path": anywhere, "json": anywhere}
    return {**variables, "input": reading, "util": {**variables["util"], "parseJson": anywhere}}
