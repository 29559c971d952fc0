"""Which calls to make to learn which pending keys of a bucket are there: LIST or HEAD, and from where.

The rule, in full:

* Pending keys are walked in S3's own order. A LIST asks for a page that begins just before the next undecided
  key (StartAfter), and decides every pending key up to the last one on the page; what lies between is
  skipped. So a LIST always decides at least one key, and a pass by LIST never takes more calls than one by
  HEAD.
* A LIST's prefix is the first segment of the key's path. Where that is refused, it grows by a segment; where
  the key's own folder is refused, its keys are asked for by HEAD. A refusal is forgotten after ten minutes.
* Where LIST fails otherwise, the fault is that prefix's and no other's: its keys are asked for by HEAD. Of
  more than fifty keys only where it fails for the third time in a row: until then they are left in doubt.
  Where HEAD serves, LIST is not tried again for half a minute, then for longer and longer.
* Where HEAD fails for every key of a step, the rest of the last one's folder is left in doubt. Sixteen steps
  in a row without an answer, the later ones of four keys, end the pass: the bucket cannot be asked. So does,
  at once, what says that of all its keys: refused credentials, SlowDown, a missing bucket, HEADs that do not
  reach S3.
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

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.output_look import of_whole_bucket, unexplained
from airflow_provider_aiml.inference.outputs import Look, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_aiml.inference.output_facts import BucketFacts
    from airflow_provider_aiml.inference.output_keys import Shelf

__all__ = ["Heads", "ListPage", "Pass", "Walk"]

PAGE_KEYS = 400
"""Keys a page: they hold an event loop for 4 ms; see :mod:`airflow_provider_aiml.inference.output_speed`."""

HEADS_AT_ONCE = 50
"""Keys that are asked for by HEAD in one step."""

_PATIENCE = 3  # faults of a LIST in a row after which any number of keys is asked for by HEAD
_FAULTY_STEPS = 16  # steps in a row without an answer that end a pass
_PROBES = 4  # keys that are asked for by HEAD after a step without an answer
_LANES = 4  # walks side by side in one pass
_PAGES_PER_LANE = 16  # expected pages that justify one more walk
_UNREACHABLE = frozenset(
    {"ConnectTimeoutError", "EndpointConnectionError", "ReadTimeoutError", "TimeoutError"}
)
_NOTHING = Look(Seen.NOTHING)


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
        self.answered = False
        self.first_fault = fault
        self.list_faults: dict[str, int] = {}
        self._faulty_steps = 0
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
            fewer = self.facts.expected_pages(self.seen, prefix, self.now) < pending
            self._expected[prefix] = fewer and not self.facts.list_fails(prefix, self.now)
        return self._expected[prefix]

    def give_up_listing(self, prefix: str) -> None:
        """Ask by HEAD for the rest of ``prefix``."""
        self._expected[prefix] = False

    def tally(self, prefix: str) -> None:
        """Count a page."""
        self._pages[prefix] = self._pages.get(prefix, 0) + 1

    def on_answer(self) -> None:
        """Take note of a step that was answered, for one key at least."""
        self.answered = True
        self._faulty_steps = 0

    def on_fault(self, fault: Look) -> bool:
        """Take note of a step that was not answered; say whether there have been enough of them."""
        self.first_fault = self.first_fault or fault
        self._faulty_steps += 1
        return self._faulty_steps >= _FAULTY_STEPS

    @property
    def answering(self) -> bool:
        """Whether the last step was answered."""
        return not self._faulty_steps

    @property
    def heads_at_once(self) -> int:
        """How many keys the next step by HEAD asks for."""
        return _PROBES if self._faulty_steps else HEADS_AT_ONCE

    def on_list_fault(self, prefix: str) -> int:
        """Take note of a fault of a LIST; give in how many passes in a row it failed."""
        if prefix not in self.list_faults:
            self.list_faults[prefix] = self.facts.list_failed(prefix)
        return self.list_faults[prefix]

    def look_at(self, key: str) -> Look:
        """Say what the pass, now over, saw of a key that it did not find."""
        if self.fault is not None:
            return self.fault
        return self.doubts.get(key) or next(filter(None, (w.doubt(key) for w in self.walks)), _NOTHING)

    @property
    def clean(self) -> bool:
        """Whether every key was asked for and answered plainly."""
        return self.fault is None and not self.doubts and not any(walk.gaps for walk in self.walks)

    @property
    def stop(self) -> Look | None:
        """The fault of the whole bucket that ended the pass early; None if none did."""
        return self.fault or next((walk.broken for walk in self.walks if walk.broken is not None), None)

    def close(self) -> None:
        """Remember how many pages each prefix took, now that the pass is over."""
        if self.stop is None:
            for prefix, count in self._pages.items():
                if prefix not in self.list_faults:
                    self.facts.learn_pages(self.seen, prefix, count, self.now)


class Walk:
    """A walk over the pending keys from ``start`` to before ``end``: gives steps, takes answers.

    Its ``gaps`` are the ranges in which it asked for nothing, each with the reason.
    """

    __slots__ = ("_asked", "_cursor", "_end", "_over", "_reached", "_step", "broken", "gaps")

    def __init__(self, over: Pass, start: str, end: str | None) -> None:
        self._over = over
        self._cursor: str | None = start
        self._end = end
        self._reached = ""
        self._asked = ""
        self._step: ListPage | Heads | None = None
        self.broken: Look | None = None
        self.gaps: list[tuple[str, str | None, Look]] = []

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
        for other in self._over.shelf.keys.behind(key, self._over.heads_at_once - 1):
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
        if not step.explain:
            self._over.on_answer()
            self._over.facts.list_served(step.prefix)
            self._advance(step, page, truncated)
        return [key for key in page if key in self._over.shelf]

    def _advance(self, step: ListPage, page: Sequence[str], truncated: bool) -> None:
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

    def on_list_error(self, answer: Look) -> None:
        """Take what went wrong with a :class:`ListPage`: a 403, or a fault."""
        step = self._step
        assert isinstance(step, ListPage)
        if answer.seen is not Seen.FAULT:
            if not step.explain:
                self._over.facts.refuse(step.prefix, self._over.now)
        elif of_whole_bucket(answer):
            self._break(answer)
            if step.explain:
                self._over.fault = answer
        elif not step.explain:
            self._on_list_fault(step.prefix, answer)

    def _on_list_fault(self, prefix: str, fault: Look) -> None:
        over = self._over
        left = over.shelf.keys.count(self._cursor or "", self._at_most(_behind(prefix)))
        if over.on_list_fault(prefix) >= _PATIENCE or left <= HEADS_AT_ONCE:
            over.give_up_listing(prefix)
        else:
            self._skip(prefix, fault)
        if over.on_fault(fault):
            self._break(fault)

    def _skip(self, prefix: str, fault: Look) -> None:
        """Leave what comes next under ``prefix`` in doubt."""
        assert self._cursor is not None
        end = self._at_most(_behind(prefix))
        self.gaps.append((self._cursor, end, fault))
        self._cursor = end

    def _at_most(self, end: str | None) -> str | None:
        return min((one for one in (end, self._end) if one is not None), default=None)

    def _break(self, fault: Look) -> None:
        self.broken = fault
        if self._cursor is not None:
            self.gaps.append((self._cursor, self._end, fault))

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
        self._cursor = step.keys[-1] + "\0"
        if len(faults) < len(looks):
            self._on_served(step.keys[0])
        if not self._asked or self._over.explained:
            self._on_head_faults(step.keys[-1], faults, everywhere=len(faults) == len(looks))
        return found

    def _on_served(self, key: str) -> None:
        over = self._over
        over.on_answer()
        if over.list_faults and (prefix := over.facts.list_prefix(key, over.now)) in over.list_faults:
            over.facts.heads_serve(prefix, over.now)

    def _on_head_faults(self, last: str, faults: Sequence[Look], *, everywhere: bool) -> None:
        over = self._over
        serious = [look for look in faults if of_whole_bucket(look)]
        if everywhere and not serious:
            over.facts.forget_pages(over.seen, over.facts.list_prefix(last, over.now))
            serious = [look for look in faults if look.code in _UNREACHABLE]
            if over.on_fault(faults[0]):
                serious = list(faults)
            elif folder := last[: last.rfind("/") + 1]:
                self._skip(folder, faults[0])
        if serious:
            self._break(serious[0])

    def doubt(self, key: str) -> Look | None:
        """Give why the walk did not ask for ``key``; None if it did, or if that was not its way."""
        at = bisect_right(self.gaps, key, key=lambda gap: gap[0]) - 1
        if at < 0:
            return None
        _, end, fault = self.gaps[at]
        return fault if end is None or key < end else None


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
