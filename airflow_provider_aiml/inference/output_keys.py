"""Keys that are waited for, in S3's own order, however many there are.

A hundred thousand strings cannot be sorted without stalling an event loop, so they are kept sorted, in blocks
small enough that no single insertion costs more than microseconds. Nothing of S3, Airflow or asyncio may
enter here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Shelf", "SortedKeys"]

_BLOCK = 512  # keys; a block is split at twice this

T = TypeVar("T")


class SortedKeys:
    """A set of strings that stays sorted by code point, which is the order of S3's LIST (UTF-8 bytes)."""

    __slots__ = ("_blocks", "_lasts")

    def __init__(self) -> None:
        self._blocks: list[list[str]] = []
        self._lasts: list[str] = []

    def add(self, key: str) -> None:
        """Put in a key that is not in it yet."""
        if not self._blocks:
            self._blocks.append([key])
            self._lasts.append(key)
            return
        at = min(bisect_left(self._lasts, key), len(self._blocks) - 1)
        block = self._blocks[at]
        insort(block, key)
        if len(block) > 2 * _BLOCK:
            self._blocks.insert(at + 1, block[_BLOCK:])
            del block[_BLOCK:]
            self._lasts.insert(at, block[-1])
        else:
            self._lasts[at] = block[-1]

    def remove(self, key: str) -> None:
        """Take out a key that is in it."""
        at = bisect_left(self._lasts, key)
        block = self._blocks[at]
        del block[bisect_left(block, key)]
        if block:
            self._lasts[at] = block[-1]
        else:
            del self._blocks[at], self._lasts[at]

    def first_from(self, key: str) -> str | None:
        """Give the first key at or behind ``key``."""
        at = bisect_left(self._lasts, key)
        if at == len(self._blocks):
            return None
        block = self._blocks[at]
        return block[bisect_left(block, key)]

    def behind(self, key: str, most: int) -> list[str]:
        """Give at most ``most`` keys that lie behind ``key``, in order."""
        return list(islice(self._iterate(bisect_right(self._lasts, key), key), most))

    def _iterate(self, at: int, key: str) -> Iterator[str]:
        for block in self._blocks[at : at + 1]:
            yield from block[bisect_right(block, key) :]
        for block in self._blocks[at + 1 :]:
            yield from block

    def count(self, start: str, end: str | None) -> int:
        """Count the keys from ``start`` on and before ``end``; None: to the last."""
        behind_end = len(self) if end is None else self._rank(end)
        return max(0, behind_end - self._rank(start))

    def _rank(self, key: str) -> int:
        at = bisect_left(self._lasts, key)
        before = sum(map(len, self._blocks[:at]))
        return before + bisect_left(self._blocks[at], key) if at < len(self._blocks) else before

    def borders(self, parts: int) -> list[str]:
        """Give at most ``parts - 1`` keys, in order, that cut the set into parts of about equal size."""
        blocks = len(self._blocks)
        parts = min(parts, blocks)
        return [self._blocks[blocks * part // parts][0] for part in range(1, parts)]

    def __len__(self) -> int:
        return sum(map(len, self._blocks))


class Shelf(Generic[T]):
    """Sorted keys, each with the ones who wait for it.

    The waiters of a key are told apart by identity: two tries of one task may wait for the same object.
    """

    __slots__ = ("_waiters", "keys")

    def __init__(self) -> None:
        self.keys = SortedKeys()
        self._waiters: dict[str, T | list[T]] = {}

    def add(self, key: str, waiter: T) -> None:
        """Let ``waiter`` wait for ``key``."""
        there = self._waiters.get(key)
        if there is None:
            self._waiters[key] = waiter
            self.keys.add(key)
        elif isinstance(there, list):
            there.append(waiter)
        else:
            self._waiters[key] = [there, waiter]

    def remove(self, key: str, waiter: T) -> None:
        """Let ``waiter``, which waits for ``key``, wait no longer."""
        there = self._waiters[key]
        if isinstance(there, list):
            there[:] = [one for one in there if one is not waiter]
            if there:
                return
        del self._waiters[key]
        self.keys.remove(key)

    def at(self, key: str) -> list[T]:
        """Give those who wait for ``key``, in a list of the caller's own."""
        there = self._waiters.get(key)
        if there is None:
            return []
        return list(there) if isinstance(there, list) else [there]

    def __contains__(self, key: str) -> bool:
        return key in self._waiters

    def __len__(self) -> int:
        return len(self._waiters)
