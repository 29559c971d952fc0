"""What the tasks share whose model may answer in a stream: the other operation, and what it cannot be given.

The events of a stream become an answer in :mod:`airflow_provider_aiml.inference.streaming`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aiml.answer_task import AnswerTask, PaidTask, decoded_body
from airflow_provider_aiml.aws_task import own_s3_uri
from airflow_provider_aiml.exceptions import Problem, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_aiml.inference.stored_answer import Answer
    from airflow_provider_aiml.inference.stream_store import OpenUpload
    from airflow_provider_aiml.inference.streaming import StreamProgress

_EVERYWHERE = frozenset({"endpoint_name", "model_id", "content_type", "accept"})
"""Members of every operation here: for these alone no service model is read where a DAG file is parsed."""


class StreamedTask(PaidTask):
    """A task whose model may answer in a stream.

    :param stream: have the answer sent as it is made. The result is that of the call without a stream; the
        log tells how it goes in numbers. Default: False.
    """

    service: ClassVar[str]
    streamed_operation: ClassVar[str]
    member_fields: ClassVar[Sequence[str]]

    def __init__(self, *, stream: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stream = stream

    @property
    def called_operation(self) -> str:
        """The operation that is really called."""
        return self.streamed_operation if self.stream else self.operation

    def check_streamable(self, members: Iterable[str]) -> None:
        """Refuse members that the streaming operation lacks, before anything is rendered or sent.

        :param members: the names of those that are given.
        :raises RequestError: the operation has no such member.
        """
        given = set(members) - _EVERYWHERE
        if not self.stream or not given:
            return
        from airflow_provider_aiml.inference.requests import api_members, load_operation

        known = api_members(load_operation(self.service, self.streamed_operation))
        if lacking := sorted(given - set(known)):
            problems = tuple(
                Problem(
                    name, "given with stream=True", f"absent: {self.streamed_operation} has no such member"
                )
                for name in lacking
            )
            raise RequestError("The arguments do not fit each other", problems=problems)

    def needs_body(self) -> bool:
        """Tell whether ``result_expression`` may ask for the body, which is read into memory only then."""
        return any(sign in str(self.result_expression or "") for sign in ("body", "@", "*", "\\"))

    def progress(self, target: Any) -> StreamProgress:
        """Begin to count a stream.

        :param target: the endpoint or model, for the log.
        """
        from airflow_provider_aiml.inference.streaming import StreamProgress

        return StreamProgress(f"{self.streamed_operation} on {target}")

    def growing_upload(self, uri: str) -> OpenUpload | None:
        """Give what lets an answer on S3 grow; None for other places, and for one with its own connection.

        :param uri: the answer's place.
        """
        own = own_s3_uri(uri)
        if own is None:
            return None
        from airflow_provider_aiml.inference.growing_upload import GrowingUpload
        from airflow_provider_aiml.inference.outputs import Location

        location = Location.parse(own, "output_uri")
        return lambda read: GrowingUpload(self.s3, location, read)


class BodyTask(StreamedTask, AnswerTask):
    """A task whose answer is a body of some content type, which may come in a stream."""

    no_xcom = "or decode=False to get its bytes in base64"
    decode: bool

    def read_answer(self, answer: Answer) -> dict[str, Any]:
        """Decode the body by the response's content type."""
        body = decoded_body(answer.body, answer.members.get("content_type"), wanted=self.decode)
        return {**body, **answer.members}
