"""Mapping templates are tried before anything is deployed."""

from __future__ import annotations

from typing import Any

import pytest
from airflow_provider_aiml.endpoint_api import (
    boolean,
    each,
    item_number,
    item_text,
    json_body,
    json_template,
    number,
    text,
)
from airflow_provider_aiml.exceptions import Problem, RequestError
from tests.unit.endpoint_api.samples import (
    JAVA_OF_2026,
    MANY_LINES,
    ONE_LINE,
    PAGE_OF_2026,
    RATINGS,
    README_WITH_BLANKS,
    api,
)

AS_PUBLISHED = {"page": PAGE_OF_2026, "java": JAVA_OF_2026, "readme": README_WITH_BLANKS}


def problems(**changes: Any) -> list[Problem]:
    with pytest.raises(RequestError) as raised:
        api(**changes).check_templates()
    return list(raised.value.problems)


@pytest.mark.parametrize(
    "changes",
    [
        {"request_mapping_template": ONE_LINE},
        {"request_mapping_template": MANY_LINES, "response_mapping_template": RATINGS},
        {"profile": "construct"},
        {"request_mapping_template": '{"a": $input.json("$.absent.x")}', "method": "POST"},
        {"additional_request_templates": {"text/csv": "[$input.body]"}},
        {"request_mapping_template": "$input.params('user_id'),2", "content_type": "text/csv"},
        {"request_mapping_template": "{}", "request_parameters": {"header.X-A": True, "b": False}},
    ],
    ids=lambda changes: str(sorted(changes)),
)
def test_good_templates_pass(changes: dict[str, Any]) -> None:
    api(**changes).check_templates()


@pytest.mark.parametrize(
    "template",
    [
        "$input.body",
        "$input.json('$')",
        '{"instances": $input.json("$.rows[?(@.x > 1)]")}',
        '{"a": $input.path("$").a.b.get(0)[1], "b": $input.path("$.t").substring(3, 9)}',
        '#set( $root = $input.path("$") ){"n": $root.rows.size(), "t": "$root.t.replaceAll("x", "y")"}',
        '{"a": "$util.base64Decode($input.path("$.a"))"}',
        '{"a": $util.parseJson($input.body).a}',
        '[#foreach( $r in $input.path("$.rows") ){"x": $r.x}#if( $foreach.hasNext ),#end#end]',
        '#set( $r = $input.path("$.r") )[#foreach( $x in $r )$x#if( $velocityCount < $r.size() ),#end#end]',
        '#set( $r = $input.path("$.r") )[#foreach( $x in $r )$x#if( $velocityCount != $r.size() ),#end#end]',
        '#set( $last = $input.path("$.r").size() - 1 )'
        '[#foreach( $i in [0..$last] )$input.path("$.r").get($i)#if( $i < $last ),#end#end]',
        '{#foreach( $k in $input.path("$").keySet() )"$k": "x"#if( $foreach.hasNext ),#end#end}',
        '{#foreach( $e in $input.path("$").entrySet() )"$e.key": $e.value#if( $foreach.hasNext ),#end#end}',
        '#if( $input.path("$.kind") == "a" ){"x": 1}#elseif( $input.path("$.kind") == "b" ){"y": 1}#end',
        '#if( $input.path("$.kind").equals("a") ){"x": 1}#end',
        '{"a": 1#if( $input.path("$.b") && $input.path("$.b") != "" ), "b": $input.json("$.b")#end}',
        '{"a": 1#if( !$input.path("$.b") ), "b": 2#end}',
    ],
)
def test_a_template_that_reads_the_body_passes_if_some_body_gives_json(template: str) -> None:
    api(method="POST", request_mapping_template=template).check_templates()


@pytest.mark.parametrize(
    "template",
    [
        '{"instances": $input.json("$.x")',
        '{"a": [$input.json("$"),]}',
        '{"x": $input.path("$.a"), "y" $input.params("user_id")}',
        '[#foreach( $r in $input.path("$.rows") ){"x": $r.x},#end]',
        '[#foreach( $r in $input.path("$.rows") )#if( $foreach.hasNext ),#end{"x": $r.x}#end]',
        '#if( $input.path("$.kind") == "a" ){"x": 1#else{"y": 1#end',
    ],
)
def test_a_template_that_reads_the_body_and_gives_no_json_for_any_is_named(template: str) -> None:
    (problem,) = problems(method="POST", request_mapping_template=template)
    assert problem.found == "a template that gives no JSON for all parameters, whatever the body"


