from __future__ import annotations

import math

import pytest


def length(vector):
    return math.sqrt(sum(value * value for value in vector))


def test_titan_v1_embeds_in_1536_dimensions(ask):
    answer = ask.invoke("amazon.titan-embed-text-v1", {"inputText": "Hello there"})

    assert len(answer["embedding"]) == 1536
    assert length(answer["embedding"]) == pytest.approx(1)
    assert answer["inputTextTokenCount"] == 4


@pytest.mark.parametrize(
    ("members", "dimensions"), [({}, 1024), ({"dimensions": 256}, 256), ({"dimensions": 512}, 512)]
)
def test_titan_v2_embeds_in_as_many_dimensions_as_wanted(ask, members, dimensions):
    vector = ask.invoke("amazon.titan-embed-text-v2:0", {"inputText": "Hello", **members})["embedding"]

    assert len(vector) == dimensions
    assert length(vector) == pytest.approx(1)


def test_titan_v2_may_leave_the_length_and_give_bits(ask):
    body = {"inputText": "Hello", "normalize": False, "embeddingTypes": ["binary"]}
    answer = ask.invoke("amazon.titan-embed-text-v2:0", body)
    floats = ask.invoke("amazon.titan-embed-text-v2:0", {**body, "embeddingTypes": ["float", "binary"]})

    assert set(answer["embeddingsByType"]["binary"]) == {0, 1}
    assert "embedding" not in answer
    assert length(floats["embedding"]) == pytest.approx(3)


def test_texts_that_share_words_are_nearer(ask):
    one, near, far = (
        ask.invoke("amazon.titan-embed-text-v2:0", {"inputText": text})["embedding"]
        for text in ("the red house by the sea", "a red house by the lake", "quarterly accounting figures")
    )

    def similarity(other):
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert similarity(near) > similarity(far) + 0.2


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        ("amazon.titan-embed-text-v1", {"inputText": "x", "dimensions": 256}, "extraneous key [dimensions]"),
        (
            "amazon.titan-embed-text-v2:0",
            {"inputText": "x", "dimensions": 300},
            "#/dimensions: 300 is not a valid enum",
        ),
        ("amazon.titan-embed-text-v2:0", {"inputText": ""}, "expected minLength: 1"),
        ("amazon.titan-embed-text-v2:0", {"inputText": "x " * 9000}, "Too many input tokens"),
        ("cohere.embed-english-v3", {"texts": ["x"]}, "required key [input_type]"),
        (
            "cohere.embed-english-v3",
            {"texts": ["x"] * 97, "input_type": "clustering"},
            "maximum item count: 96",
        ),
        (
            "cohere.embed-english-v3",
            {"texts": ["x"], "input_type": "clustering", "output_dimension": 256},
            "extraneous",
        ),
    ],
)
def test_a_body_that_cannot_be_embedded_is_refused(ask, model, body, said):
    assert said in ask.invoke_refused(model, body)


def test_cohere_embeds_many_texts(ask):
    answer = ask.invoke("cohere.embed-english-v3", {"texts": ["a", "b"], "input_type": "search_query"})

    assert [len(vector) for vector in answer["embeddings"]] == [1024, 1024]
    assert answer["response_type"] == "embeddings_floats"


def test_cohere_embeds_by_type(ask):
    kinds = ["float", "int8", "uint8", "binary", "ubinary"]
    body = {"texts": ["a"], "input_type": "search_query", "embedding_types": kinds, "output_dimension": 256}
    embeddings = ask.invoke("cohere.embed-v4:0", body)["embeddings"]

    assert [len(embeddings[kind][0]) for kind in kinds] == [256, 256, 256, 32, 32]
    assert all(-128 <= value <= 127 for value in embeddings["int8"][0] + embeddings["binary"][0])
    assert all(0 <= value <= 255 for value in embeddings["uint8"][0] + embeddings["ubinary"][0])


def test_a_model_that_embeds_cannot_stream(ask):
    error = ask.refused("InvokeModelWithResponseStream", modelId="amazon.titan-embed-text-v1", body=b"{}")

    assert error.message == "The model is unsupported for streaming."
