"""Requests and answers through the mapping templates, without a gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow_provider_aiml.exceptions import RequestError
from tests.unit.endpoint_api.samples import MANY_LINES, ONE_LINE, api

INSTANCES = {
    "instances": [
        {"in0": [321], "in1": [101]},
        {"in0": [321], "in1": [131]},
        {"in0": [321], "in1": [162]},
    ]
}


def rendered(template: str, **request: Any) -> str:
    return api(request_mapping_template=template).render_request(**{"path": {"user_id": "321"}, **request})


@pytest.mark.parametrize("template", [ONE_LINE, MANY_LINES], ids=["one line", "many lines"])
def test_the_constructs_documented_call_gives_the_documented_body(template: str) -> None:
    assert json.loads(rendered(template, query={"items": "101,131,162"})) == INSTANCES


def test_a_line_of_the_template_may_end_as_windows_ends_it() -> None:
    template = MANY_LINES.replace("\n", "\r\n")
    assert json.loads(rendered(template, query={"items": "101,131,162"})) == INSTANCES


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$input.params('user_id')", "321"),
        ("$input.params().path.user_id", "321"),
        ('$input.params().get("querystring").get("q")', "a b"),
        ("$input.params('X-Trace')", "t1"),
        ("[$input.params('absent')]", "[]"),
        ("$input.path('$.rows[1].x')", "2"),
        ("$input.path('$.rows').size()", "2"),
        ("$input.json('$.rows[0]')", '{"x":1}'),
        ("$input.json('$.rows[*].x')", "[1,2]"),
        ("$input.json('$.absent')", "null"),
        ("$input.path('$.name').toUpperCase()", "IT'S"),
        ("$input.path('$.yes')", "true"),
        ("$util.escapeJavaScript($input.path('$.name'))", "it\\'s"),
        ("$util.urlEncode('a b/ü~*')", "a+b%2F%C3%BC%7E*"),
        ("$util.urlDecode('a+b%2F')", "a b/"),
        ("$util.base64Encode('hi')", "aGk="),
        ("$util.base64Decode('aGk=')", "hi"),
        ("$util.parseJson('{\"a\": [7]}').a[0]", "7"),
        ("[$util.escapeJavaScript($input.path('$.absent'))]", "[]"),
        ("$context.httpMethod $context.stage $context.identity.sourceIp", "GET prod 127.0.0.1"),
        ("$stageVariables.colour $stageVariables.get('colour')", "red red"),
        ("a${esc.newline}b", "a\nb"),
        ("#foreach( $k in $input.params().querystring.keySet() )$k#end", "q"),
        ("#foreach( $e in $input.path('$.rows[0]').entrySet() )$e.key=$e.value#end", "x=1"),
        ("#foreach( $v in $input.path('$.rows[0]') )$v#end", "1"),
        ("$input.path('$.rows[0]')", "{x=1}"),
        ("$input.path('$.rows')", '[{"x":1},{"x":2}]'),
        ("price: 5 #1", "price: 5 #1"),
    ],
)
def test_the_gateways_variables_are_there(template: str, expected: str) -> None:
    one = api(request_mapping_template=template, stage_variables={"colour": "red"})
    body = {"rows": [{"x": 1}, {"x": 2}], "name": "it's", "yes": True}
    given = one.render_request(
        path={"user_id": "321"}, query={"q": "a b"}, headers={"X-Trace": "t1"}, body=body
    )
    assert given == expected


def test_the_body_is_there_as_it_came() -> None:
    assert rendered("$input.body", body='{"a":  1}') == '{"a":  1}'


@pytest.mark.parametrize("body", [None, ""])
def test_a_body_that_is_empty_is_an_empty_object(body: Any) -> None:
    assert rendered("$input.body", body=body) == "{}"
    assert api(response_mapping_template="$input.body").render_response(body=body).body == "{}"


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        ("items", {"query": {"items": ""}}),
        ("header.X-Trace", {"headers": {"x-trace": ""}}),
        ("items", {"path": {"user_id": ""}, "query": {"items": "1"}}),
    ],
    ids=str,
)
def test_a_blank_value_of_a_required_parameter_is_as_good_as_none(declared: str, given: Any) -> None:
    one = api(request_parameters={declared: True})
    with pytest.raises(RequestError, match="blank"):
        one.render_request(**{"path": {"user_id": "321"}, **given})


def test_without_a_body_json_paths_find_nothing() -> None:
    assert rendered("[$input.path('$.a')]") == "[]"


def test_the_context_can_be_said() -> None:
    assert rendered("$context.identity.caller", context={"identity": {"caller": "me"}}) == "me"


def test_what_one_rendering_writes_into_the_context_is_not_in_the_next() -> None:
    template = "$context.requestOverride.header.x#set( $context.requestOverride.header.x = 'y' )"
    one = api(request_mapping_template=template)
    assert [one.render_request(path={"user_id": "1"}) for _ in range(2)] == ["", ""]


def test_the_content_type_picks_the_template() -> None:
    one = api(additional_request_templates={"text/csv": "[$input.body]"}, method="POST")
    given = one.render_request(path={"user_id": "1"}, body="1,2", content_type="Text/CSV; charset=utf-8")
    assert given == "[1,2]"


def test_a_content_type_without_a_template_is_refused_as_the_gateway_does() -> None:
    with pytest.raises(RequestError, match=r"415.*application/json"):
        api().render_request(path={"user_id": "1"}, content_type="text/csv")


def test_every_required_parameter_that_is_absent_is_named() -> None:
    one = api(request_parameters={"items": True, "top": False, "header.X-Key": True})
    with pytest.raises(RequestError) as raised:
        one.render_request()
    assert [problem.field for problem in raised.value.problems] == [
        "path['user_id']",
        "query['items']",
        "headers['X-Key']",
    ]


@pytest.mark.parametrize("sent", ["X-Key", "x-key", "X-KEY"])
@pytest.mark.parametrize("declared", ["X-Key", "x-key"])
def test_a_header_is_found_whatever_its_case(declared: str, sent: str) -> None:
    template = f'["$input.params("{declared}")"]'
    one = api(request_parameters={f"header.{declared}": True}, request_mapping_template=template)
    assert one.render_request(path={"user_id": "1"}, headers={sent: "a"}) == '["a"]'


def test_a_query_parameter_is_found_by_its_own_case_alone() -> None:
    assert rendered('["$input.params("top")"]', query={"Top": "1"}) == '[""]'


def test_a_body_that_is_not_json_fails_where_the_template_reads_it_as_json() -> None:
    with pytest.raises(RequestError, match="JSONDecodeError") as raised:
        rendered("$input.json('$')", body="secret words")
    assert "secret" not in str(raised.value)
    assert [problem.field for problem in raised.value.problems] == ["request_mapping_template"]


def test_a_failing_template_for_another_type_is_named_by_its_argument() -> None:
    one = api(additional_request_templates={"text/csv": "$input.path('$..x')"})
    with pytest.raises(RequestError, match=r"additional_request_templates\['text/csv'\].*UnknownPathError"):
        one.render_request(path={"user_id": "1"}, content_type="text/csv", body="{}")


def test_a_failing_response_template_is_named() -> None:
    one = api(response_mapping_template="$input.path('$.a').get(5)")
    with pytest.raises(RequestError, match="response_mapping_template"):
        one.render_response(body={"a": []})


def test_a_response_template_may_override_the_status() -> None:
    one = api(response_mapping_template="#set( $context.responseOverride.status = 202 ){}")
    assert one.render_response().status == 202


@pytest.mark.parametrize("template", ["#if( $a", "#foreach( $a in )x#end", "#if( true )x", "$input.params("])
def test_a_template_that_does_not_parse_says_where(template: str) -> None:
    with pytest.raises(RequestError, match=r"does not parse: line 1, column"):
        rendered(template)


def test_a_template_that_is_nested_too_deeply_is_refused() -> None:
    deep = "#if( true )" * 400 + "#end" * 400
    with pytest.raises(RequestError, match="nested too deeply"):
        rendered(deep)


def test_python_methods_are_not_there_for_they_are_not_there_at_the_gateway() -> None:
    assert rendered("[$input.params('user_id').upper()]") == "[]"
    assert rendered("[$input.params('user_id').encode()]") == "[]"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('#{if}( $input.params("user_id") == "1" )"a"#{else}"b"#{end}', '"b"'),
        ("#{set}( $n = 1 )#{foreach}( $i in [1..3] )$i#{end}$n", "1231"),
        ('#set( $x = "a" )#set( $y = $x + "b" + 1 )$y', "ab1"),
        ('#set( $x = ("row" + 1) )$x', "row1"),
        ('#if( $input.params("user_id") + 1 == "3211" )yes#end', "yes"),
        ('#set( $x = 1 + 2 )$x#set( $y = true + "" )$y', "3true"),
        ("#breakfast #[a] #f00", "#breakfast #[a] #f00"),
    ],
)
def test_velocity_is_taken_as_the_gateway_takes_it(template: str, expected: str) -> None:
    assert rendered(template) == expected


def test_a_loop_over_more_than_the_gateway_takes_is_refused() -> None:
    many = {"items": [1] * 1000, "more": {str(number): 1 for number in range(1001)}}
    loop = "#foreach( $i in $input.path('$.%s') )$i#end"
    assert rendered(loop % "items", body=many) == "1" * 1000
    for items in ("$input.path('$.more')", "[0..1000]"):
        with pytest.raises(RequestError, match="over 1,001 items"):
            rendered(f"#foreach( $i in {items} )$i#end", body=many)
