"""Sorted keys and their waiters, beside a sorted list and a dict of lists."""

from __future__ import annotations

import random

from airflow_provider_aiml.inference.output_keys import Shelf, SortedKeys
from hypothesis import given
from hypothesis import strategies as st


def filled(count: int) -> tuple[SortedKeys, list[str]]:
    keys, plain = SortedKeys(), [f"{number:06}" for number in range(count)]
    for key in random.Random(7).sample(plain, count):
        keys.add(key)
    return keys, plain


@given(st.sets(st.text(max_size=4), max_size=60), st.text(max_size=4), st.text(max_size=4), st.data())
def test_sorted_keys_answer_as_a_sorted_list_does(
    wanted: set[str], low: str, high: str, data: st.DataObject
) -> None:
    keys = SortedKeys()
    for key in wanted:
        keys.add(key)
    for key in data.draw(st.sets(st.sampled_from(sorted(wanted)))) if wanted else ():
        keys.remove(key)
        wanted.discard(key)
    plain = sorted(wanted)
    assert len(keys) == len(plain)
    assert keys.behind("", 1000) == [key for key in plain if key > ""]
    assert keys.behind(low, 3) == [key for key in plain if key > low][:3]
    assert keys.first_from(low) == next((key for key in plain if key >= low), None)
    assert keys.count(low, high) == max(
        0, len([k for k in plain if k < high]) - len([k for k in plain if k < low])
    )
    assert keys.count(low, None) == len([key for key in plain if key >= low])


def test_many_keys_stay_sorted_across_blocks() -> None:
    keys, plain = filled(20_000)
    assert keys.behind("", 20_000) == plain
    assert keys.behind("009998", 3000) == plain[9999:12_999]
    assert keys.count("000500", "015500") == 15_000
    for key in plain[2000:18_000]:
        keys.remove(key)
    assert keys.behind("", 20_000) == plain[:2000] + plain[18_000:]
    assert keys.first_from("002000") == "018000"
    for key in plain[:2000] + plain[18_000:]:
        keys.remove(key)
    assert (len(keys), keys.first_from("")) == (0, None)


def test_borders_cut_the_keys_into_parts_of_about_equal_size() -> None:
    keys, plain = filled(20_000)
    borders = keys.borders(4)
    assert len(borders) == 3
    parts = [keys.count(low, high) for low, high in zip(["", *borders], [*borders, None], strict=True)]
    assert sum(parts) == len(plain)
    assert min(parts) > 3000
    assert filled(10)[0].borders(4) == []
    assert SortedKeys().borders(4) == []


def test_waiters_of_one_key_are_told_apart_by_identity() -> None:
    class Same:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    shelf: Shelf[Same] = Shelf()
    first, second, third = Same(), Same(), Same()
    for waiter in (first, second, third):
        shelf.add("key", waiter)
    assert len(shelf) == 1
    shelf.remove("key", second)
    assert [id(one) for one in shelf.at("key")] == [id(first), id(third)]
    shelf.remove("key", first)
    shelf.remove("key", third)
    assert "key" not in shelf
    assert shelf.at("key") == []
    assert len(shelf.keys) == 0