def test_a_template_that_reads_the_body_is_tried_without_its_optional_parameters_too() -> None:
    (problem,) = problems(
        method="POST",
        request_mapping_template='{"x": $input.json("$"), "top": $input.params("top")}',
        request_parameters={"top": False},
    )
    assert problem.found.endswith("for the required parameters alone, whatever the body")
    assert "request_parameters" in problem.allowed


def test_one_that_does_not_parse_is_named() -> None:
    (problem,) = problems(request_mapping_template="#if( $a")
    assert problem.field == "request_mapping_template"
    assert "does not parse" in problem.found


def test_every_faulty_template_is_named() -> None:
    named = problems(
        request_mapping_template="#if( $a",
        response_mapping_template="#foreach(",
        additional_request_templates={"text/csv": "#end"},
    )
    assert [problem.field for problem in named] == [
        "request_mapping_template",
        "additional_request_templates['text/csv']",
        "response_mapping_template",
    ]


def test_one_that_gives_no_json_is_named() -> None:
    (problem,) = problems(request_mapping_template='{"a": [$input.params("user_id"),]}')
    assert problem.found == "a template that gives no JSON for all parameters"


def test_one_that_needs_a_parameter_which_is_not_declared_is_named() -> None:
    (problem,) = problems(request_mapping_template='{"a": $input.params("items")}')
    assert "request_parameters" in problem.allowed


def test_one_that_needs_an_optional_parameter_is_named() -> None:
    (problem,) = problems(
        request_mapping_template='{"a": $input.params("items")}', request_parameters={"items": False}
    )
    assert problem.found == "a template that gives no JSON for the required parameters alone"


def test_one_that_fails_is_named() -> None:
    (problem,) = problems(request_mapping_template='{"a": $input.params("user_id").substring("x")}')
    assert "fails at" in problem.found


def test_a_directive_with_a_blank_behind_its_hash_is_named_where_the_template_is_wrong() -> None:
    _, problem = problems(request_mapping_template='{ # set( $a = 1 ) "a": $input.json("$") }')
    assert problem.allowed == "no blank behind the hash: #set"


@pytest.mark.parametrize(
    "template",
    [
        '## set the user first\n{"instances": [$input.params("user_id")]}',
        '## if( there are none ), none\n{"instances": [$input.params("user_id")]}',
        '{"prompt": "# set of items", "rest": "a #"\n }',
        '{"prompt": "say # if( it is so )"}',
    ],
)
def test_a_text_that_looks_like_a_directive_is_no_fault_of_a_good_template(template: str) -> None:
    api(request_mapping_template=template, response_mapping_template=template).check_templates()


@pytest.mark.parametrize("template", AS_PUBLISHED.values(), ids=AS_PUBLISHED)
def test_the_template_of_page_and_readme_is_refused_for_its_blanks_with_what_to_mend(template: str) -> None:
    fault, spaced = problems(request_mapping_template=template, request_parameters={"items": True})
    assert "does not parse" in fault.found
    assert spaced.found == "'# set', which is plain text"
    assert spaced.allowed == (
        "no blank behind the hash: #set; and #if( $foreach.hasNext ),#end behind the item, not before it"
    )


@pytest.mark.parametrize("template", AS_PUBLISHED.values(), ids=AS_PUBLISHED)
def test_the_template_of_page_and_readme_is_refused_without_its_blanks_too_for_its_commas(
    template: str,
) -> None:
    without_blanks = {
        "request_mapping_template": template.replace("# ", "#"),
        "request_parameters": {"items": True},
    }
    (problem,) = problems(**without_blanks)
    assert problem.found == "a template that gives no JSON for all parameters"
    rendered = api(**without_blanks).render_request(path={"user_id": "321"}, query={"items": "1,2"})
    assert "".join(rendered.split()) == '{"instances":[,{"in0":[321],"in1":[1]}{"in0":[321],"in1":[2]}]}'


def test_the_template_of_the_page_of_2026_is_good_when_both_are_mended() -> None:
    comma = "#if( $foreach.hasNext ),#end"
    mended = PAGE_OF_2026.replace("# ", "#").replace(f"{comma} ", "").replace("$esc", f"{comma} $esc")
    assert mended == ONE_LINE.replace("}#if", "} #if")
    api(request_mapping_template=mended, request_parameters={"items": True}).check_templates()


