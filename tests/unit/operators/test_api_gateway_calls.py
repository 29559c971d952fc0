"""Calling the front door, on the local AWS's execute-api, and how it is described."""

from __future__ import annotations

import json

import pytest
from airflow.exceptions import AirflowFailException
from airflow.sdk import DAG
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    BusyError,
    ModelFailedError,
    RequestError,
    ServiceRefusedError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.operators.api_gateway import (
    ApiGatewaySageMakerDeployOperator,
    ApiGatewaySageMakerInvokeOperator,
)
from tests.unit.endpoint_api.samples import MANY_LINES, ONE_LINE, api
from tests.unit.operators.front_door import (
    INSTANCES,
    QUICK,
    SAFE,
    bodies,
    call,
    deploy,
    deployer,
)


def test_the_constructs_documented_call_works_end_to_end(model):
    template = '{"served": $input.json("$.instances")}'
    result = deploy(response_mapping_template=template, profile="construct", resource_name="ratings")

    answer = call(result["url"], path="ratings/321")
    assert bodies(model) == [{"instances": INSTANCES}]
    assert answer == {
        "body": {"served": INSTANCES},
        "content_type": "application/json",
        "status_code": 200,
    }


@pytest.mark.parametrize("template", [ONE_LINE, MANY_LINES, SAFE], ids=["one line", "many lines", "built"])
def test_each_form_of_the_template_gives_the_same_body(model, template):
    call(deploy(request_mapping_template=template)["url"])

    assert bodies(model) == [{"instances": INSTANCES}]


def test_an_endpoint_with_capitals_in_its_name_can_be_called(aws):
    aws.add_endpoint("My-Endpoint", "echo")

    call(deploy(endpoint_name="My-Endpoint")["url"])
    (received,) = aws.invocations("My-Endpoint")
    assert json.loads(received.body) == {"instances": INSTANCES}


def test_a_missing_parameter_is_400_and_the_model_is_not_called(model):
    url = deploy()["url"]

    with pytest.raises(ServiceRefusedError, match=r"400 \(Missing required request parameters: \[items\]\)"):
        call(url, query={})
    assert bodies(model) == []


def test_an_unsigned_call_is_refused(model):
    url = deploy()["url"]

    with pytest.raises(AccessDeniedError) as raised:
        call(url, authorization="NONE")
    assert isinstance(raised.value, AirflowFailException)
    assert bodies(model) == []


def test_a_throttled_model_is_429_whichever_status_the_throttle_came_with(model):
    url = deploy()["url"]
    throttle, said = {"code": "ThrottlingException"}, {"message": "Rate exceeded"}
    faults = [throttle, {"code": "ModelNotReadyException"}, throttle | said]
    faults += [throttle | {"status": 429}, throttle | {"status": 503}]
    faults += [throttle | said | {"status": status} for status in (403, 408, 413, 429, 500, 503, 504, 530)]

    for fault in faults:
        model.add_fault("sagemaker:InvokeEndpoint", count=QUICK["attempts"], **fault)
        with pytest.raises(BusyError) as raised:
            call(url)
        assert raised.value.retryable
        assert raised.value.code == "429", fault


def test_a_throttled_call_is_sent_again(model):
    url = deploy()["url"]
    model.add_fault("sagemaker:InvokeEndpoint", code="ThrottlingException")

    assert call(url)["status_code"] == 200


def test_a_failing_model_is_quoted(model):
    url = deploy()["url"]
    model.add_fault("sagemaker:InvokeEndpoint", "model_error", message="row 1 is bad")

    with pytest.raises(ModelFailedError, match="The model said: row 1 is bad"):
        call(url)


def test_a_value_that_tries_to_break_out_of_the_json_does_not(model):
    url = deploy(request_mapping_template=SAFE)["url"]
    evil = '1]}], "admin": true, "x": [{"y": ["'

    call(url, path=[evil], query={"items": "1,'2\\'"})
    (body,) = bodies(model)
    assert body == {"instances": [{"in0": [evil], "in1": [1]}, {"in0": [evil], "in1": ["'2\\'"]}]}


