"""What goes back over the wire: results by the service model, and errors in each protocol's own shape."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from airflow_provider_aiml.local_aws.event_stream import CONTENT_TYPE
from airflow_provider_aiml.local_aws.messages import Answer, Request

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.errors import ApiError

__all__ = ["error_answer", "foreign_error_answer", "result_answer", "to_json"]


def _request_id() -> tuple[str, str]:
    return ("x-amzn-RequestId", str(uuid.uuid4()))


def result_answer(operation: OperationModel, result: dict[str, Any]) -> Answer:
    """Put an operation's result on the wire, each member where its model says that it travels.

    An event stream must have been framed already: its member holds an async iterator of bytes.
    """
    status = operation.http.get("responseCode", 200)
    shape = operation.output_shape
    headers = [_request_id()]
    assert shape is not None
    in_body = {}
    for name, member in shape.members.items():
        value = result.get(name)
        if value is None:
            continue
        if member.serialization.get("location") == "header":
            headers.append((member.serialization.get("name", name), str(value)))
        else:
            in_body[name] = value
    payload = shape.serialization.get("payload")
    if operation.has_event_stream_output:
        headers.append(("Content-Type", CONTENT_TYPE))
        return Answer(status, headers, in_body[_event_stream_member(shape)])
    if payload is not None:
        return Answer(status, headers, in_body.get(payload, b""))
    headers.append(("Content-Type", "application/json"))
    return Answer(status, headers, json.dumps(to_json(shape, in_body)).encode())


def _event_stream_member(shape: StructureShape) -> str:
    return next(name for name, member in shape.members.items() if member.serialization.get("eventstream"))


def to_json(shape: Shape, value: Any) -> Any:
    """Give the JSON form of a value: blobs as base64, timestamps as ISO 8601."""
    if getattr(shape, "is_document_type", False):
        return value
    if isinstance(shape, StructureShape):
        return {
            member.serialization.get("name", name): to_json(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [to_json(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {key: to_json(shape.value, item) for key, item in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    if shape.type_name == "timestamp":
        return _instant(value)
    return value


def _instant(value: datetime | float | str) -> str:
    if isinstance(value, str):
        return value
    moment = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def error_answer(error: ApiError, service: str) -> Answer:
    """Give a rest-json error: its code in ``x-amzn-ErrorType``, its members in the body.

    SageMaker spells the message ``Message``, save for the errors of its gateway, of which throttling is the
    one with a null message.
    """
    at_gateway = error.message is None or service != "sagemaker-runtime"
    body = {"message" if at_gateway else "Message": error.message, **error.fields}
    headers = [_request_id(), ("x-amzn-ErrorType", error.code), ("Content-Type", "application/json")]
    return Answer(error.status, headers, json.dumps(body).encode())


def foreign_error_answer(error: ApiError, request: Request) -> Answer:
    """Give an error of a service that moto answers, in that service's protocol: query, S3's own, or JSON."""
    message = error.message or ""
    what = f"<Code>{escape(error.code)}</Code><Message>{escape(message)}</Message>"
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        request_id = f"<RequestId>{uuid.uuid4()}</RequestId>"
        text = f"<ErrorResponse><Error><Type>Sender</Type>{what}</Error>{request_id}</ErrorResponse>"
        return Answer(error.status, [_request_id(), ("Content-Type", "text/xml")], text.encode())
    if request.signing_name in {"s3", None}:
        # S3's answer to HEAD has no body, so that clients see the status as the code.
        request_id = f"<RequestId>{uuid.uuid4()}</RequestId>"
        text = "" if request.method == "HEAD" else f"<Error>{what}{request_id}</Error>"
        headers = [("x-amz-request-id", uuid.uuid4().hex[:16].upper()), ("Content-Type", "application/xml")]
        return Answer(error.status, headers, text.encode())
    body = json.dumps({"__type": error.code, "message": message, **error.fields}).encode()
    headers = [_request_id(), ("x-amzn-ErrorType", error.code), ("Content-Type", "application/json")]
    return Answer(error.status, headers, body)
