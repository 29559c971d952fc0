"""Where histories are kept: on S3, which refuses a write over a newer version, and anywhere else.

Clients and paths are passed in.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_aiml.inference.history_store import ConflictError
from airflow_provider_aiml.inference.output_look import ABSENT_CODES
from airflow_provider_aiml.inference.stored_answer import unusable_place, write_object

if TYPE_CHECKING:
    from airflow_provider_aiml.exceptions import InferenceError
    from airflow_provider_aiml.inference.outputs import Location
    from airflow_provider_aiml.inference.stored_answer import PathLike

__all__ = ["PathPlace", "S3Place"]

_CHANGED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_LASTING_CODES: Final = {"AccessDenied": PermissionError, "NoSuchBucket": FileNotFoundError}


@dataclass(frozen=True, slots=True)
class S3Place:
    """An object on S3.

    :param client: a boto3 S3 client.
    :param location: the object.
    :param uri: the same as its user wrote it.
    """

    client: Any
    location: Location
    uri: str

    def read(self) -> tuple[bytes, str] | None:
        """Give the object and its ETag.

        :raises StoredAnswerError: it cannot be read.
        """
        try:
            found = self.client.get_object(Bucket=self.location.bucket, Key=self.location.key)
            with found["Body"] as body:
                return body.read(), str(found["ETag"])
        except Exception as error:
            if _code(error) in ABSENT_CODES:
                return None
            failure = self._unusable("read", error)
        raise failure

    def write(self, content: bytes, version: str | None) -> None:
        """Write the object if it is still the one that was read; S3 itself decides.

        :raises ConflictError: it is not.
        :raises StoredAnswerError: it cannot be written.
        """
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        failure: Exception
        try:
            self.client.put_object(
                Bucket=self.location.bucket,
                Key=self.location.key,
                Body=content,
                ContentType="application/json",
                **condition,
            )
        except Exception as error:
            changed = _code(error) in _CHANGED or (version is not None and _code(error) in ABSENT_CODES)
            failure = ConflictError() if changed else self._unusable("write", error)
        else:
            return
        raise failure

    def keep_beside(self, suffix: str, content: bytes, *, paid: bool = True) -> str:
        """Write another object whose name goes on with ``suffix``.

        :param paid: whether an inference has run by now.
        :raises StoredAnswerError: it cannot be written.
        """
        try:
            self.client.put_object(Bucket=self.location.bucket, Key=self.location.key + suffix, Body=content)
        except Exception as error:
            failure = self._unusable("write", error, suffix, paid=paid)
        else:
            return self.uri + suffix
        raise failure

    def _unusable(
        self, verb: str, error: Exception, suffix: str = "", *, paid: bool | None = None
    ) -> InferenceError:
        lasting = _LASTING_CODES.get(_code(error) or "")
        spoken = lasting(_code(error)) if lasting else error
        paid = verb == "write" if paid is None else paid
        return unusable_place(self.uri + suffix, verb, spoken, paid=paid)


def _code(error: Exception) -> str | None:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code")) if isinstance(response, dict) else None


@dataclass(frozen=True, slots=True)
class PathPlace:
    """A file anywhere else, which is read again before and after it is written.

    Two tasks that write within the same moment can both believe that they were alone; only S3 rules that out.

    :param path: the file.
    :param uri: the same as its user wrote it.
    """

    path: PathLike
    uri: str

    def read(self) -> tuple[bytes, str] | None:
        """Give the file and its digest.

        :raises StoredAnswerError: it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                content = bytes(file.read())
        except FileNotFoundError:
            return None
        except Exception as error:
            failure = unusable_place(self.uri, "read", error, paid=False)
        else:
            return content, _digest(content)
        raise failure

    def write(self, content: bytes, version: str | None) -> None:
        """Write the file if it is still the one that was read.

        :raises ConflictError: it is not.
        :raises StoredAnswerError: it cannot be written.
        """
        found = self.read()
        if (found[1] if found else None) != version:
            raise ConflictError
        try:
            write_object(self.path, [content])
        except Exception as error:
            failure = unusable_place(self.uri, "write", error, paid=True)
        else:
            if (written := self.read()) is None or written[1] != _digest(content):
                raise ConflictError
            return
        raise failure

    def keep_beside(self, suffix: str, content: bytes, *, paid: bool = True) -> str:
        """Write another file whose name goes on with ``suffix``.

        :param paid: whether an inference has run by now.
        :raises StoredAnswerError: it cannot be written.
        """
        try:
            write_object(self.path.parent / (self.path.name + suffix), [content])
        except Exception as error:
            failure = unusable_place(self.uri + suffix, "write", error, paid=paid)
        else:
            return self.uri + suffix
        raise failure


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
