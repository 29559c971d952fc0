"""API Gateway in front of a SageMaker endpoint: deploy it, call it, tear it down."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow_provider_aiml.answer_task import AnswerTask, decoded_body
from airflow_provider_aiml.aws_task import has_jinja
from airflow_provider_aiml.endpoint_api import EndpointApi
from airflow_provider_aiml.exceptions import Problem, RequestError
from airflow_provider_aiml.inference.arguments import check_one_source
from airflow_provider_aiml.links.api_gateway import AccessLogLink, ApiLink, StackLink
from airflow_provider_aiml.stack_task import StackTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_provider_aiml.hooks.stack_calls import Operation
    from airflow_provider_aiml.inference.stored_answer import Answer

__all__ = [
    "ApiGatewaySageMakerDeleteOperator",
    "ApiGatewaySageMakerDeployOperator",
    "ApiGatewaySageMakerInvokeOperator",
]

_API_FIELDS = frozenset(one.name for one in fields(EndpointApi))
# Velocity is not Jinja: "{#set" would begin a comment of it.
_VELOCITY_FIELDS = frozenset(
    {"request_mapping_template", "response_mapping_template", "additional_request_templates"}
)
_VELOCITY_OVERRIDES = frozenset({"RequestTemplates", "ResponseTemplates"})


T = TypeVar("T", bound="Callable[..., None]")


def _naming_properties(init: T) -> T:
    """Name an API's properties in a signature: Airflow reads there what default_args and partial may give."""
    signature = inspect.signature(init)
    *own, rest = signature.parameters.values()
    named = [inspect.Parameter(one.name, rest.KEYWORD_ONLY, default=None) for one in fields(EndpointApi)]
    init.__signature__ = signature.replace(parameters=[*own, *named, rest])  # type: ignore[attr-defined]
    return init


class ApiGatewaySageMakerDeployOperator(StackTask):
    """Deploy an API in front of a SageMaker endpoint, or bring it up to date, in one CloudFormation stack.

    https://docs.aws.amazon.com/solutions/latest/constructs/aws-apigateway-sagemakerendpoint.html

    Gives ``{"url", "rest_api_id", "stage_name", "invoke_role_arn", "cloudwatch_role_arn", "log_group_name",
    "usage_plan_id", "api_key_id", "stack_id", "stack_name", "status", "action", "changes"}``, without those
    that there are not; ``action`` is ``created``, ``updated`` or ``unchanged``, and a key's value is never in
    it. Without waiting: ``{"stack_name", "stack_id", "action", "changes"}``.

    An update goes through a change set; one without changes touches nothing. Another route takes two updates,
    for the old one is still there when the first is deployed. While they run, and if one fails, the API that
    was there before goes on serving. A try that follows a killed one picks its operation up.

    :param api: an :class:`~airflow_provider_aiml.endpoint_api.EndpointApi`, or its properties as a mapping;
        or each property as an argument of its own, which goes before what ``api`` says. ``default_args`` and
        ``.partial()`` take them, too; ``api`` goes before ``default_args``. Mapping templates, those in
        ``overrides`` too, are not rendered by Jinja. (templated)
    :param examples: pairs of a request, as ``render_request`` takes it (``path``, ``query``, ``headers``,
        ``body``), and the body that the model should get. One that fails stops the deployment before the
        stack is looked at.
    :param capabilities: what the stack may do; a role with a name of yours needs CAPABILITY_NAMED_IAM.
        Default: CAPABILITY_IAM.
    :param replace_failed: delete a stack that is stuck in ROLLBACK_COMPLETE or so, and make it anew. Default:
        False.
    :param check_endpoint: refuse an endpoint that does not exist. Default: True.
    :raises RequestError: the API cannot be deployed; the stack was not touched.
    :raises StackFailedError: the operation failed, with the reasons of the resources that did.
    """

    template_fields = (*StackTask.template_fields, "api_properties", "capabilities")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **StackTask.template_fields_renderers,
        "api_properties": "json",
    }
    operator_extra_links = (StackLink(), ApiLink(), AccessLogLink())
    final_actions = frozenset({"create", "update"})

    @_naming_properties
    def __init__(
        self,
        *,
        api: EndpointApi | Mapping[str, Any] | None = None,
        examples: Sequence[tuple[Mapping[str, Any], Any]] = (),
        capabilities: Sequence[str] = ("CAPABILITY_IAM",),
        replace_failed: bool = False,
        check_endpoint: bool = True,
        **kwargs: Any,
    ) -> None:
        given = {name: kwargs.pop(name) for name in _API_FIELDS & kwargs.keys()}
        super().__init__(**kwargs)
        # What only default_args give does not change an API that is given whole.
        defaults = kwargs.get("default_args", {})
        chosen = {name: one for name, one in given.items() if name not in defaults or one != defaults[name]}
        properties = {**given, **_properties(api), **chosen}
        self.mapping_templates = {name: properties.pop(name) for name in _VELOCITY_FIELDS & properties.keys()}
        self.override_templates: dict[tuple[Any, ...], Any] = {}
        if isinstance(properties.get("overrides"), Mapping):
            properties["overrides"] = _without_templates(properties["overrides"], self.override_templates)
        self.api_properties = properties
        self.examples = examples
        self.capabilities = capabilities
        self.replace_failed = replace_failed
        self.check_endpoint = check_endpoint
        if not _holds_jinja(properties):
            _ = self.api

    @property
    def api(self) -> EndpointApi:
        """What is deployed.

        :raises RequestError: a property is unknown, missing, or cannot be deployed.
        """
        given = {**self.api_properties, **self.mapping_templates}
        if self.override_templates:
            given["overrides"] = _with_templates(given["overrides"], self.override_templates)
        unknown = [
            Problem(f"api[{name!r}]", "unknown", "EndpointApi's") for name in given.keys() - _API_FIELDS
        ]
        wanted = ("name", "endpoint_name", "resource_path", "request_mapping_template")
        missing = [Problem(name, "missing", "a text") for name in wanted if name not in given]
        if unknown or missing:
            raise RequestError("The API cannot be deployed", problems=(*unknown, *missing))
        return EndpointApi(**given)

    def check_before(self) -> None:
        """Try the templates and the examples, and look for the endpoint."""
        self._try_examples()
        self.hook.check_deploy(self.api, check_endpoint=self.check_endpoint)

    def _try_examples(self) -> None:
        problems = []
        for number, (request, expected) in enumerate(self.examples):
            try:
                rendered = self.api.render_request(**request)
            except RequestError as error:
                problems += [replace(one, field=f"examples[{number}] {one.field}") for one in error.problems]
                continue
            if not _is_same(rendered, expected):
                found = f"a request that becomes another body, of {len(rendered)} characters"
                problems.append(Problem(f"examples[{number}]", found, "the expected body"))
        if problems:
            raise RequestError("The examples do not come out as expected", problems=tuple(problems))

    def begin(self, context: Context) -> Operation:
        """Create, or update by change set, or join what is under way."""
        operation: Operation = self.hook.begin_deploy(
            self.stack_name,
            self.api,
            token=self.token(context),
            capabilities=self.capabilities,
            role_arn=self.cloudformation_role_arn,
            replace_failed=self.replace_failed,
        )
        return operation

    def result_of(self, operation: Operation) -> dict[str, Any]:
        """Say what the stack is and what was changed, or why it failed."""
        result: dict[str, Any] = self.hook.deployed(self.stack_name, operation, self.api)
        self.link_facts |= result
        return result


