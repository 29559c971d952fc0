"""npy bodies: plain arrays only, no pickles, and no room made for what a header merely claims."""

from __future__ import annotations

import builtins
import io
from typing import Any

import numpy as np
import pytest
from airflow_provider_aiml.exceptions import PayloadError, ResponseError
from airflow_provider_aiml.inference.payload import Decoded, decode, encode

CANARY = "canary7f3a"
NPY = "application/x-npy"


def npy_of(value: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, value, **options)
    return out.getvalue()


def refused(payload: Any) -> str:
    with pytest.raises(PayloadError) as caught:
        encode(payload, NPY)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def malformed(body: bytes) -> str:
    with pytest.raises(ResponseError) as caught:
        decode(body, NPY)
    assert CANARY not in str(caught.value)
    assert caught.value.partial_body is body
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2], [3, 4]],
        [1.5, -0.0],
        [True, False],
        ["a", "éé"],
        [],
        [[], []],
        3,
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]),
    ],
    ids=repr,
)
def test_an_array_makes_the_round_trip(value: Any) -> None:
    body = encode(value, NPY)
    assert np.array_equal(np.load(io.BytesIO(body), allow_pickle=False), np.asarray(value))
    assert decode(body, NPY) == Decoded(np.asarray(value).tolist(), "npy")


def test_a_long_double_is_read_as_a_float() -> None:
    value = decode(npy_of(np.array([1.5], dtype=np.longdouble)), NPY).value
    assert [type(each) for each in value] == [float]


@pytest.mark.parametrize(
    "value", [[[1], [1, 2]], [{CANARY: 1}], [object()], np.array(["2026"], dtype="M8"), None, {}]
)
def test_what_is_no_plain_array_is_refused(value: Any) -> None:
    assert "equal lengths" in refused(value)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (npy_of(np.array([{CANARY: 1}], dtype=object), allow_pickle=True), "an npy array of 'O'"),
        (npy_of(np.array(["2026"], dtype="M8[D]")), "an npy array of 'M'"),
        (npy_of(np.array([1j])), "an npy array of 'c'"),
        (npy_of(np.zeros(2, dtype=[("a", "i4")])), "an npy array of 'V'"),
        (npy_of(np.zeros(4))[:-1], "another length"),
        (npy_of(np.zeros(4)) + b"x", "another length"),
        (npy_of(np.zeros(4)).replace(b"(4,)", b"(9,)"), "another length"),
        (npy_of(np.zeros((1, 0))).replace(b"(1, 0), }         ", b"(999999999, 0), } "), "another length"),
        (npy_of(np.zeros(4))[:20], "not an npy array"),
        (npy_of(np.zeros(4)).replace(b"'descr'", b"'dxscr'"), "not an npy array"),
    ],
)
def test_a_malformed_array_is_typed_before_room_is_made_for_it(body: bytes, why: str) -> None:
    assert why in malformed(body)


def test_a_second_version_header_is_read() -> None:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.array([1, 2]), version=(2, 0))
    assert decode(out.getvalue(), NPY).value == [1, 2]


def test_without_numpy_the_errors_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    body = npy_of(np.zeros(2))
    real = builtins.__import__

    def no_numpy(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "numpy":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_numpy)
    assert "airflow-provider-aiml[numpy]" in refused([1.0])
    with pytest.raises(ResponseError) as caught:
        decode(body, NPY)
    assert "airflow-provider-aiml[numpy]" in str(caught.value)
    assert caught.value.partial_body is body
    assert encode(body, NPY) is body
