"""numpy's .npy format, without pickles. numpy is imported only here, and only when such a body is met."""

from __future__ import annotations

import io
import math
from typing import Any

from airflow_provider_aiml.exceptions import PayloadError, Problem
from airflow_provider_aiml.inference.described import describe
from airflow_provider_aiml.inference.json_text import MalformedError

__all__ = ["NumpyMissingError", "from_npy", "to_npy"]

_ALLOWED = "an array, or a nested list of equal lengths, of numbers, bools or text"
_PLAIN_KINDS = "biufU"
_MOST_EMPTY_LISTS = 10_000
MISSING = "numpy is not installed; install airflow-provider-aiml[numpy]"


class NumpyMissingError(Exception):
    """numpy is not installed."""


def to_npy(value: Any) -> bytes:
    """Write an array or a nested list.

    :raises PayloadError: numpy is missing, or the value is ragged or made of objects.
    """
    try:
        numpy = _numpy()
    except NumpyMissingError:
        problem = Problem("payload", describe(value), "bytes, as long as numpy is not installed")
        raise PayloadError(
            "The payload cannot be written as npy", problems=(problem,), hint=MISSING
        ) from None
    out = io.BytesIO()
    try:
        array = numpy.asarray(value)
        if array.dtype.kind not in _PLAIN_KINDS:
            raise ValueError
        numpy.save(out, array, allow_pickle=False)
    except (ValueError, TypeError, OverflowError, RecursionError):
        problem = Problem("payload", describe(value), _ALLOWED)
        raise PayloadError("The payload cannot be written as npy", problems=(problem,)) from None
    return out.getvalue()


def from_npy(body: bytes) -> Any:
    """Read an array as a nested list (a scalar for one of no dimension).

    :raises MalformedError: not an array, cut off, or of objects, times or complex numbers.
    :raises NumpyMissingError: numpy is not installed.
    """
    numpy = _numpy()
    try:
        return _read(numpy, body).tolist()
    except MalformedError:
        raise
    # numpy promises no set of errors for what it cannot read.
    except Exception:
        raise MalformedError("not an npy array") from None


def _read(numpy: Any, body: bytes) -> Any:
    stream = io.BytesIO(body)
    layout = numpy.lib.format
    version = layout.read_magic(stream)
    read_header = layout.read_array_header_1_0 if version == (1, 0) else layout.read_array_header_2_0
    shape, fortran, dtype = read_header(stream)
    if dtype.kind not in _PLAIN_KINDS:
        raise MalformedError(f"an npy array of {dtype.kind!r}; numbers, bools and text can be given as lists")
    # Asked before room is made for it: a header can claim any shape, also a million lists of nothing.
    hollow = math.prod(length for length in shape if length) if 0 in shape else 0
    if math.prod(shape) * dtype.itemsize != len(body) - stream.tell() or hollow > _MOST_EMPTY_LISTS:
        raise MalformedError("an npy array of another length than its header says")
    flat = numpy.frombuffer(body[stream.tell() :], dtype=dtype)
    array = flat.reshape(shape, order="F" if fortran else "C")
    # A long double has no counterpart in Python.
    return array.astype("f8") if dtype.char == "g" else array


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise NumpyMissingError from None
    return numpy
