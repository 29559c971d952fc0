"""Which calls to make to learn which pending keys of a bucket are there: LIST or HEAD, and from where.

The rule, in full:

* Pending keys are walked in S3's own order. A LIST asks for a page that begins just before the next undecided
  key (StartAfter), and decides every pending key up to the last one on the page; what lies between is
  skipped. So a LIST always decides at least one key, and a pass by LIST never takes more calls than one by
  HEAD.
* A LIST's prefix is the first segment of the key's path. Where that is refused, it grows by a segment; where
  the key's own folder is refused, its keys are asked for by HEAD. A refusal is forgotten after ten minutes.
* HEAD is taken where it needs no more calls: when a prefix's last pass by LIST took at least as many pages as
  there are keys pending in it now (few pending among many old objects). A prefix that is new, or whose last
  pass by LIST is ten minutes ago, is passed by LIST, which alone can tell a missing bucket from a missing
  key.
* A HEAD's error has no body. After a 400 or 403 one LIST of one key is made to learn its reason: expired keys
  look like a missing permission.

Pure: clock and answers are passed in.
See https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.output_look import unexplained
from airflow_provider_aiml.inference.outputs import CREDENTIAL_CODES, FATAL_CODES, SLOW_DOWN_CODES, Look, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_aiml.inference.output_keys import Shelf

__all__ = ["BucketFacts", "Heads", "ListPage", "Pass", "Walk"]

PAGE_KEYS = 400
"""Keys a page: to parse them holds an event loop for 4 ms without their dates, and for 20 with them."""

HEADS_AT_ONCE = 50
"""Keys that are asked for by HEAD in one step."""

_MEMORY = 600.0  # seconds for which a refusal or a page count is believed
_MOST_FACTS = 4096  # prefixes remembered a bucket
_LANES = 4  # walks side by side in one pass
_PAGES_PER_LANE = 16  # expected pages that justify one more walk
_STOPPING_CODES = (CREDENTIAL_CODES | SLOW_DOWN_CODES | FATAL_CODES.keys()) - {"ParamValidationError"}
_NOTHING = Look(Seen.NOTHING)


@dataclass(slots=True)
class BucketFacts:
    """What earlier passes learned of one bucket.

    :param unordered: its LIST does not come in order (directory buckets), so HEAD serves.
    """

    refused: dict[str, float] = field(default_factory=dict)
    pages: dict[tuple[Seen, str], tuple[int, float]] = field(default_factory=dict)
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

    def expected_pages(self, seen: Seen, prefix: str, now: float) -> int:
        """Give how many pages the last pass by LIST took; 0 where that is not known."""
        count, counted_at = self.pages.get((seen, prefix), (0, now))
        return count if now - counted_at <= _MEMORY else 0

    def learn_pages(self, seen: Seen, prefix: str, count: int, now: float) -> None:
        """Remember how many pages a pass by LIST took."""
        if len(self.pages) >= _MOST_FACTS:
            self.pages.clear()
        self.pages[(seen, prefix)] = (count, now)


@dataclass(frozen=True, slots=True)
class ListPage:
    """Ask for one page by LIST.

    :param explain: only to learn why a HEAD was refused.
    """

    prefix: str
    start_after: str
    max_keys: int = PAGE_KEYS
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Heads:
    """Ask for each of these keys by HEAD."""

    keys: tuple[str, ...]


class Pass:
    """One pass over all pending keys of a shelf, by one or more walks side by side.

    :param shelf: the pending keys. It may lose keys meanwhile.
    :param facts: what is known of the bucket; the pass adds to it.
    :param seen: what it means that a key is there.
    :param now: seconds, of any clock that does not go back.
    :param fault: why the bucket cannot be asked at all; the pass is over before it begins.
    """

    def __init__(
        self, shelf: Shelf[Any], facts: BucketFacts, seen: Seen, now: float, fault: Look | None = None
    ) -> None:
        self.shelf = shelf
        self.facts = facts
        self.seen = seen
        self.now = now
        self.fault = fault
        self.doubts: dict[str, Look] = {}
        self.explained = False
        self._pages: dict[str, int] = {}
        self._expected: dict[str, bool] = {}
        borders = shelf.keys.borders(self._walk_count())
        self.walks = [
            Walk(self, start, end) for start, end in zip(["", *borders], [*borders, None], strict=True)
        ]

    def _walk_count(self) -> int:
        if self.fault is not None or not len(self.shelf):
            return 1
        first = self.shelf.keys.first_from("") or ""
        prefix = self.facts.list_prefix(first, self.now)
        expected = 0 if prefix is None else self.facts.expected_pages(self.seen, prefix, self.now)
        return 1 + min(_LANES - 1, expected // _PAGES_PER_LANE)

    def lists_better(self, prefix: str, end: str | None) -> bool:
        """Decide once a pass whether the keys of ``prefix`` are asked for by LIST."""
        if prefix not in self._expected:
            pending = self.shelf.keys.count(prefix, end)
            self._expected[prefix] = self.facts.expected_pages(self.seen, prefix, self.now) < pending
        return self._expected[prefix]

    def give_up_listing(self, prefix: str) -> None:
        """Ask by HEAD for the rest of ``prefix``."""
        self._expected[prefix] = False

    def tally(self, prefix: str) -> None:
        """Count a page."""
        self._pages[prefix] = self._pages.get(prefix, 0) + 1

    def look_at(self, key: str) -> Look:
        """Say what the pass, now over, saw of a key that it did not find."""
        if self.fault is not None:
            return self.fault
        return self.doubts.get(key) or next((w.broken for w in self.walks if w.misses(key)), None) or _NOTHING

    @property
    def clean(self) -> bool:
        """Whether every key was asked for and answered plainly."""
        return self.stop is None and not self.doubts

    @property
    def stop(self) -> Look | None:
        """The fault that ended the pass early; None if none did."""
        return self.fault or next((walk.broken for walk in self.walks if walk.broken is not None), None)

    def close(self) -> None:
        """Remember how many pages each prefix took, now that the pass is over."""
        if self.stop is None:
            for prefix, count in self._pages.items():
                self.facts.learn_pages(self.seen, prefix, count, self.now)


class Walk:
    """A walk over the pending keys from ``start`` to before ``end``: gives steps, takes answers."""

    __slots__ = ("_asked", "_cursor", "_end", "_over", "_reached", "_step", "broken")

    def __init__(self, over: Pass, start: str, end: str | None) -> None:
        self._over = over
        self._cursor: str | None = start
        self._end = end
        self._reached = ""
        self._asked = ""
        self._step: ListPage | Heads | None = None
        self.broken: Look | None = None

    def next_step(self) -> ListPage | Heads | None:
        """Give the next call or calls to make; None when the walk is over."""
        self._step = None
        if self.broken is None and self._over.fault is None:
            self._step = self._explanation() or self._plan()
        return self._step

    def _explanation(self) -> ListPage | None:
        if not self._asked or self._over.explained:
            return None
        self._over.explained = True
        return ListPage(self._asked, "", max_keys=1, explain=True)

    def _next_key(self) -> str | None:
        key = None if self._cursor is None else self._over.shelf.keys.first_from(self._cursor)
        return None if key is None or (self._end is not None and key >= self._end) else key

    def _plan(self) -> ListPage | Heads | None:
        key = self._next_key()
        if key is None:
            return None
        prefix = self._over.facts.list_prefix(key, self._over.now)
        if prefix is not None and self._over.lists_better(prefix, _behind(prefix)):
            self._over.tally(prefix)
            return ListPage(prefix, max(_before(key), self._reached))
        keys = [key]
        for other in self._over.shelf.keys.behind(key, HEADS_AT_ONCE - 1):
            if self._end is not None and other >= self._end:
                break
            if self._over.facts.list_prefix(other, self._over.now) != prefix:
                break
            keys.append(other)
        return Heads(tuple(keys))

    def on_page(self, page: Sequence[str], truncated: bool) -> list[str]:
        """Take the answer to a :class:`ListPage`.

        :param page: the keys on it.
        :param truncated: whether there are more.
        :return: those that were waited for.
        """
        step = self._step
        assert isinstance(step, ListPage)
        if step.explain:
            return []
        last = page[-1] if page else ""
        if page and (page[0] <= step.start_after or last < page[0]):
            self._over.facts.unordered = True
        elif not truncated:
            self._cursor = _behind(step.prefix)
        elif page:
            self._reached = last
            self._cursor = max(self._cursor or "", last + "\0")
        else:
            self._over.give_up_listing(step.prefix)
        return [key for key in page if key in self._over.shelf]

    def on_list_error(self, answer: Look) -> None:
        """Take what went wrong with a :class:`ListPage`: a 403, or a fault."""
        step = self._step
        assert isinstance(step, ListPage)
        if answer.seen is Seen.FAULT:
            self.broken = answer
            if step.explain:
                self._over.fault = answer
        elif not step.explain:
            self._over.facts.refuse(step.prefix, self._over.now)

    def on_heads(self, looks: Sequence[Look]) -> list[str]:
        """Take the answers to :class:`Heads`, in its order.

        :return: the keys that are there.
        """
        step = self._step
        assert isinstance(step, Heads)
        found = []
        for key, look in zip(step.keys, looks, strict=True):
            if look.seen is self._over.seen:
                found.append(key)
            elif look.seen is not Seen.NOTHING:
                self._over.doubts[key] = look
                if unexplained(look):
                    self._asked = key
        faults = [look for look in looks if look.seen is Seen.FAULT]
        serious = [look for look in faults if look.code in _STOPPING_CODES]
        self._cursor = step.keys[-1] + "\0"
        to_be_explained = self._asked and not self._over.explained
        if not to_be_explained and (serious or len(faults) == len(looks)):
            self.broken = (serious or faults)[0]
        return found

    def misses(self, key: str) -> bool:
        """Whether the walk broke off before it reached ``key``, which lies on its way."""
        if self.broken is None or self._cursor is None:
            return False
        return key >= self._cursor and (self._end is None or key < self._end)


def _before(key: str) -> str:
    """Give a string before ``key`` with next to nothing between the two."""
    last = ord(key[-1])
    if last == 0:
        return key[:-1]
    return key[:-1] + chr(0xD7FF if last == 0xE000 else last - 1) + "\U0010fffd"


def _behind(prefix: str) -> str | None:
    """Give the first string behind all those that begin with ``prefix``; None: there is none."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)
