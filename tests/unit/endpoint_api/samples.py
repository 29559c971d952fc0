"""APIs and templates that many tests use."""

from __future__ import annotations

from typing import Any

from airflow_provider_aiml.endpoint_api import EndpointApi

# The template as aws-apigateway-sagemakerendpoint's own page at docs.aws.amazon.com had it, on one line.
ONE_LINE = (
    '{ "instances": [ #set( $user_id = $input.params("user_id") ) #set( $items = $input.params("items") ) '
    '#foreach( $item in $items.split(",") ) {"in0": [$user_id], "in1": [$item]}#if( $foreach.hasNext ),#end '
    "$esc.newline #end ] }"
)
# The same as the construct's integration tests have it, and an older README.md of it.
MANY_LINES = """{
    "instances": [
#set( $user_id = $input.params("user_id") )
#set( $items = $input.params("items") )
#foreach( $item in $items.split(",") )
    {"in0": [$user_id], "in1": [$item]}#if( $foreach.hasNext ),#end
    $esc.newline
#end
    ]
}"""
# The page and the README.adoc of 2026 have blanks behind the hashes, which make plain text of the directives,
# and the comma before the item, which makes no JSON even without the blanks: as text, and as Java's lines.
PAGE_OF_2026 = (
    '{ "instances": [ # set( $user_id = $input.params("user_id") ) # set( $items = $input.params("items") ) '
    '# foreach( $item in $items.split(",") ) # if( $foreach.hasNext ),#end {"in0": [$user_id], '
    '"in1": [$item]} $esc.newline # end ] }'
)
JAVA_OF_2026 = (
    '{"instances": [# set( $user_id = $input.params("user_id") )# set( $items = $input.params("items") )'
    '# foreach( $item in $items.split(",") )# if( $foreach.hasNext ),#end{"in0": [$user_id], "in1": [$item]}'
    "    $esc.newline# end]}"
)
# A README.md of the construct has them over many lines.
README_WITH_BLANKS = """
{
    "instances": [
        # set( $user_id = $input.params("user_id") )
        # set( $items = $input.params("items") )
        # foreach( $item in $items.split(",") )
        # if( $foreach.hasNext ),#end
        {"in0": [$user_id], "in1": [$item]}
            $esc.newline
        # end
    ]
}"""
RATINGS = """{
    "ratings": [
#set( $predictions = $input.path("$.predictions") )
#foreach( $item in $predictions )
    $item.scores[0]#if( $foreach.hasNext ),#end
    $esc.newline
#end
    ]
}"""
ROLE = "arn:aws:iam::111122223333:role/service/caller"


def api(**changes: Any) -> EndpointApi:
    """Give the construct's documented API, with changes."""
    fields: dict[str, Any] = {
        "name": "recommender",
        "endpoint_name": "my-endpoint",
        "resource_path": "{user_id}",
        "request_mapping_template": ONE_LINE,
    }
    return EndpointApi(**{**fields, **changes})


def only(template: dict[str, Any], kind: str) -> dict[str, Any]:
    """Give the only resource of a type."""
    (found,) = of_type(template, kind).values()
    return dict(found)


def of_type(template: dict[str, Any], kind: str) -> dict[str, Any]:
    """Give the resources of a type by logical id; ``kind`` is without ``AWS::``."""
    resources = template["Resources"]
    return {name: one for name, one in resources.items() if one["Type"] == f"AWS::{kind}"}
