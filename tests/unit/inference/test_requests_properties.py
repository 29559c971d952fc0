"""For any operation and any values: typed errors, no payload in them, and botocore takes what passes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.patterns import compile_pattern
from airflow_provider_aiml.inference.requests import api_members, check_request, load_operation
from botocore.loaders import create_loader
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CANARY = "canary7f3a"
OPERATIONS = [
    (service, name)
    for service in ("sagemaker-runtime", "bedrock-runtime")
    for name in create_loader().load_service_model(service, "service-2")["operations"]
    if name != "InvokeModelWithBidirectionalStream"
]
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.one_of(st.text(max_size=20), st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True)),
    "blob": st.binary(max_size=20),
    "integer": st.integers(-2, 30_000),
    "long": st.integers(-2, 30_000),
    "float": st.floats(-0.5, 1.5),
    "double": st.floats(-0.5, 1.5),
    "boolean": st.booleans(),
    "timestamp": st.just(datetime(2026, 1, 1, tzinfo=UTC)),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just(CANARY), inner),
    max_leaves=5,
)
RUBBISH = st.one_of(
    JSON,
    st.binary(max_size=5),
    st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    st.sampled_from([CANARY + "\ud800", (CANARY,), frozenset({CANARY}), object()]),
)


def values(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Make values that mostly have a shape's types, while its limits are hit and missed."""
    if shape.metadata.get("enum"):
        return st.sampled_from([*shape.metadata["enum"], CANARY])
    if java := shape.metadata.get("pattern"):
        return st.from_regex(compile_pattern(java), fullmatch=True) | SCALARS["string"]
    if isinstance(shape, StructureShape):
        return JSON if shape.is_document_type else _structures(shape, depth)
    if isinstance(shape, ListShape):
        return st.lists(st.deferred(lambda: values(shape.member, depth + 1)), max_size=2)
    if isinstance(shape, MapShape):
        keys = values(shape.key)
        return st.dictionaries(keys, st.deferred(lambda: values(shape.value, depth + 1)), max_size=2)
    return SCALARS[shape.type_name]


@st.composite
def _structures(draw: st.DrawFn, shape: StructureShape, depth: int) -> dict[str, Any]:
    names = list(shape.members)
    if shape.is_tagged_union:
        chosen = {draw(st.sampled_from(names))}
    else:
        chosen = (
            set(shape.required_members) | draw(st.sets(st.sampled_from(names), max_size=2))
            if names
            else set()
        )
    if draw(st.integers(0, 9)) == 0:
        chosen ^= {draw(st.sampled_from(names))} if names else set()
    rubbish = draw(st.integers(0, 19)) == 0
    return {name: draw(RUBBISH if rubbish else values(shape.members[name], depth + 1)) for name in chosen}


def _checked_or_refused(operation: OperationModel, params: dict[str, Any]) -> dict[str, Any] | RequestError:
    try:
        return check_request(operation, params)
    except RequestError as error:
        return error


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_whatever_passes_is_taken_by_botocore_and_all_else_is_a_typed_error(service: str, name: str) -> None:
    operation = load_operation(service, name)
    members = api_members(operation)

    @settings(max_examples=60, database=None, suppress_health_check=list(HealthCheck))
    @given(_structures(operation.input_shape, 0))
    def holds(api_params: dict[str, Any]) -> None:
        params = {member.argument: api_params.get(member.name) for member in members.values()}
        request = _checked_or_refused(operation, params)
        if isinstance(request, RequestError):
            assert request.problems
            assert all(problem.found and problem.allowed for problem in request.problems)
            return
        assert not ParamValidator().validate(request, operation.input_shape).has_errors()

    holds()


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_a_canary_in_a_structure_body_or_sensitive_member_is_in_no_error(service: str, name: str) -> None:
    operation = load_operation(service, name)
    hidden = [
        member.argument
        for member in api_members(operation).values()
        if member.is_body or member.sensitive or member.type in ("structure", "list", "map", "blob")
    ]

    @settings(max_examples=30, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(hidden), RUBBISH, min_size=1) if hidden else st.just({}))
    def hides(params: dict[str, Any]) -> None:
        error = _checked_or_refused(operation, {**params, "model_idd": 1})
        assert isinstance(error, RequestError)
        assert CANARY not in str(error) + str(error.to_dict())

    hides()
