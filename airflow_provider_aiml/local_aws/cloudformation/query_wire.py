"""The query protocol: forms in, XML out, by botocore's service model.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/making-api-requests.html
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from airflow_provider_aiml.local_aws.messages import Answer

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.messages import Request

__all__ = ["query_answer", "read_action", "read_form"]


def read_action(request: Request) -> str:
    """Give the name of the operation that a form asks for; empty without one."""
    return _form(request).get("Action", "")


def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def read_form(operation: OperationModel, request: Request) -> dict[str, Any]:
    """Read an operation's members out of a form; absent ones are left out."""
    assert operation.input_shape is not None
    found = _read(operation.input_shape, _form(request), "")
    return found if isinstance(found, dict) else {}


def _read(shape: Shape, form: dict[str, str], prefix: str) -> Any:
    if isinstance(shape, StructureShape):
        return _read_structure(shape, form, prefix)
    if isinstance(shape, ListShape):
        return _read_list(shape, form, prefix)
    return _scalar(shape, form[prefix]) if prefix in form else None


def _read_structure(shape: StructureShape, form: dict[str, str], prefix: str) -> dict[str, Any] | None:
    found = {}
    for name, member in shape.members.items():
        path = f"{prefix}.{name}" if prefix else name
        if (value := _read(member, form, path)) is not None:
            found[name] = value
    return found if found or not prefix else None


def _read_list(shape: ListShape, form: dict[str, str], prefix: str) -> list[Any] | None:
    items: list[Any] = []
    while (item := _read(shape.member, form, f"{prefix}.member.{len(items) + 1}")) is not None:
        items.append(item)
    return items or None


def _scalar(shape: Shape, text: str) -> Any:
    if shape.type_name == "boolean":
        return text == "true"
    return int(text) if shape.type_name in ("integer", "long") else text


def query_answer(operation: OperationModel, result: dict[str, Any]) -> Answer:
    """Put a result on the wire."""
    name, shape, request_id = operation.name, operation.output_shape, str(uuid.uuid4())
    inner = ""
    if shape is not None:
        wrapper = shape.serialization.get("resultWrapper", f"{name}Result")
        inner = f"<{wrapper}>{_write(shape, result)}</{wrapper}>"
    namespace = operation.service_model.metadata["xmlNamespace"]
    text = (
        f'<{name}Response xmlns="{namespace}">{inner}<ResponseMetadata><RequestId>{request_id}</RequestId>'
        f"</ResponseMetadata></{name}Response>"
    )
    headers = [("x-amzn-RequestId", request_id), ("Content-Type", "text/xml")]
    return Answer(200, headers, text.encode())


def _write(shape: Shape, value: Any) -> str:
    if isinstance(shape, StructureShape):
        return "".join(
            f"<{name}>{_write(member, value[name])}</{name}>"
            for name, member in shape.members.items()
            if value.get(name) is not None
        )
    if isinstance(shape, ListShape):
        return "".join(f"<member>{_write(shape.member, item)}</member>" for item in value)
    assert not isinstance(shape, MapShape), "no answer of ours has a map"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return escape(str(value))
