"""Answers that are kept while they arrive, of any length in constant memory.

The bytes go to a file on the worker first. So the model is never held up by the store, a store that fails in
the middle is written again from the file, and what had arrived of a stream that breaks is kept beside the
answer's place. On S3 the answer goes up in parts meanwhile, and in a file system the file is the answer's own
under its ``.partial`` name; other stores are written at the end.

The order is that of :mod:`airflow_provider_aiml.inference.stored_answer`: the record first, and only then
does the answer appear under its name, whole.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.exceptions import InferenceError, StoredAnswerError
from airflow_provider_aiml.inference.stored_answer import (
    PARTIAL_SUFFIX,
    AnswerStore,
    is_local,
    is_named,
    local_file,
    log,
    unusable_place,
    write_object,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future
    from io import FileIO
    from pathlib import Path

    from airflow_provider_aiml.inference.growing_upload import GrowingUpload

    OpenUpload = Callable[[Callable[[int, bytearray], None]], GrowingUpload]

__all__ = ["StoredStream", "StreamStore"]

_PIECE = 1024 * 1024
_GATHERED = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredStream:
    """An answer that is kept and was not read into memory.

    :param size: its bytes.
    :param members: the other members of the response.
    """

    size: int
    members: Mapping[str, Any]


class _Spool:
    """The bytes of a stream, in a file on this machine.

    Pieces are gathered in one of two buffers, while a thread sums and writes the other: neither may hold up
    the reading of the stream, and fresh memory for each piece would cost more than both.

    :param file: an unbuffered binary file.
    :param writer: the thread.
    """

    def __init__(self, file: FileIO, writer: ThreadPoolExecutor) -> None:
        self._file = file
        self._writer = writer
        self._crc32 = 0
        self._buffer, self._other = (memoryview(bytearray(_GATHERED)) for _ in range(2))
        self._writing: Future[None] | None = None
        self._held = 0
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Take the next piece.

        :raises StoredAnswerError: the disk is full.
        """
        rest = memoryview(piece)
        self.size += len(rest)
        while rest:
            taken = min(len(rest), _GATHERED - self._held)
            self._buffer[self._held : self._held + taken] = rest[:taken]
            self._held += taken
            rest = rest[taken:]
            if self._held == _GATHERED:
                self._pass_on()

    def flush(self) -> None:
        """Wait until all is written.

        :raises StoredAnswerError: the disk is full.
        """
        self._pass_on()
        self._wait()

    def _pass_on(self) -> None:
        self._wait()
        self._writing = self._writer.submit(self._put, self._buffer[: self._held])
        self._buffer, self._other = self._other, self._buffer
        self._held = 0

    def _wait(self) -> None:
        if self._writing is None:
            return
        try:
            self._writing.result()
        except OSError as error:
            failure = StoredAnswerError(
                f"The worker's disk takes no more of the answer: {type(error).__name__}",
                may_have_been_billed=True,
                hint="give the worker room for the whole answer, in TMPDIR or where output_uri is a file",
            )
        else:
            return
        raise failure

    def _put(self, block: memoryview) -> None:
        self._crc32 = zlib.crc32(block, self._crc32)
        while block:
            block = block[self._file.write(block) :]

    def read_into(self, start: int, buffer: bytearray) -> None:
        os.preadv(self._file.fileno(), [buffer], start)

    def pieces(self) -> Iterator[bytes]:
        self.flush()
        for start in range(0, self.size, _PIECE):
            yield os.pread(self._file.fileno(), min(_PIECE, self.size - start), start)

    @property
    def crc32(self) -> int:
        self.flush()
        return self._crc32