@pytest.mark.parametrize(
    "template",
    ['{"ratings": $input.json("$.predictions")', "hello", '[#foreach( $r in $input.path("$") )$r,#end]'],
)
def test_a_response_template_that_gives_no_json_for_any_answer_is_named(template: str) -> None:
    (problem,) = problems(response_mapping_template=template)
    assert problem.field == "response_mapping_template"
    assert problem.found == "a template that gives no JSON, whatever the model answers"


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ('{"x": "$util.nope($input.path("$.a"))"}', "$util.nope"),
        ('{"x": ${input.nope}}', "$input.nope"),
        ('#if( $util.nope($input.path("$.a")) ){}#else{"x": 1}#end', "$util.nope"),
        ('#set( $x = (1 + $util.nope("a")) ){"x": "$x"}', "$util.nope"),
        ('#set( $x = {"k": $util.nope(1)} ){"x": 1}', "$util.nope"),
        ('#macro( q $v )"$v"#end{"x": #q( "a" )}', "#macro"),
        ("[1#foreach( $i in [1..3] )#break#end]", "#break"),
        ('{"x": "#[[ $raw ]]#"}', "#[["),
    ],
)
def test_what_cannot_be_rendered_as_the_gateway_does_is_named(template: str, named: str) -> None:
    for field in ("request_mapping_template", "response_mapping_template"):
        (problem,) = problems(**{field: template})
        assert (problem.field, problem.found) == (field, f"a template with {named}, which is not known here")


def test_a_response_template_may_pick_its_branch_by_the_answer() -> None:
    template = '#if( $input.path("$.kind") == "a" ){"x": $input.json("$.x")}#end'
    api(response_mapping_template=template).check_templates()


@pytest.mark.parametrize(
    "template",
    [
        '{"year": $input.params("user_id").substring(0, 4), "day": $input.params("user_id").substring(8)}',
        '{"first": $input.params("user_id").charAt(5)}',
        '{"year": $input.params("user_id").split("-")[0], "day": $input.params("user_id").split("-")[2]}',
        '[#foreach( $i in $input.params("user_id").split(",") )$i#if( $foreach.hasNext ),#end#end]',
    ],
)
def test_a_parameter_that_is_split_is_tried_with_several_parts(template: str) -> None:
    api(request_mapping_template=template).check_templates()


@pytest.mark.parametrize(
    ("template", "named"),
    [
        (ONE_LINE, ["user_id", "items"]),
        (
            '{"name": "$input.params("user_id")", "n": "$util.escapeJavaScript($input.params("items"))"}',
            ["user_id"],
        ),
        ('{"name": $input.params("user_id")}', ["user_id"]),
        ('{"names": ["$input.params("items")"], "body": $input.json("$")}', ["items"]),
    ],
)
def test_a_parameter_through_which_a_caller_can_write_json_is_named_in_the_log_once(
    template: str, named: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    api(
        method="POST", request_mapping_template=template, request_parameters={"items": True, "top": False}
    ).check_templates()

    (record,) = [one for one in caplog.records if one.name.endswith("endpoint_api.api")]
    assert record.levelname == "WARNING"
    assert f"through {', '.join(named)} a caller" in record.getMessage()


@pytest.mark.parametrize(
    "shape",
    [
        {"instances": each("items", {"in0": [number("user_id")], "in1": [item_number()]})},
        {"a": text("user_id"), "b": [text("items")], "c": boolean("items"), "d": each("items", item_text())},
        {"body": json_body(), "n": [[number("user_id"), number("items")]]},
    ],
    ids=["items", "texts", "body"],
)
def test_a_built_template_has_no_such_parameter(shape: Any, caplog: pytest.LogCaptureFixture) -> None:
    template = json_template(shape)
    api(
        method="POST", request_mapping_template=template, request_parameters={"items": True}
    ).check_templates()

    assert caplog.records == []


def test_a_model_that_takes_no_json_is_not_told_of_it(caplog: pytest.LogCaptureFixture) -> None:
    api(request_mapping_template='$input.params("user_id"),2', content_type="text/csv").check_templates()

    assert caplog.records == []
