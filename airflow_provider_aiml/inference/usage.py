"""What several turns cost together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["add_usage", "total_tokens"]


def add_usage(parts: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Add up the numbers of several ``usage`` or ``metrics``, whatever members AWS gives them.

    Numbers of one name are added; of lists (``cacheDetails``), those entries that agree in all that is no
    number.

    :param parts: one for each turn; None where a turn had none.
    """
    total: dict[str, Any] = {}
    for part in parts:
        for name, value in (part or {}).items():
            total[name] = _added(total.get(name), value)
    return total


def total_tokens(usage: Mapping[str, Any]) -> int:
    """Give the tokens of a usage, read and written, cached ones included."""
    names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    counted = sum(int(usage.get(name) or 0) for name in names)
    return max(counted, int(usage.get("totalTokens") or 0))


def _added(so_far: Any, value: Any) -> Any:
    if isinstance(value, bool) or so_far is None:
        return list(value) if isinstance(value, list) else value
    if isinstance(value, (int, float)) and isinstance(so_far, (int, float)):
        return so_far + value
    if isinstance(value, Mapping) and isinstance(so_far, Mapping):
        return add_usage([so_far, value])
    if isinstance(value, list) and isinstance(so_far, list):
        return _added_entries(so_far, value)
    return value


def _added_entries(so_far: list[Any], more: list[Any]) -> list[Any]:
    added: dict[str, Any] = {}
    for entry in [*so_far, *more]:
        label = repr(_label(entry))
        added[label] = add_usage([added[label], entry]) if label in added else entry
    return list(added.values())


def _label(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return sorted((name, value) for name, value in entry.items() if not isinstance(value, (int, float)))
