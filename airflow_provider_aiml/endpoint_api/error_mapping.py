"""From SageMaker's HTTP statuses to the caller's, each with a JSON body that says what is his business.

SageMaker's own messages name account, endpoint and log URLs; a caller gets none of these. Its throttle
arrives as HTTP 400 with a null message, another's with words and any status; so throttles are told apart in
the response template, which overrides the status: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-override-request-response-parameters.html
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
# reads SageMaker's words, which quote the request only where it is not valid; a model's own come as 424.
_THROTTLED = (
    "(?is)(?!.*validation error)(.*[^a-z])?"
    "(rate exceeded|too many requests|throttled|throttling(exception)?|slow ?down)([^a-z].*)?"
)
_INTERNAL = (
    "(?is).*([0-9]{12}|arn:aws|://|amazonaws|[.]internal|localhost|[0-9]{1,3}([.][0-9]{1,3}){3}"
    "|a[ks]ia[a-z0-9]{16}|traceback|file .{1,300}, line [0-9]|/(opt|usr|var|tmp|home|root|etc|mnt|srv)/).*"
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
    makes ``\\'`` of ``'``, which JSON does not know; the quote is put back. A failed model has run, so
    its 424 stays whatever it says; a 500 without a message may have, too.
    """
    said = ["OriginalMessage"] if status == "424" else []
    first, *others = [*said, "Message", "message"]
    lines = [f"#set( $message = \"$!input.path('$.{first}')\" )"]
    for name in others:
        set_other = f"#set( $message = \"$!input.path('$.{name}')\" )"
        lines.append(f'#if( $message == "" || $message == "null" ){set_other}#end')
    throttled = _FAITHFUL["429"][1]
    unsaid = throttled if status in ("400", "503") else sentence
    lines.append(f'#if( $message == "" || $message == "null" )#set( $message = "{unsaid}" )#end')
    lines.append(f'#set( $plain = "{sentence}" )')
    if status != "424":
        override = f'#set( $context.responseOverride.status = 429 )#set( $plain = "{throttled}" )'
        lines.append(f'#if( $message.matches("{_THROTTLED}") ){override}#end')
    lines.append(f'#if( $message.matches("{_INTERNAL}") )#set( $message = $plain )#end')
    lines.append("""{"message": "$util.escapeJavaScript($message).replaceAll("\\\\'", "'")"}""")
    return "\n".join(lines)