def _properties(api: EndpointApi | Mapping[str, Any] | None) -> dict[str, Any]:
    if isinstance(api, EndpointApi):
        return {name: getattr(api, name) for name in _API_FIELDS}
    return dict(api or {})


def _without_templates(value: Any, held: dict[tuple[Any, ...], Any], path: tuple[Any, ...] = ()) -> Any:
    """Take the mapping templates out of overrides.

    :param held: where they are put, by where they were.
    """
    if isinstance(value, list | tuple):
        return [_without_templates(one, held, (*path, number)) for number, one in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    held |= {(*path, name): one for name, one in value.items() if name in _VELOCITY_OVERRIDES}
    rest = {name: one for name, one in value.items() if name not in _VELOCITY_OVERRIDES}
    return {name: _without_templates(one, held, (*path, name)) for name, one in rest.items()}


def _with_templates(overrides: Mapping[str, Any], held: Mapping[tuple[Any, ...], Any]) -> dict[str, Any]:
    """Put the mapping templates back."""
    whole: Any = copy.deepcopy(overrides)
    for (*path, name), templates in held.items():
        at = whole
        for step in path:
            at = at[step]
        at[name] = templates
    return dict(whole)


def _holds_jinja(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_jinja, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_jinja, value))
    return has_jinja(value) or callable(getattr(value, "resolve", None))


def _is_same(rendered: str, expected: Any) -> bool:
    """Compare as JSON where both are JSON."""
    try:
        text = expected if isinstance(expected, str) else json.dumps(expected)
        return _canonical(rendered) == _canonical(text)
    except (TypeError, ValueError):
        return bool(rendered == expected)


def _canonical(text: str) -> str:
    """Write JSON in one way: 1 and 1.0 are the same number, 1 and true are not the same."""
    return json.dumps(json.loads(text, parse_float=_number), sort_keys=True)


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value


