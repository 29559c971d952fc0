"""What earlier passes learned of a bucket: where LIST is refused, where it fails, how many pages it takes.

Pure: the clock is passed in. What is done with it stands in
:mod:`airflow_provider_aiml.inference.output_scan`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import Seen

__all__ = ["BucketFacts"]

_MEMORY = 600.0  # seconds for which a refusal or a page count is believed
_MOST_FACTS = 4096  # prefixes remembered a bucket


@dataclass(slots=True)
class BucketFacts:
    """What earlier passes learned of one bucket.

    :param refused: prefixes for which LIST is not allowed, and since when.
    :param pages: how many pages the last pass by LIST took, and when.
    :param faulty: prefixes of which LIST failed: how often in a row, and until when it is left alone.
    :param unordered: its LIST does not come in order (directory buckets), so HEAD serves.
    """

    refused: dict[str, float] = field(default_factory=dict)
    pages: dict[tuple[Seen, str], tuple[int, float]] = field(default_factory=dict)
    faulty: dict[str, tuple[int, float]] = field(default_factory=dict)
    unordered: bool = False

    def list_prefix(self, key: str, now: float) -> str | None:
        """Give the shortest prefix of ``key`` for which LIST was not refused; None: HEAD must serve."""
        if self.unordered:
            return None
        end = key.find("/") + 1
        while True:
            prefix = key[:end]
            refused_at = self.refused.get(prefix)
            if refused_at is None or now - refused_at > _MEMORY:
                return prefix
            end = key.find("/", end) + 1
            if end == 0:
                return None

    def refuse(self, prefix: str, now: float) -> None:
        """Remember that LIST of ``prefix`` is not allowed."""
        if len(self.refused) >= _MOST_FACTS:
            self.refused.clear()
        self.refused[prefix] = now

    def list_failed(self, prefix: str) -> int:
        """Remember a fault of a LIST of ``prefix``; give how many it is in a row."""
        count, until = self.faulty.get(prefix, (0, 0.0))
        if len(self.faulty) >= _MOST_FACTS:
            self.faulty.clear()
        self.faulty[prefix] = (count + 1, until)
        return count + 1

    def list_served(self, prefix: str) -> None:
        """Forget the faults of a LIST of ``prefix``."""
        self.faulty.pop(prefix, None)

    def heads_serve(self, prefix: str, now: float) -> None:
        """Remember that HEAD answers where LIST of ``prefix`` failed: LIST is left alone for a while."""
        count, _ = self.faulty.get(prefix, (1, 0.0))
        self.faulty[prefix] = (count, now + min(_MEMORY, 15.0 * 2.0 ** min(count, 10)))

    def list_fails(self, prefix: str, now: float) -> bool:
        """Say whether LIST of ``prefix`` is not worth a try yet."""
        return self.faulty.get(prefix, (0, 0.0))[1] > now

    def expected_pages(self, seen: Seen, prefix: str, now: float) -> int:
        """Give how many pages the last pass by LIST took; 0 where that is not known."""
        count, counted_at = self.pages.get((seen, prefix), (0, now))
        return count if now - counted_at <= _MEMORY else 0

    def learn_pages(self, seen: Seen, prefix: str, count: int, now: float) -> None:
        """Remember how many pages a pass by LIST took."""
        if len(self.pages) >= _MOST_FACTS:
            self.pages.clear()
        self.pages[(seen, prefix)] = (count, now)

    def forget_pages(self, seen: Seen, prefix: str | None) -> None:
        """Let ``prefix`` be passed by LIST the next time."""
        if prefix is not None:
            self.pages.pop((seen, prefix), None)
            if prefix in self.faulty:
                self.faulty[prefix] = (self.faulty[prefix][0], 0.0)