class StreamStore(AnswerStore):
    """A place that keeps one answer, written while it arrives."""

    def announce(self) -> None:
        """Show before the call that the place can be written, and that this machine can hold the answer.

        :raises StoredAnswerError: it cannot; nothing was sent.
        :raises RequestError: the place is another instance's of the same mapped task; nothing was sent.
        """
        if not self._is_local:
            self._open_temporary(paid=False).close()
        super().announce()

    def kept(self) -> StoredStream | None:
        """Tell of the answer that is there, or give None where it is absent, not whole, or another's.

        :raises StoredAnswerError: the place cannot be read.
        """
        record = self._read_record() or {}
        if record.get("state") != "answered" or record.get("identity") != self.identity:
            return None
        if not self._attempt("read", lambda: self._holds(record)):
            log.warning(
                "%s does not hold the answer that its record names. The model is asked again.", self.uri
            )
            return None
        return StoredStream(int(record["size"]), record.get("members") or {})

    def save_stream(
        self, pieces: Iterable[bytes], members: Mapping[str, Any], open_upload: OpenUpload | None = None
    ) -> StoredStream:
        """Keep an answer while it arrives.

        :param pieces: its bytes, cut anywhere.
        :param members: the other members of the response.
        :param open_upload: begins an upload that grows with the answer; None where there is no such thing.
        :raises StoredAnswerError: it cannot be kept; the inference was paid for.
        :raises Exception: what ``pieces`` raised; what had arrived is at the ``.partial`` name.
        """
        with self._spooled() as spool:
            upload = open_upload(spool.read_into) if open_upload and not self._is_local else None
            try:
                self._receive(pieces, spool, upload)
                record = {
                    "state": "answered",
                    "crc32": spool.crc32,
                    "size": spool.size,
                    "members": dict(members),
                }
                self._attempt("write", lambda: self._write_record(record), paid=True)
                self._appear(spool, upload)
            finally:
                if upload is not None:
                    upload.close()
        return StoredStream(spool.size, members)

    def _receive(self, pieces: Iterable[bytes], spool: _Spool, upload: GrowingUpload | None) -> None:
        try:
            for piece in pieces:
                spool.write(piece)
                if upload is not None and upload.wants(spool.size):
                    spool.flush()
                    upload.grown(spool.size)
        except BaseException as error:
            kept = self._keep_partial(spool)
            if isinstance(error, InferenceError) and kept:
                told = f"the {spool.size} bytes that did arrive are kept at {self.uri}{PARTIAL_SUFFIX}"
                error.hint = "; ".join(filter(None, (error.hint, told)))
            raise

    def _keep_partial(self, spool: _Spool) -> bool:
        """Keep what did arrive; in a file system it is there already."""
        if not spool.size:
            return False
        try:
            if self._is_local:
                spool.flush()
            else:
                beside = self._beside(PARTIAL_SUFFIX)
                self._attempt("write", lambda: write_object(beside, spool.pieces()), paid=True)
        except (StoredAnswerError, OSError) as error:
            log.warning("The %d bytes that did arrive are not kept: %s", spool.size, type(error).__name__)
            return False
        return True

    def _appear(self, spool: _Spool, upload: GrowingUpload | None) -> None:
        """Let the answer appear under its name."""
        spool.flush()
        if self._is_local:
            self._attempt("write", lambda: os.replace(self._local(PARTIAL_SUFFIX), self._local()), paid=True)
            return
        try:
            if upload is not None and upload.complete(spool.size):
                return
        except Exception as error:
            log.warning(
                "The upload in parts to %s failed (%s); the answer is written again, from the worker's disk",
                self.uri,
                type(error).__name__,
            )
        self._attempt("write", lambda: write_object(self.path, spool.pieces()), paid=True)

    @property
    def _is_local(self) -> bool:
        return is_local(self.path)

    def _local(self, suffix: str = "") -> Path:
        return local_file(self.path).with_name(self.path.name + suffix)

    @contextmanager
    def _spooled(self) -> Iterator[_Spool]:
        with self._open_spool() as file, ThreadPoolExecutor(1, thread_name_prefix="spool") as writer:
            yield _Spool(file, writer)

    def _open_spool(self) -> FileIO:
        if not self._is_local:
            return self._open_temporary(paid=True)
        try:
            target = self._local(PARTIAL_SUFFIX)
            target.parent.mkdir(parents=True, exist_ok=True)
            return target.open("w+b", buffering=0)
        except OSError as error:
            failure = unusable_place(self.uri, "write", error, paid=True)
        raise failure

    def _open_temporary(self, *, paid: bool) -> FileIO:
        """Open the file that holds the answer while it arrives.

        :param paid: whether the inference has run by now.
        """
        try:
            return tempfile.TemporaryFile(buffering=0, prefix="streamed-answer-")
        except OSError as error:
            failure = StoredAnswerError(
                f"TMPDIR of the worker cannot be written: {type(error).__name__}",
                may_have_been_billed=paid,
                hint="the answer is held there while it arrives: let TMPDIR name a folder with room for it",
            )
        raise failure

    def _holds(self, record: Mapping[str, Any]) -> bool:
        size = crc32 = 0
        try:
            with self.path.open("rb") as file:
                while piece := file.read(_PIECE):
                    size, crc32 = size + len(piece), zlib.crc32(piece, crc32)
        except FileNotFoundError:
            return False
        return is_named(record, size, crc32)
