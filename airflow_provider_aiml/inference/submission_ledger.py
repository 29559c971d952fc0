"""Where a try writes down what it submits, for the next try to find.

Airflow's task state store where there is one (Airflow 3.3 and newer): it belongs to the task instance,
outlives its tries, and is written through the supervisor, so a process whose supervisor is gone cannot write
and stops before it sends. Else objects in a folder of the user's. Else nowhere.

The records of one task instance are spread over 256 pages by their identity, so that thousands of them
neither make a page too large nor take a page each, and a page stays when the inputs around one change.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_aiml.exceptions import StoredAnswerError
from airflow_provider_aiml.inference.output_look import ABSENT_CODES, DENIED_CODES, fault_code
from airflow_provider_aiml.inference.outputs import FATAL_CODES
from airflow_provider_aiml.inference.paid_submission import SubmissionRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_aiml.inference.outputs import Location

_PAGE_DIGITS = 2


class Pages(Protocol):
    """JSON values by name, kept beyond a try."""

    def get(self, name: str) -> Any:
        """Give what was put under ``name``, or None."""
        ...

    def put(self, name: str, value: dict[str, Any]) -> None:
        """Keep ``value`` under ``name``."""
        ...

    def where(self, name: str) -> str:
        """Say, for an error, where that is kept."""
        ...


@dataclass(frozen=True, slots=True)
class TaskStatePages:
    """Pages in Airflow's task state store.

    :param store: ``context["task_state_store"]``.
    :param retention: how long it shall keep them: Airflow's ``NEVER_EXPIRE``, for they go with the DAG
        run anyhow.
    """

    store: Any
    retention: Any

    def get(self, name: str) -> Any:
        """Give what was put under ``name``, or None."""
        return self.store.get(f"aiml.submissions.{name}")

    def put(self, name: str, value: dict[str, Any]) -> None:
        """Keep ``value``; Airflow refuses where the supervisor is gone or the task instance was retried."""
        self.store.set(f"aiml.submissions.{name}", value, retention=self.retention)

    def where(self, name: str) -> str:
        """Say where that is kept."""
        return f"aiml.submissions.{name} in the task state store"


@dataclass(frozen=True, slots=True)
class ObjectPages:
    """Pages as objects on S3.

    :param client: a boto3 S3 client.
    :param folder: where they go; its key belongs to one task instance.
    """

    client: Any
    folder: Location

    def get(self, name: str) -> Any:
        """Give what was put under ``name``, or None."""
        try:
            found = self.client.get_object(**self._address(name))
        except Exception as error:
            code = fault_code(error)
            if code in ABSENT_CODES:
                return None
            if code is not None and code in FATAL_CODES:
                why = FATAL_CODES[code].partition(";")[0]  # What follows is of an endpoint's output.
                raise _unusable("read", error, f"correct upload_to: {why}") from error
            if code in DENIED_CODES:
                hint = (
                    f"allow s3:GetObject on {self.folder}/* and s3:ListBucket on the bucket for that prefix: "
                    "without the second S3 answers 403, not 404, for a record that is not there yet"
                )
                raise _unusable("read", error, hint) from error
            raise
        with found["Body"] as body:
            return json.loads(body.read())

    def put(self, name: str, value: dict[str, Any]) -> None:
        """Keep ``value`` under ``name``."""
        body = json.dumps(value).encode()
        try:
            self.client.put_object(**self._address(name), Body=body, ContentType="application/json")
        except Exception as error:
            if fault_code(error) in DENIED_CODES:
                raise _unusable("written", error, f"allow s3:PutObject on {self.folder}/*") from error
            raise

    def where(self, name: str) -> str:
        """Say where that is kept."""
        return f"{self.folder}/{name}.json"

    def _address(self, name: str) -> dict[str, str]:
        return {"Bucket": self.folder.bucket, "Key": f"{self.folder.key}/{name}.json"}


class NoPages:
    """Nowhere to write: Airflow before 3.3, and no folder of the user's on S3."""

    def get(self, name: str) -> Any:
        """Give nothing."""
        return None

    def put(self, name: str, value: dict[str, Any]) -> None:
        """Keep nothing."""

    def where(self, name: str) -> str:
        """Say that it is nowhere."""
        return "nowhere"


class SubmissionLedger:
    """The submissions of one task instance, by the identity of their requests.

    :param pages: where they are kept.
    """

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self._known: dict[str, dict[str, Any]] = {}

    def absence_is_certain(self, identity: str) -> bool:
        """Say whether a record that was looked for and is not there was never written.

        What keeps pages may lose one, but only whole: where the record's page is there, all of it is.
        """
        return bool(self._known.get(identity[:_PAGE_DIGITS]))

    def read(
        self, identities: Iterable[str], *, now: float, whole: bool = True
    ) -> dict[str, SubmissionRecord]:
        """Give the records that earlier tries left of these requests.

        :param now: seconds since the epoch.
        :param whole: take a record that cannot be read for an error, not for one that is not there.
        :raises StoredAnswerError: the place, or a record, cannot be read; nothing was sent.
        """
        found = {}
        for name, members in _by_page(identities).items():
            page = self._page(name, whole=whole)
            for identity in members:
                record = SubmissionRecord.from_dict(page.get(identity), now=now)
                if record is not None:
                    found[identity] = record
                elif whole and identity in page:
                    raise _illegible(self.pages.where(name), identity)
        return found

    def write(self, records: Mapping[str, SubmissionRecord]) -> None:
        """Write records down, over earlier ones of the same requests.

        :raises StoredAnswerError: the place cannot be written. What is not sent yet must not be sent.
        """
        for name, members in _by_page(records).items():
            page = self._page(name)
            page.update({identity: records[identity].to_dict() for identity in members})
            try:
                self.pages.put(name, page)
            except StoredAnswerError:
                raise
            except Exception as error:
                raise _unusable("written", error) from error

    def _page(self, name: str, *, whole: bool = True) -> dict[str, Any]:
        if name not in self._known:
            page: Any
            try:
                page = self.pages.get(name)
            except StoredAnswerError:
                raise
            except ValueError:  # It is no JSON.
                page = ()
            except Exception as error:
                raise _unusable("read", error) from error
            if whole and not isinstance(page, dict | None):
                raise _illegible(self.pages.where(name))
            self._known[name] = dict(page) if isinstance(page, dict) else {}
        return self._known[name]


def _by_page(identities: Iterable[str]) -> dict[str, list[str]]:
    pages: dict[str, list[str]] = defaultdict(list)
    for identity in identities:
        pages[identity[:_PAGE_DIGITS]].append(identity)
    return pages


def _illegible(where: str, identity: str | None = None) -> StoredAnswerError:
    what = f"The record of request {identity}" if identity else "The record"
    return StoredAnswerError(
        f"{what} of what was submitted, {where}, cannot be read; nothing was sent",
        retryable=False,
        hint="was it written by a later release, or changed? Remove it, or set reinvoke=True, to buy again",
    )


def _unusable(verb: str, error: Exception, hint: str | None = None) -> StoredAnswerError:
    why = "without the record a retry could buy an inference again, so nothing more is sent"
    return StoredAnswerError(
        f"The record of what was submitted cannot be {verb}: {fault_code(error) or type(error).__name__}",
        code=fault_code(error),
        retryable=fault_code(error) not in FATAL_CODES,
        hint=f"{hint}; {why}" if hint else why,
    )
