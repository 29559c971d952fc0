"""The front door as one frozen value: what the AWS Solutions Construct takes, and what it lacks."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_aiml.endpoint_api.checks import check_api
from airflow_provider_aiml.endpoint_api.paths import declared_parameters, split_path
from airflow_provider_aiml.endpoint_api.surroundings import Surroundings
from airflow_provider_aiml.exceptions import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_aiml.endpoint_api.rendering import RenderedResponse

__all__ = ["EndpointApi"]

_log = logging.getLogger(__name__)

_PROFILES: dict[str, dict[str, str]] = {
    "default": {
        "endpoint_type": "REGIONAL",
        "account_logging_role": "if_missing",
        "error_mapping": "faithful",
    },
    "construct": {"endpoint_type": "EDGE", "account_logging_role": "create", "error_mapping": "construct"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointApi:
    """A REST API with one route in front of a SageMaker endpoint.

    :param name: the REST API's name.
    :param endpoint_name: the SageMaker endpoint that it calls; the only thing that it may call.
    :param resource_path: the route, for example ``{user_id}`` or ``users/{user_id}``; empty: the root.
    :param request_mapping_template: VTL that makes the model's body from a request of ``application/json``,
        or of none; see :func:`~airflow_provider_aiml.endpoint_api.json_template` for safe ones.
    :param resource_name: a segment before ``resource_path``, for example ``predicted-ratings``.
    :param response_mapping_template: VTL that makes the answer from the model's; default: as it is.
    :param additional_request_templates: templates for other content types than ``application/json``.
    :param api_gateway_execution_role_arn: a role of yours to call the endpoint as; it gets no policy from us.
        Default: a role of the stack's own that may invoke this endpoint and nothing else.
    :param create_usage_plan: whether there is a usage plan on the stage. Default: True.
    :param api_key_required: whether callers need an API key; one is made. Default: False.
    :param profile: ``default``, or ``construct`` for just what aws-apigateway-sagemakerendpoint deploys.
    :param method: GET or POST. Default: GET.
    :param request_parameters: query parameters, and headers as ``header.X-Name``, each with whether it is
        required. Those of the path always are.
    :param request_model: a JSON schema (draft 4) that POST bodies must fit, checked by the gateway: those of
        ``application/json`` and of each additional type that is JSON (``…+json``), and of no other type. It
        is itself checked here, and goes to CloudFormation as text, which looks for no functions in it.
    :param content_type: what the model is told that it gets. Default: ``application/json``.
    :param timeout: how long the gateway waits for the model, in seconds: 0.05 to 29, REGIONAL to 300 where
        the account's quota was raised. Default: the gateway's own, 29.
    :param description: the REST API's.
    :param endpoint_type: REGIONAL or EDGE. Default: REGIONAL; ``construct``: EDGE.
    :param authorization: AWS_IAM (callers sign) or NONE. Default: AWS_IAM.
    :param binary_media_types: of the REST API. They alone pass no bytes: what has no mapping template is 415,
        and a template makes text. Say with ``overrides`` of ``Method`` what becomes of such bodies
        (``Integration``: ``ContentHandling``, ``PassthroughBehavior``).
    :param stage_name: Default: ``prod``.
    :param stage_variables: ``$stageVariables`` of the mapping templates.
    :param tracing: X-Ray. Default: True.
    :param logging_level: OFF, ERROR or INFO, of the execution log. Default: INFO.
    :param log_group_name: of the access log. Default: one that CloudFormation makes up.
    :param log_retention_days: Default: for ever.
    :param throttle_rate_limit: requests per second that the stage takes, 0.5 too; default: the account's.
    :param throttle_burst_limit: requests at once that the stage takes; default: the account's.
    :param quota_limit: requests per ``quota_period`` and API key; needs ``api_key_required``.
    :param quota_period: DAY, WEEK or MONTH.
    :param account_logging_role: API Gateway writes logs as one role per account and region. ``if_missing``:
        made where there is none, kept on delete, never overwritten. ``leave``: never touched. ``create``:
        made and set, whatever there was. An ARN: that role is set. Default: ``if_missing``; ``construct``:
        ``create``.
    :param error_mapping: ``faithful`` keeps 400, 413, 424, 429, 500, 503 and 504 and gives a JSON message;
        ``construct`` makes 400 of all 4xx and 500 of all 5xx. Default: ``faithful``; ``construct``:
        ``construct``.
    :param tags: of each resource that takes tags.
    :param overrides: properties by logical id, merged over ours last; a value of None removes a property.
        Those of a resource that the account has already (its logging role, a log group of that name) are
        left out with it.
    :raises RequestError: what cannot be deployed, every offending field in one error.

    https://docs.aws.amazon.com/solutions/latest/constructs/aws-apigateway-sagemakerendpoint.html
    """

    name: str
    endpoint_name: str
    resource_path: str
    request_mapping_template: str
    resource_name: str | None = None
    response_mapping_template: str | None = None
    additional_request_templates: Mapping[str, str] = field(default_factory=dict)
    api_gateway_execution_role_arn: str | None = None
    create_usage_plan: bool = True
    api_key_required: bool = False
    profile: Literal["default", "construct"] = "default"
    method: Literal["GET", "POST"] = "GET"
    request_parameters: Mapping[str, bool] = field(default_factory=dict)
    request_model: Mapping[str, Any] | None = None
    content_type: str = "application/json"
    timeout: float | None = None
    description: str | None = None
    endpoint_type: Literal["REGIONAL", "EDGE", ""] = ""
    authorization: Literal["AWS_IAM", "NONE"] = "AWS_IAM"
    binary_media_types: Sequence[str] = ()
    stage_name: str = "prod"
    stage_variables: Mapping[str, str] = field(default_factory=dict)
    tracing: bool = True
    logging_level: Literal["OFF", "ERROR", "INFO"] = "INFO"
    log_group_name: str | None = None
    log_retention_days: int | None = None
    throttle_rate_limit: float | None = None
    throttle_burst_limit: int | None = None
    quota_limit: int | None = None
    quota_period: Literal["DAY", "WEEK", "MONTH"] | None = None
    account_logging_role: str = ""
    error_mapping: Literal["faithful", "construct", ""] = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in _PROFILES.get(self.profile, {}).items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, dict):
                object.__setattr__(self, one.name, dict(value))
        check_api(self)

    @property
    def path_segments(self) -> tuple[str, ...]:
        """The route's segments, those of ``resource_name`` first."""
        return (*split_path(self.resource_name or ""), *split_path(self.resource_path))

    @property
    def parameters(self) -> dict[str, bool]:
        """Every declared parameter as API Gateway calls it, with whether it is required."""
        return declared_parameters(self.path_segments, self.request_parameters)

    @property
    def request_templates(self) -> dict[str, str]:
        """The request templates by content type."""
        return {"application/json": self.request_mapping_template, **self.additional_request_templates}

    @property
    def timeout_millis(self) -> int | None:
        """The integration's time-out in milliseconds; None for the gateway's own."""
        return None if self.timeout is None else round(self.timeout * 1000)

    def template(self, surroundings: Surroundings | None = None) -> dict[str, Any]:
        """Give the CloudFormation template: equal values give equal templates, and never anything secret.

        :param surroundings: what was found in the account; default: nothing.
        :raises RequestError: ``overrides`` name a resource that the template does not have.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-reference.html
        """
        from airflow_provider_aiml.endpoint_api.stack import build_template

        return build_template(self, surroundings or Surroundings())

    def check_templates(self) -> None:
        """Parse every mapping template, and render it with samples of the parameters and of both bodies.

        A parameter through which a caller can write JSON of his own is named in the log.

        :raises RequestError: one does not parse, or renders to something that is not JSON.
        """
        from airflow_provider_aiml.endpoint_api.trial import open_parameters, template_problems

        if problems := tuple(template_problems(self)):
            raise RequestError("The mapping templates cannot be deployed", problems=problems)
        if names := open_parameters(self):
            _log.warning(
                "The mapping template of the API %s puts values in unescaped: through %s a caller can write "
                "JSON of his own. json_template makes one that escapes them",
                self.name,
                ", ".join(names),
            )

    def render_request(
        self,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        context: Mapping[str, Any] | None = None,
    ) -> str:
        """Give the body that the model would get, without asking anybody.

        :param path: path parameters, decoded.
        :param query: query parameters, decoded.
        :param headers: the request's headers.
        :param body: text, or a value that is written as JSON.
        :param content_type: picks the template.
        :param context: laid over ``$context``'s sample values.
        :raises RequestError: a required parameter is absent, there is no template for the content type, or
            the template fails: the gateway would not have called the model.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/models-mappings.html
        """
        from airflow_provider_aiml.endpoint_api.rendering import Request, render_request

        request = Request(path or {}, query or {}, headers or {}, body, content_type, context or {})
        return render_request(self, request)

    def render_response(
        self, *, status: int = 200, body: Any = None, context: Mapping[str, Any] | None = None
    ) -> RenderedResponse:
        """Give the status and body that a caller would get for an answer of the model's endpoint.

        :param status: SageMaker's HTTP status.
        :param body: text, or a value that is written as JSON.
        :param context: laid over ``$context``'s sample values.
        :raises RequestError: the template fails.
        """
        from airflow_provider_aiml.endpoint_api.rendering import render_response

        return render_response(self, status, body, context or {})
