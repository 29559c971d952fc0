from __future__ import annotations

from airflow_provider_aiml.inference.usage import add_usage, total_tokens
from hypothesis import given
from hypothesis import strategies as st

counts = st.dictionaries(st.sampled_from(["inputTokens", "outputTokens", "newTokens"]), st.integers(0, 10**6))


@given(st.lists(counts, max_size=6))
def test_each_number_is_the_sum_of_all_turns(parts):
    total = add_usage(parts)

    for name in {name for part in parts for name in part}:
        assert total[name] == sum(part.get(name, 0) for part in parts)


def test_details_are_added_up_by_what_they_say_of_themselves():
    first = {"cacheDetails": [{"ttl": "5m", "inputTokens": 3}, {"ttl": "1h", "inputTokens": 1}]}
    second = {"cacheDetails": [{"ttl": "5m", "inputTokens": 4}, "odd"]}

    total = add_usage([first, None, second])

    assert total == {
        "cacheDetails": [{"ttl": "5m", "inputTokens": 7}, {"ttl": "1h", "inputTokens": 1}, "odd"]
    }
    assert first["cacheDetails"][0]["inputTokens"] == 3


def test_nested_numbers_are_added_and_the_rest_is_the_last():
    parts = [{"a": {"b": 1}, "flag": True, "name": "x"}, {"a": {"b": 2}, "flag": False, "name": "y"}]

    assert add_usage(parts) == {"a": {"b": 3}, "flag": False, "name": "y"}


def test_cached_tokens_count_as_tokens():
    assert total_tokens({"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}) == 3
    assert total_tokens({"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 10}) == 13
    assert total_tokens({}) == 0