class ApiGatewaySageMakerDeleteOperator(StackTask):
    """Delete the stack of an API; one that is not there is as good as deleted.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DeleteStack.html

    Gives ``{"stack_name", "status", "kept", "stack_id"}``: ``deleted`` or ``absent``, and what outlives the
    stack: the access log, and the account's logging role.

    :raises StackFailedError: something could not be deleted, with the reasons.
    """

    operator_extra_links = (StackLink(),)
    final_actions = frozenset({"delete"})

    def begin(self, context: Context) -> Operation:
        """Delete, or join what is under way."""
        operation: Operation = self.hook.begin_delete(
            self.stack_name, token=self.token(context), role_arn=self.cloudformation_role_arn
        )
        return operation

    def result_of(self, operation: Operation) -> dict[str, Any]:
        """Say what was deleted and what is left, or why it failed."""
        result: dict[str, Any] = self.hook.deleted(self.stack_name, operation)
        return result


class ApiGatewaySageMakerInvokeOperator(AnswerTask):
    """Call a deployed API.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-call-api.html

    Gives ``{"body", "content_type", "status_code"}``. Calls that surely did not reach the model, throttled
    ones above all, are sent again as ``retry_args`` has it.

    :param url: the stage's URL, as the deploy operator gives it. (templated)
    :param path: below it: text, whose slashes separate segments, or a list of segments. (templated)
    :param query: parameters; a list gives one several times, None leaves it out. (templated)
    :param method: GET or POST. Default: POST with a payload, else GET. (templated)
    :param payload: the body of a POST: JSON-like values, rows for CSV, text or bytes, as ``content_type``
        says. (templated)
    :param payload_uri: or where to read the body's bytes from, in any object storage. (templated)
    :param content_type: the body's MIME type. Default: ``application/json``. (templated)
    :param headers: further headers. (templated)
    :param authorization: AWS_IAM signs with the connection's credentials; NONE does not. Default: AWS_IAM.
    :param api_key_conn_id: an Airflow connection whose password is the API key. (templated)
    :param timeout: seconds to wait for the answer. Default: 305.
    :param decode: decode the body by its content type; False gives base64. Default: True.
    :raises RequestError: the input is wrong; nothing was sent.
    :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.
    """

    operation = "InvokeApi"
    hook_module = "airflow_provider_aiml.hooks.api_gateway"
    hook_name = "ApiGatewaySageMakerHook"
    template_fields = (
        *AnswerTask.template_fields,
        "url",
        "path",
        "query",
        "method",
        "payload",
        "payload_uri",
        "content_type",
        "headers",
        "api_key_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **AnswerTask.template_fields_renderers,
        "query": "json",
        "payload": "json",
        "headers": "json",
    }

    def __init__(
        self,
        *,
        url: str,
        path: str | Sequence[str] = "",
        query: Mapping[str, Any] | None = None,
        method: str | None = None,
        payload: Any = None,
        payload_uri: str | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        authorization: str = "AWS_IAM",
        api_key_conn_id: str | None = None,
        timeout: float = 305,
        decode: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if payload is not None or payload_uri is not None:
            check_one_source({"payload": payload, "payload_uri": payload_uri})
        self.url = url
        self.path = path
        self.query = query
        self.method = method
        self.payload = payload
        self.payload_uri = payload_uri
        self.content_type = content_type
        self.headers = headers
        self.authorization = authorization
        self.api_key_conn_id = api_key_conn_id
        self.timeout = timeout
        self.decode = decode

    def build_request(self) -> dict[str, Any]:
        """Give the request by the names of the hook's arguments; its key is not in it."""
        has_body = self.payload is not None or self.payload_uri is not None
        request: dict[str, Any] = {
            "url": self.url,
            "path": self.path,
            "query": self.query,
            "method": self.method or ("POST" if has_body else "GET"),
            "headers": self.headers,
            "authorization": self.authorization,
        }
        if has_body:
            request["body"] = self.read_body(self.payload, self.payload_uri, self.content_type)
            request["content_type"] = self.content_type
        return {name: value for name, value in request.items() if value is not None}

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Call the API."""
        from airflow_provider_aiml.inference.stored_answer import Answer

        response = self.hook.invoke(**request, api_key=self._api_key(), timeout=self.timeout)
        members = {
            "content_type": response["Headers"].get("content-type"),
            "status_code": response["StatusCode"],
        }
        return Answer(response["Body"], {name: one for name, one in members.items() if one is not None})

    def _api_key(self) -> str | None:
        if not self.api_key_conn_id:
            return None
        from airflow.sdk import BaseHook

        key = BaseHook.get_connection(self.api_key_conn_id).password
        if not key:
            problem = Problem(
                "api_key_conn_id", "a connection without a password", "the API key as its password"
            )
            raise RequestError("The API cannot be called", problems=(problem,))
        return str(key)

    def read_answer(self, answer: Answer) -> dict[str, Any]:
        """Decode the body by its content type."""
        content_type = answer.members.get("content_type")
        return {**decoded_body(answer.body, content_type, wanted=self.decode), **answer.members}
