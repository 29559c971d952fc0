"""The operations that the local AWS answers itself, found and read by botocore's service models.

A request's verb and path give the operation; its model gives where each member travels (path, query,
header, body) and of what type it is. A value that cannot be of its type is a ``SerializationException``.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from airflow_provider_aiml.local_aws.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_aiml.local_aws.messages import Request

__all__ = ["Operation", "find_operation", "from_json", "read_request_members", "service_model"]

_OWN_SERVICES = ("sagemaker-runtime", "bedrock-runtime")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one service, as botocore models it.

    :param service: botocore's service name, for example ``sagemaker-runtime``.
    :param model: the operation's model.
    :param path: what the raw path must match; its groups are the URI members.
    """

    service: str
    model: OperationModel
    path: re.Pattern[str]

    @property
    def name(self) -> str:
        """Give the operation's name, for example ``InvokeEndpoint``."""
        return str(self.model.name)

    @property
    def method(self) -> str:
        """Give the HTTP verb."""
        return str(self.model.http["method"])

    @property
    def signing_name(self) -> str:
        """Give the name that requests of this service are signed with."""
        return str(self.model.service_model.signing_name)


@cache
def service_model(service: str) -> ServiceModel:
    """Load botocore's model of a service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@cache
def _own_operations() -> tuple[Operation, ...]:
    return tuple(_operations_of_all_services())


def _operations_of_all_services() -> Iterator[Operation]:
    for service in _OWN_SERVICES:
        model = service_model(service)
        for name in model.operation_names:
            operation = model.operation_model(name)
            uri = operation.http["requestUri"].partition("?")[0]
            pattern = re.sub(r"\\\{(\w+)(\\\+)?\\\}", _group, re.escape(uri))
            yield Operation(service, operation, re.compile(pattern))


def _group(match: re.Match[str]) -> str:
    return f"(?P<{match[1]}>{'.+' if match[2] else '[^/]+'})"


def find_operation(request: Request) -> Operation | None:
    """Give the operation that answers ``request`` here; None if it is moto's to answer.

    The path alone will not do: ``/endpoints/x`` may be an object of a bucket. So the signing name must fit,
    where there is one.
    """
    for operation in _own_operations():
        if request.signing_name not in {None, operation.signing_name} or request.method != operation.method:
            continue
        if operation.path.fullmatch(request.raw_path):
            return operation
    return None


def read_request_members(operation: Operation, request: Request) -> dict[str, Any]:
    """Read the members of the input shape out of ``request``; absent ones are left out.

    :raises ApiError: ``SerializationException`` for a value that cannot be of its type.
    """
    shape = operation.model.input_shape
    assert shape is not None
    match = operation.path.fullmatch(request.raw_path)
    assert match is not None
    members: dict[str, Any] = {}
    for name, member in shape.members.items():
        value = _from_outside_the_body(name, member, request, match)
        if value is not None:
            members[name] = value
    members.update(_from_the_body(shape, request))
    return members


def _from_outside_the_body(name: str, member: Shape, request: Request, match: re.Match[str]) -> Any:
    wire_name = member.serialization.get("name", name)
    location = member.serialization.get("location")
    if location == "uri":
        return _from_text(member, unquote(match[wire_name]))
    if location == "querystring" and wire_name in request.query_params:
        return _from_text(member, request.query_params[wire_name])
    if location == "header" and wire_name.lower() in request.headers:
        return _from_text(member, request.headers[wire_name.lower()])
    return None


def _from_text(member: Shape, text: str) -> Any:
    """Read a value of a path, query or header."""
    readers: dict[str, Callable[[str], Any]] = {"integer": int, "long": int, "timestamp": _timestamp}
    try:
        return readers.get(member.type_name, str)(text)
    except ValueError as error:
        raise ApiError(
            "SerializationException", f"{text} can not be converted to {member.type_name}"
        ) from error


def _timestamp(value: Any) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return parsedate_to_datetime(value)


def _from_the_body(shape: StructureShape, request: Request) -> dict[str, Any]:
    payload = shape.serialization.get("payload")
    if payload is not None:
        if not request.body:
            return {}
        member = shape.members[payload]
        return {payload: request.body if member.type_name == "blob" else from_json(member, _json(request))}
    in_body = {
        name: member for name, member in shape.members.items() if "location" not in member.serialization
    }
    if not in_body:
        return {}
    document = _json(request)
    if not isinstance(document, dict):
        raise ApiError("SerializationException", "Start of structure or map found where not expected.")
    return _members_from_json(in_body, document)


def _json(request: Request) -> Any:
    try:
        return json.loads(request.body or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", "Could not parse the request body as JSON") from error


def _members_from_json(members: dict[str, Shape], document: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, member in members.items():
        value = document.get(member.serialization.get("name", name))
        if value is not None:
            found[name] = from_json(member, value)
    return found


_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "blob": (str,),
    "timestamp": (int, float, str),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
}


def from_json(shape: Shape, value: Any) -> Any:
    """Read a value of a JSON body as its shape has it: blobs as bytes, timestamps as datetimes.

    :raises ApiError: ``SerializationException`` for a value that cannot be of its type.
    """
    if getattr(shape, "is_document_type", False):
        return value
    expected = _JSON_TYPES[shape.type_name]
    fits = isinstance(value, expected) and (bool in expected or not isinstance(value, bool))
    if not fits:
        raise ApiError(
            "SerializationException", f"{_json_type(value)} can not be converted to {shape.type_name}"
        )
    if isinstance(shape, StructureShape):
        return _members_from_json(shape.members, value)
    if isinstance(shape, ListShape):
        return [from_json(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {key: from_json(shape.value, item) for key, item in value.items()}
    if shape.type_name == "blob":
        return _blob(value)
    return _timestamp(value) if shape.type_name == "timestamp" else value


def _json_type(value: Any) -> str:
    names = {dict: "STRUCTURE_VALUE", list: "LIST_VALUE", str: "STRING_VALUE", bool: "BOOLEAN_VALUE"}
    return names.get(type(value), "NUMBER_VALUE")


def _blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ApiError("SerializationException", "Invalid base64 in a blob") from error
