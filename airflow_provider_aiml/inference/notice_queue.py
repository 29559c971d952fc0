"""The queue that completion notices come to: how a user names it, and what SQS's refusals mean.

Pure: no calls. See https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_provider_aiml.exceptions import NoticeQueueError, Problem, RequestError
from airflow_provider_aiml.inference.output_look import DENIED_CODES

__all__ = ["QueueRef", "check_region", "refusal"]

_ALLOWED = "the URL, ARN or name of an SQS queue"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}(\.fifo)?")
_ARN = re.compile(r"arn:[a-z-]+:sqs:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[^:]+)")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
_AWS_HOST = re.compile(r"(.+\.)?(amazonaws\.com(\.cn)?|api\.aws)")
_ABSENT_CODES = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_KEY_CODES = re.compile(
    r"kms\.?(accessdenied|disabled|invalidkeyusage|invalidstate|notfound|optinrequired)(exception)?",
    re.IGNORECASE,
)
_ACTIONS = {
    "GetQueueUrl": "sqs:GetQueueUrl",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}


@dataclass(frozen=True, slots=True)
class QueueRef:
    """A queue, as a user named it.

    :param given: how it was named.
    :param name: its name.
    :param account: the account that owns it; None where that is not said: the caller's.
    :param region: its region; None where that is not said.
    :param url: its URL; None where SQS has to be asked for it.
    """

    given: str
    name: str
    account: str | None = None
    region: str | None = None
    url: str | None = None

    @classmethod
    def parse(cls, given: str, field: str = "sqs_queue") -> QueueRef:
        """Read a queue's URL, ARN or name.

        :param given: for example ``https://sqs.eu-west-1.amazonaws.com/111122223333/notices``.
        :param field: the argument that holds it, for the error.
        :raises RequestError: it is none of them.
        """
        found = f"of type {type(given).__name__}"
        if isinstance(given, str):
            ref = _from_arn(given) or _from_url(given) or _from_name(given)
            if ref is not None:
                return ref
            found = f"a string of {len(given)} characters that is none of them"
        raise RequestError("The queue cannot be used", problems=(Problem(field, found, _ALLOWED),))

    def __str__(self) -> str:
        return self.given


def _from_arn(given: str) -> QueueRef | None:
    found = _ARN.fullmatch(given)
    if found is None or not _NAME.fullmatch(found["name"]):
        return None
    return QueueRef(given, found["name"], account=found["account"], region=found["region"])


def _from_url(given: str) -> QueueRef | None:
    try:
        parts = urlsplit(given)
        host = parts.hostname or ""
    except ValueError:
        return None
    name = parts.path.rpartition("/")[2]
    plain = given == f"{parts.scheme}://{parts.netloc}{parts.path}" and "@" not in parts.netloc
    if parts.scheme not in ("http", "https") or not (host and plain and _NAME.fullmatch(name)):
        return None
    labels = host.split(".") if _AWS_HOST.fullmatch(host) else []
    region = next((label for label in labels if _REGION.fullmatch(label)), None)
    return QueueRef(given, name, region=region, url=given)


def _from_name(given: str) -> QueueRef | None:
    return QueueRef(given, given) if _NAME.fullmatch(given) else None


def check_region(queue: QueueRef, region: str | None) -> None:
    """Refuse a queue of another region than the client's.

    :param region: the client's.
    :raises NoticeQueueError: the queue is known to be in another one.
    """
    if queue.region is not None and region is not None and queue.region != region:
        raise NoticeQueueError(
            f"The queue {queue} is in region {queue.region}, the connection in {region}",
            hint="set sqs_queue to a queue in the endpoint's region, or correct region_name",
        )


def refusal(error: BaseException, code: str, queue: QueueRef, region: str | None) -> NoticeQueueError | None:
    """Say what a refusal means that waiting cannot cure; None for a fault that may pass.

    :param error: what the client raised.
    :param code: the AWS error code.
    :param region: the client's.
    """
    if code in _ABSENT_CODES:
        message = f"The queue {queue} does not exist in region {region}"
        hint = "correct sqs_queue, or set region_name to the queue's region"
    elif code == "InvalidAddress":
        message = f"The queue {queue} is not one of region {region}"
        hint = "set sqs_queue to a queue in the endpoint's region, or correct region_name"
    elif code in DENIED_CODES:
        action = _ACTIONS.get(str(getattr(error, "operation_name", None)), "sqs:ReceiveMessage")
        message = f"The identity of the connection may not use the queue {queue}: {action} is denied"
        hint = "allow sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility on it"
        if queue.url is None:
            hint += ", and sqs:GetQueueUrl, or give sqs_queue as a URL"
    elif _KEY_CODES.fullmatch(code):
        message = f"The messages of the queue {queue} cannot be decrypted"
        hint = "allow kms:Decrypt on the queue's key, and see that the key is enabled"
    else:
        return None
    return NoticeQueueError(message, code=code, hint=hint)