def test_a_call_with_an_api_key_from_a_connection(model, client, monkeypatch):
    made = deploy(api_key_required=True, authorization="NONE")
    value = client("apigateway").get_api_key(apiKey=made["api_key_id"], includeValue=True)["value"]
    monkeypatch.setenv("AIRFLOW_CONN_FRONT_KEY", json.dumps({"conn_type": "generic", "password": value}))
    monkeypatch.setenv("AIRFLOW_CONN_NO_KEY", json.dumps({"conn_type": "generic"}))
    plain = {"authorization": "NONE"}

    assert call(made["url"], api_key_conn_id="front_key", **plain)["status_code"] == 200
    with pytest.raises(AccessDeniedError):
        call(made["url"], **plain)
    with pytest.raises(RequestError, match="password"):
        call(made["url"], api_key_conn_id="no_key", **plain)


def test_a_post_sends_its_payload_and_keeps_the_answer(model, client):
    client("s3").create_bucket(Bucket="answers")
    template = "$input.json('$')"
    url = deploy(
        method="POST", resource_path="score", request_parameters={}, request_mapping_template=template
    )
    given = {"path": "score", "query": None, "payload": {"instances": [[1.5]]}}

    kept = call(url["url"], output_uri="s3://answers/a.json", **given)
    assert kept == {
        "content_type": "application/json",
        "status_code": 200,
        "output_uri": "s3://answers/a.json",
    }
    assert call(url["url"], output_uri="s3://answers/a.json", **given) == kept
    assert bodies(model) == [{"instances": [[1.5]]}]


def test_an_answer_that_broke_off_is_not_kept_as_the_paid_one(model, client):
    s3 = client("s3")
    s3.create_bucket(Bucket="answers")
    url = deploy()["url"]
    model.add_fault("execute-api:GET", "truncate", keep_bytes=9)

    with pytest.raises(UnknownOutcomeError, match="broke off"):
        call(url, output_uri="s3://answers/a.json")
    kept = s3.list_objects_v2(Bucket="answers").get("Contents", [])
    assert "a.json" not in [one["Key"] for one in kept]
    assert call(url, output_uri="s3://answers/a.json", result_expression="body") == {"instances": INSTANCES}


def test_a_body_is_checked_by_its_model_whatever_its_properties_are_called(model):
    schema = {"type": "object", "required": ["Ref"], "properties": {"Ref": {"enum": ["RestApi", None]}}}
    changes = {"method": "POST", "resource_path": "score", "request_parameters": {}, "request_model": schema}
    url = deploy(**changes, request_mapping_template="$input.json('$')")["url"]
    given = {"path": "score", "query": None}

    assert call(url, payload={"Ref": None}, **given)["status_code"] == 200
    with pytest.raises(ServiceRefusedError, match="400"):
        call(url, payload={"Ref": 1}, **given)
    assert bodies(model) == [{"Ref": None}]


def test_the_result_goes_through_an_expression_or_stays_undecoded(model):
    url = deploy()["url"]
    assert call(url, result_expression="body.instances[0].in1") == [101]
    assert call(url, decode=False)["body_encoding"] == "base64"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "nowhere"}, "url"),
        ({"method": "PATCH"}, "method"),
        ({"authorization": "COGNITO"}, "authorization"),
    ],
)
def test_a_call_that_cannot_be_made_is_refused(aws, given, field):
    with pytest.raises(RequestError, match=field):
        call(**{"url": "https://abc.execute-api.us-east-1.amazonaws.com/prod", **given})


def test_two_sources_of_a_payload_are_refused_when_the_dag_is_parsed():
    with pytest.raises(RequestError):
        ApiGatewaySageMakerInvokeOperator(task_id="t", url="https://x/y", payload={}, payload_uri="s3://b/k")


PROPERTIES = {
    "name": "recommender",
    "endpoint_name": "my-endpoint",
    "resource_path": "{user_id}",
    "request_mapping_template": ONE_LINE,
}


@pytest.mark.parametrize(
    "given",
    [
        {"api": api()},
        {"api": PROPERTIES},
        PROPERTIES,
        {"api": api(name="other"), "name": "recommender"},
    ],
    ids=["value", "mapping", "arguments", "both"],
)
def test_the_api_is_given_whole_as_a_mapping_or_property_by_property(given):
    task = ApiGatewaySageMakerDeployOperator(task_id="t", stack_name="s", **given)
    assert task.api == api()


