"""From SageMaker's HTTP statuses to the caller's, each with a JSON body that says what is his business.

SageMaker's own messages name account, endpoint and log URLs; a caller gets none of these. Its throttle
arrives as HTTP 400 with a null message, another's in AWS's own words and any status; so throttles are told
apart in the response template, which overrides the status: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-override-request-response-parameters.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_aiml.endpoint_api.api import EndpointApi

__all__ = ["integration_responses"]

# The patterns must not overlap: API Gateway takes any that fits. 403 is our role's fault, not the caller's.
_FAITHFUL = {
    "400": (r"4(?!03|13|24|29)\d{2}", "The model's endpoint refused the request"),
    "413": ("413", "The request is too large for the model's endpoint"),
    "424": ("424", "The model failed on the request"),
    "429": ("429", "Too many requests, or the model is not ready; try again later"),
    "500": (r"403|5(?!03|04)\d{2}", "The model's endpoint failed"),
    "503": ("503", "The model's endpoint is not available; try again later"),
    "504": ("504", "The model's endpoint did not answer in time"),
}
_CONSTRUCT = {"500": r"5\d{2}", "400": r"4\d{2}"}
# Patterns without a dollar, a backslash or a double quote, for they stand in Velocity's texts. The first one
# has AWS's own words whole, for who calls the API sends what was throttled again; a model's own come as 424.
_THROTTLED = (
    "(?is)((request )?rate exceeded( for .*)?|too many requests(, please wait before trying again)?"
    "|the request was denied due to request throttling|throttling(exception)?(: .*)?|request throttled"
    "|(slow ?down: )?please reduce your request rate(: slow ?down)?|slow ?down)[.]?"
)
# Asked for what a body is not: where $input.body gives nothing, neither pattern fits, and the body is read as
# the JSON object with a null message that a throttle is.
_NO_OBJECT = "(?s)([^{].*|.*[^}])?"
_NO_NULL_MESSAGE = "(?is)(?![{].*message. *: *null).*"
_INTERNAL = (
    "(?is).*([0-9]{12}|arn:aws|://|amazonaws|[.]internal|localhost|[0-9]{1,3}([.][0-9]{1,3}){3}"
    "|a[ks]ia[a-z0-9]{16}|traceback|file .{1,300}, line [0-9]"
    "|[.](java|kt|scala):[0-9]+[)]|[(]native method[)]|/(opt|usr|var|tmp|home|root|etc|mnt|srv)/).*"
)


def integration_responses(api: EndpointApi) -> list[dict[str, Any]]:
    """Give the integration's responses; the first one is the default, for success."""
    success: dict[str, Any] = {"StatusCode": "200"}
    if api.response_mapping_template is not None:
        success["ResponseTemplates"] = {"application/json": api.response_mapping_template}
    if api.error_mapping == "construct":
        errors = [
            {"SelectionPattern": pattern, "StatusCode": status} for status, pattern in _CONSTRUCT.items()
        ]
        return [success, *errors]
    return [success, *(_faithful(status, *rule) for status, rule in _FAITHFUL.items())]


def _faithful(status: str, pattern: str, sentence: str) -> dict[str, Any]:
    template = _error_template(status, sentence)
    return {
        "StatusCode": status,
        "SelectionPattern": pattern,
        "ResponseTemplates": {"application/json": template},
    }


def _error_template(status: str, sentence: str) -> str:
    """Write the response template of one status.

    A reference in a string gives "" for null, whichever way ``#set`` and ``#if`` take one. escapeJavaScript
    makes ``\\'`` of ``'``, which JSON does not know; the quote is put back. A body that is no JSON object has
    no message: to look for one in it would fail. A failed model has run, so its 424 stays whatever it says; a
    500 without a message may have, too.
    """
    throttled = _FAITHFUL["429"][1]
    override = "#set( $context.responseOverride.status = 429 )#set( $plain = $throttled )"
    lines = [
        '#set( $message = "" )#set( $body = $input.body.trim() )',
        f'#if( !$body.matches("{_NO_OBJECT}") )',
        *_found_message(["OriginalMessage"] if status == "424" else []),
        "#end",
        f'#set( $plain = "{sentence}" )#set( $throttled = "{throttled}" )',
    ]
    if status != "424":
        lines.append(f'#if( $message.matches("{_THROTTLED}") ){override}#end')
    # SageMaker's throttle, also where something on the way gave it the status of an overload. A 404 or 405 is
    # 400 to the caller, too, but has no such message; with a 500 the model may have run.
    null = f'#if( !$body.matches("{_NO_NULL_MESSAGE}") ){override}#end' if status in ("400", "503") else ""
    lines.append(f'#if( $message == "" || $message == "null" ){null}#set( $message = $plain )#end')
    lines.append(f'#if( $message.matches("{_INTERNAL}") )#set( $message = $plain )#end')
    lines.append("""{"message": "$util.escapeJavaScript($message).replaceAll("\\\\'", "'")"}""")
    return "\n".join(lines)


def _found_message(before: list[str]) -> list[str]:
    """Look for a message under one name after the other, until there is one."""
    return [
        f'#if( $message == "" || $message == "null" )#set( $message = "$!input.path(\'$.{name}\')" )#end'
        for name in (*before, "Message", "message")
    ]
