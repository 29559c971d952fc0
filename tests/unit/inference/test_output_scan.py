"""The plan of a pass, against a bucket in memory: what it finds, and by how many calls."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.inference.output_facts import BucketFacts
from airflow_provider_aiml.inference.output_keys import Shelf
from airflow_provider_aiml.inference.output_scan import Heads, ListPage, Pass, _behind
from airflow_provider_aiml.inference.outputs import Look, Seen
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ABSENT = Look(Seen.NOTHING)
THERE = Look(Seen.OUTPUT)
REFUSED = Look(Seen.FORBIDDEN, "AccessDenied")
BROKEN = Look(Seen.FAULT, "InternalError")


def shelf_of(keys: Iterable[str]) -> Shelf[Any]:
    shelf: Shelf[Any] = Shelf()
    for key in keys:
        shelf.add(key, object())
    return shelf


class Bucket:
    """Answers the steps of a pass, and counts them."""

    def __init__(self, keys: Iterable[str], may_list: Callable[[str], bool] = lambda prefix: True) -> None:
        self.keys = sorted(keys)
        self.may_list = may_list
        self.no_list = self.no_head = ()
        self.lists: list[ListPage] = []
        self.heads = 0
        self.page = 0

    def run(self, over: Pass) -> set[str]:
        found: list[str] = []
        for walk in over.walks:
            while (step := walk.next_step()) is not None:
                if isinstance(step, Heads):
                    self.heads += len(step.keys)
                    found += walk.on_heads([self._head(key) for key in step.keys])
                else:
                    found += self._list(walk, step)
        over.close()
        assert len(found) == len(set(found))
        return set(found)

    @property
    def calls(self) -> int:
        return len(self.lists) + self.heads

    def _head(self, key: str) -> Look:
        if key.startswith(self.no_head):
            return BROKEN
        return THERE if key in self.keys else ABSENT

    def _list(self, walk: Any, step: ListPage) -> list[str]:
        self.lists.append(step)
        if step.prefix.startswith(self.no_list):
            walk.on_list_error(BROKEN)
            return []
        if not self.may_list(step.prefix):
            walk.on_list_error(REFUSED)
            return []
        most = self.page or step.max_keys
        behind = self.keys[bisect_right(self.keys, step.start_after) :]
        matching = [key for key in behind if key.startswith(step.prefix)]
        answer: list[str] = walk.on_page(matching[:most], len(matching) > most)
        return answer


letters = st.text(alphabet="ab/é", min_size=1, max_size=5)


@settings(max_examples=300)
@given(
    pending=st.sets(letters, min_size=1, max_size=30),
    there=st.sets(letters, max_size=60),
    refused=st.sets(st.sampled_from(["", "a/", "b/", "/", "a/b/", "a/a/"])),
    page=st.integers(1, 5),
    passes=st.integers(1, 3),
)
def test_a_pass_finds_exactly_what_is_there_whatever_may_be_listed(
    pending: set[str], there: set[str], refused: set[str], page: int, passes: int
) -> None:
    shelf, facts = shelf_of(pending), BucketFacts()
    bucket = Bucket(there, may_list=lambda prefix: prefix not in refused)
    bucket.page = page
    for number in range(passes):
        calls = len(bucket.lists) + bucket.heads
        over = Pass(shelf, facts, Seen.OUTPUT, now=float(number))
        assert bucket.run(over) == pending & there
        assert over.clean
        refusals = len(refused) if number == 0 else 0
        assert len(bucket.lists) + bucket.heads - calls <= len(pending) + refusals


@given(
    pending=st.sets(st.text(min_size=1, max_size=3), min_size=1, max_size=20),
    there=st.sets(st.text(min_size=1, max_size=3), max_size=20),
    page=st.integers(1, 3),
)
def test_a_pass_ends_and_finds_what_is_there_whatever_the_keys_are_made_of(
    pending: set[str], there: set[str], page: int
) -> None:
    bucket = Bucket(there | {key + "\U0010fffe" for key in there})
    bucket.page = page
    assert bucket.run(Pass(shelf_of(pending), BucketFacts(), Seen.OUTPUT, 0)) == pending & set(bucket.keys)


def test_pending_keys_without_objects_take_one_call() -> None:
    shelf = shelf_of(f"out/{number:05}" for number in range(5000))
    bucket = Bucket([])
    assert bucket.run(Pass(shelf, BucketFacts(), Seen.OUTPUT, 0)) == set()
    assert [step.prefix for step in bucket.lists] == ["out/"]
    assert bucket.heads == 0


def test_old_objects_between_pending_keys_are_skipped() -> None:
    old = [f"out/{number:06}-old" for number in range(10_000)]
    bucket = Bucket(old)
    bucket.run(Pass(shelf_of(["out/000000", "out/009999-z"]), BucketFacts(), Seen.OUTPUT, 0))
    assert len(bucket.lists) == 2


def test_few_pending_among_many_objects_are_asked_for_by_head_until_the_count_is_forgotten() -> None:
    bucket = Bucket(f"out/{number:06}" for number in range(10_000))
    shelf, facts = shelf_of(f"out/{number:06}-new" for number in (5, 4000, 9000)), BucketFacts()
    bucket.run(Pass(shelf, facts, Seen.OUTPUT, 0))
    assert (len(bucket.lists), bucket.heads) == (3, 0)
    bucket.run(Pass(shelf, facts, Seen.OUTPUT, 10))
    assert (len(bucket.lists), bucket.heads) == (3, 3)
    bucket.run(Pass(shelf, facts, Seen.OUTPUT, 700))
    assert (len(bucket.lists), bucket.heads) == (6, 3)


def test_a_long_pass_is_walked_side_by_side_the_next_time() -> None:
    there = [f"out/{number:06}" for number in range(20_000)]
    shelf, facts = shelf_of(f"{key}-new" for key in there), BucketFacts()
    bucket = Bucket(there)
    first = Pass(shelf, facts, Seen.OUTPUT, 0)
    assert len(first.walks) == 1
    assert bucket.run(first) == set()
    calls = len(bucket.lists)
    second = Pass(shelf, facts, Seen.OUTPUT, 1)
    assert len(second.walks) > 1
    assert bucket.run(second) == set()
    assert len(bucket.lists) - calls <= calls + len(second.walks)


def test_walks_side_by_side_by_head_ask_for_each_key_once() -> None:
    keys = [f"out/{number:06}" for number in range(3000)]
    facts = BucketFacts()
    facts.learn_pages(Seen.OUTPUT, "out/", 5000, 0)
    over = Pass(shelf_of(keys), facts, Seen.OUTPUT, 0)
    bucket = Bucket(keys[::7])
    assert len(over.walks) > 1
    assert bucket.run(over) == set(keys[::7])
    assert (bucket.heads, bucket.lists) == (3000, [])


def test_a_key_that_ends_in_the_least_character_is_found() -> None:
    assert Bucket(["out/\0"]).run(Pass(shelf_of(["out/\0"]), BucketFacts(), Seen.OUTPUT, 0)) == {"out/\0"}


def test_the_prefix_grows_only_where_it_is_refused() -> None:
    bucket = Bucket(["a/b/c/1", "z/1"], may_list=lambda prefix: prefix not in ("a/", "a/b/"))
    facts = BucketFacts()
    shelf = shelf_of(["a/b/c/1", "a/b/c/2", "z/1", "z/2"])
    assert bucket.run(Pass(shelf, facts, Seen.OUTPUT, 0)) == {"a/b/c/1", "z/1"}
    assert [step.prefix for step in bucket.lists] == ["a/", "a/b/", "a/b/c/", "z/"]
    bucket.lists.clear()
    bucket.run(Pass(shelf, facts, Seen.OUTPUT, 1))
    assert [step.prefix for step in bucket.lists] == ["a/b/c/", "z/"]


def test_what_is_remembered_of_a_bucket_is_bounded() -> None:
    facts = BucketFacts()
    for number in range(10_000):
        facts.refuse(f"{number}/", 0)
        facts.learn_pages(Seen.OUTPUT, f"{number}/", 1, 0)
    assert len(facts.refused) <= 4096
    assert len(facts.pages) <= 4096


@pytest.mark.parametrize("page", [["out/3", "out/1"], ["out/0"]])
def test_a_listing_out_of_order_is_not_trusted(page: list[str]) -> None:
    shelf, facts = shelf_of(["out/1", "out/2"]), BucketFacts()
    facts.pages[(Seen.OUTPUT, "out/")] = (1, 0.0)
    over = Pass(shelf, facts, Seen.OUTPUT, 0)
    (walk,) = over.walks
    step = walk.next_step()
    assert isinstance(step, ListPage)
    page = page if len(page) > 1 else [step.start_after]
    assert walk.on_page(page, True) == [key for key in page if key in shelf]
    assert facts.unordered
    assert walk.next_step() == Heads(("out/1", "out/2"))


def test_an_empty_page_that_is_said_to_go_on_does_not_go_on_for_ever() -> None:
    over = Pass(shelf_of(["out/1"]), BucketFacts(), Seen.OUTPUT, 0)
    (walk,) = over.walks
    walk.next_step()
    assert walk.on_page([], True) == []
    assert walk.next_step() == Heads(("out/1",))


def test_a_fault_decides_only_the_keys_that_were_not_reached() -> None:
    over = Pass(shelf_of(["a/1", "b/1", "c/1"]), BucketFacts(), Seen.OUTPUT, 0)
    (walk,) = over.walks
    walk.next_step()
    walk.on_page([], False)
    walk.next_step()
    fault = Look(Seen.FAULT, "SlowDown")
    walk.on_list_error(fault)
    assert walk.next_step() is None
    assert [over.look_at(key) for key in ("a/1", "b/1", "c/1")] == [ABSENT, fault, fault]
    assert (over.stop, over.clean) == (fault, False)
    over.close()
    assert over.facts.pages == {}


folders = st.sets(st.sampled_from(["a/", "b/", "c/", "é/"])).map(tuple)


@given(
    pending=st.sets(st.tuples(st.sampled_from("abcé"), st.integers(0, 60)), min_size=1, max_size=80),
    there=st.sets(st.tuples(st.sampled_from("abcé"), st.integers(0, 60)), max_size=80),
    no_list=folders,
    no_head=folders,
)
def test_a_fault_of_some_folders_leaves_only_their_keys_in_doubt(
    pending: set[tuple[str, int]],
    there: set[tuple[str, int]],
    no_list: tuple[str, ...],
    no_head: tuple[str, ...],
) -> None:
    keys, there_keys = ({f"{folder}/{number}" for folder, number in some} for some in (pending, there))
    bucket, facts, shelf = Bucket(there_keys), BucketFacts(), shelf_of(keys)
    bucket.no_list, bucket.no_head = no_list, no_head
    for now in (0.0, 10.0, 20.0):  # a folder that is in doubt by HEAD is passed by LIST the next time
        over = Pass(shelf, facts, Seen.OUTPUT, now)
        found = bucket.run(over)
    both = tuple(set(no_list) & set(no_head))
    assert found == {key for key in keys & there_keys if not key.startswith(both)}
    assert {key for key in keys if over.look_at(key) == BROKEN} == {k for k in keys if k.startswith(both)}
    assert over.stop is None


def test_the_rest_of_a_crowded_folder_is_left_in_doubt_until_list_has_failed_three_times() -> None:
    shelf, facts, bucket = shelf_of(f"bad/{number:04}" for number in range(500)), BucketFacts(), Bucket([])
    bucket.no_list = ("bad/",)
    for now in (0.0, 10.0):
        over = Pass(shelf, facts, Seen.OUTPUT, now)
        bucket.run(over)
        assert over.look_at("bad/0499") == BROKEN
    assert (len(bucket.lists), bucket.heads) == (2, 0)
    over = Pass(shelf, facts, Seen.OUTPUT, 20.0)
    bucket.run(over)
    assert (over.clean, len(bucket.lists), bucket.heads) == (True, 3, 500)


def test_list_that_failed_is_tried_again_more_and_more_rarely_while_head_serves() -> None:
    shelf, facts, bucket = shelf_of(["bad/1"]), BucketFacts(), Bucket([])
    bucket.no_list = ("bad/",)
    tried = []
    for now in range(0, 4000, 10):
        before = len(bucket.lists)
        bucket.run(Pass(shelf, facts, Seen.OUTPUT, float(now)))
        tried += [now] if len(bucket.lists) > before else []
    assert tried == [0, 30, 90, 210, 450, 930, 1530, 2130, 2730, 3330, 3930]
    bucket.no_list = ()
    heads = bucket.heads
    bucket.run(Pass(shelf, facts, Seen.OUTPUT, 5000.0))
    assert bucket.heads == heads
    assert facts.faulty == {}


@pytest.mark.parametrize("folder_size", [1, 50, 5000])
def test_a_bucket_that_answers_nothing_takes_few_calls_however_many_keys_are_pending(
    folder_size: int,
) -> None:
    keys = [f"{number // folder_size:04}/{number:05}" for number in range(5000)]
    shelf, facts, bucket = shelf_of(keys), BucketFacts(), Bucket([])
    bucket.no_list = bucket.no_head = ("",)
    for now in range(5):
        before = bucket.calls
        over = Pass(shelf, facts, Seen.OUTPUT, float(now))
        assert bucket.run(over) == set()
        assert bucket.calls - before <= 40
        assert {over.look_at(key) for key in keys} == {BROKEN}
        assert not over.answered


def test_a_pass_by_head_that_is_not_answered_ends_soon_where_list_is_refused() -> None:
    keys = [f"out/{number:05}/x" for number in range(5000)]
    bucket = Bucket([], may_list=lambda prefix: False)
    bucket.no_head = ("",)
    facts = BucketFacts()
    for prefix in ("", "out/", *(f"out/{number:05}/" for number in range(5000))):
        facts.refused[prefix] = 0.0
    over = Pass(shelf_of(keys), facts, Seen.OUTPUT, 1.0)
    bucket.run(over)
    assert bucket.heads == 50 + 15 * 4
    assert {over.look_at(key) for key in keys} == {BROKEN}


def test_heads_of_which_none_is_answered_in_time_end_the_pass() -> None:
    over = Pass(shelf_of(["a/1", "b/1"]), BucketFacts(unordered=True), Seen.OUTPUT, 0)
    (walk,) = over.walks
    walk.next_step()
    late = Look(Seen.FAULT, "TimeoutError")
    walk.on_heads([late, late])
    assert over.stop == late


def test_one_key_with_a_fault_of_its_own_does_not_end_the_pass() -> None:
    keys = [f"out/{number:03}" for number in range(60)]
    over = Pass(shelf_of(keys), BucketFacts(unordered=True), Seen.OUTPUT, 0)
    (walk,) = over.walks
    step = walk.next_step()
    assert isinstance(step, Heads)
    fault = Look(Seen.FAULT, "500")
    assert walk.on_heads([fault] + [ABSENT] * 48 + [THERE]) == ["out/049"]
    assert walk.next_step() == Heads(tuple(keys[50:]))
    assert over.look_at("out/000") == fault
    assert over.look_at("out/001") == ABSENT


@pytest.mark.parametrize("code", ["SlowDown", "ExpiredToken"])
def test_a_fault_of_the_whole_bucket_ends_a_pass_by_head(code: str) -> None:
    keys = [f"out/{number:03}" for number in range(60)]
    over = Pass(shelf_of(keys), BucketFacts(unordered=True), Seen.OUTPUT, 0)
    (walk,) = over.walks
    walk.next_step()
    fault = Look(Seen.FAULT, code)
    walk.on_heads([ABSENT] * 49 + [fault])
    assert walk.next_step() is None
    assert (over.look_at("out/048"), over.look_at("out/049"), over.look_at("out/055")) == (
        ABSENT,
        fault,
        fault,
    )


def test_a_head_without_a_reason_is_explained_by_one_list() -> None:
    over = Pass(shelf_of(["out/1", "out/2"]), BucketFacts(unordered=True), Seen.OUTPUT, 0)
    (walk,) = over.walks
    walk.next_step()
    bare = Look(Seen.FAULT, "400")
    walk.on_heads([bare, bare])
    step = walk.next_step()
    assert isinstance(step, ListPage)
    assert (step.explain, step.max_keys) == (True, 1)
    expired = Look(Seen.FAULT, "ExpiredToken")
    walk.on_list_error(expired)
    assert walk.next_step() is None
    assert over.look_at("out/1") == expired


def test_a_refused_head_of_a_key_that_list_names_is_there() -> None:
    over = Pass(shelf_of(["out/1"]), BucketFacts(unordered=True), Seen.OUTPUT, 0)
    (walk,) = over.walks
    walk.next_step()
    walk.on_heads([REFUSED])
    step = walk.next_step()
    assert isinstance(step, ListPage)
    assert step.prefix == "out/1"
    assert walk.on_page(["out/1"], False) == ["out/1"]


@pytest.mark.parametrize(
    ("explained", "explanation"), [(True, None), (False, REFUSED), (False, Look(Seen.FAULT, "InternalError"))]
)
def test_a_refused_head_stays_refused_when_list_has_nothing_to_add(explained: bool, explanation: Any) -> None:
    over = Pass(shelf_of(["out/1"]), BucketFacts(unordered=True), Seen.OUTPUT, 0)
    (walk,) = over.walks
    walk.next_step()
    walk.on_heads([REFUSED])
    assert isinstance(walk.next_step(), ListPage)
    if explained:
        assert walk.on_page(["out/10"], False) == []
    else:
        walk.on_list_error(explanation)
    assert walk.next_step() is None
    assert over.look_at("out/1") == REFUSED
    assert over.facts.refused == {}


def test_a_bucket_that_cannot_be_asked_at_all_is_not_asked() -> None:
    fault = Look(Seen.FAULT, "EndpointConnectionError")
    over = Pass(shelf_of(["out/1"]), BucketFacts(), Seen.OUTPUT, 0, fault)
    assert over.walks[0].next_step() is None
    assert over.look_at("out/1") == fault


@given(st.text(max_size=4), st.text(max_size=4))
def test_what_lies_behind_a_prefix_lies_behind_all_that_begin_with_it(prefix: str, rest: str) -> None:
    end = _behind(prefix)
    if end is None:
        assert prefix.strip("\U0010ffff") == ""
    else:
        assert prefix + rest < end
        end.encode()