def test_properties_given_one_by_one_can_be_mapped_and_stand_in_default_args():
    without = {name: value for name, value in PROPERTIES.items() if name != "endpoint_name"}
    with DAG("d", schedule=None, default_args={"tags": {"team": "a"}}):
        mapped = ApiGatewaySageMakerDeployOperator.partial(task_id="t", stack_name="s", **without).expand(
            endpoint_name=["one", "two"]
        )
    assert mapped.unmap({"endpoint_name": "two"}).api == api(endpoint_name="two", tags={"team": "a"})
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        ApiGatewaySageMakerDeployOperator.partial(task_id="t", stack_name="s", colour="red")


@pytest.mark.parametrize("whole", [api(endpoint_name="mine"), {**PROPERTIES, "endpoint_name": "mine"}])
def test_default_args_do_not_change_an_api_that_is_given_whole(whole):
    with DAG("d", schedule=None, default_args={"endpoint_name": "another"}):
        task = ApiGatewaySageMakerDeployOperator(task_id="t", stack_name="s", api=whole)
        changed = ApiGatewaySageMakerDeployOperator(task_id="u", stack_name="s", api=whole, name="new")
    assert (task.api.endpoint_name, changed.api) == ("mine", api(endpoint_name="mine", name="new"))


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({**PROPERTIES, "colour": "red"}, r"api\['colour'\]"),
        ({"name": "x"}, "endpoint_name"),
        ({**PROPERTIES, "timeout": 9999}, "timeout"),
    ],
)
def test_what_cannot_be_deployed_is_refused_when_the_dag_is_parsed(properties, field):
    with pytest.raises(RequestError, match=field):
        ApiGatewaySageMakerDeployOperator(task_id="t", stack_name="s", api=properties)


@pytest.mark.parametrize(
    "late",
    [{"endpoint_name": "{{ params.e }}"}, {"tags": {"a": "{{ ds }}"}}, {"binary_media_types": ["{{ x }}"]}],
)
def test_what_jinja_renders_is_judged_when_it_is_rendered(late):
    ApiGatewaySageMakerDeployOperator(task_id="t", stack_name="s", api={**PROPERTIES, **late})


def with_example(expected):
    request = {"path": {"user_id": "1"}, "query": {"items": "2"}}
    changes = {"request_mapping_template": '{"n": [$input.params("user_id"), 0]}'}
    return deployer({"examples": [(request, expected)], "check_endpoint": False}, **changes)


@pytest.mark.parametrize("expected", [{"n": [1, 0]}, {"n": [1.0, 0]}, '{"n": [1, 0.0]}'])
def test_a_number_in_an_example_may_be_written_in_either_way(aws, expected):
    with_example(expected).check_before()


@pytest.mark.parametrize("expected", [{"n": [True, 0]}, {"n": [1, False]}, {"n": {1, 0}}])
def test_true_and_false_in_an_example_are_no_numbers(aws, expected):
    with pytest.raises(RequestError, match=r"examples\[0\]"):
        with_example(expected).check_before()


def test_velocity_is_not_rendered_by_jinja():
    velocity = '{#set( $a = "{{ x }}" )"a": "$a"}'
    with DAG("d", schedule=None):
        task = ApiGatewaySageMakerDeployOperator(
            task_id="t",
            stack_name="{{ 'front' }}",
            api={**PROPERTIES, "endpoint_name": "{{ 'mine' }}", "request_mapping_template": velocity},
        )
    task.render_template_fields({})
    assert (task.stack_name, task.api.endpoint_name) == ("front", "mine")
    assert task.api.request_mapping_template == velocity


def test_velocity_of_the_overrides_is_not_rendered_by_jinja_and_the_rest_of_them_is():
    velocity = {"application/json": '{#set( $a = "{{ x }}" )"a": "$a"}'}
    responses = [{"StatusCode": "{{ 200 }}", "ResponseTemplates": velocity}]
    integration = {"RequestTemplates": velocity, "IntegrationResponses": responses}
    overrides = {
        "Method": {"Integration": integration, "OperationName": "{{ 'score' }}"},
        "Stage": {"Description": None},
    }
    with DAG("d", schedule=None):
        task = ApiGatewaySageMakerDeployOperator(
            task_id="t", stack_name="front", api={**PROPERTIES, "overrides": overrides}
        )
    task.render_template_fields({})
    assert task.api.overrides == {
        "Method": {
            "Integration": {
                "RequestTemplates": velocity,
                "IntegrationResponses": [{"StatusCode": "200", "ResponseTemplates": velocity}],
            },
            "OperationName": "score",
        },
        "Stage": {"Description": None},
    }
    assert overrides["Method"]["Integration"] is integration
