"""A deployed stage, called as its callers call it."""

from __future__ import annotations

import pytest
from tests.unit.local_aws.execute_api.conftest import ACCOUNT


def test_a_call_reaches_the_model_and_its_answer_comes_back(rest_api):
    assert rest_api.deploy().call(body={"a": 1}) == (200, {"a": 1})
    assert rest_api.received() == [{"a": 1}]
    assert rest_api.headers["content-type"] == "application/json"


def test_an_api_is_found_by_its_path_too(rest_api):
    rest_api.deploy()
    path = f"/_aws/execute-api/{rest_api.id}/s/score"
    assert rest_api.send("POST", path, {}, b"{}", "127.0.0.1") == (200, {})


def test_what_was_changed_is_not_served_before_it_is_deployed(rest_api):
    rest_api.deploy()
    (resource,) = [
        one for one in rest_api.gateway.get_resources(restApiId=rest_api.id)["items"] if one["path"] != "/"
    ]
    where = {"restApiId": rest_api.id, "resourceId": resource["id"], "httpMethod": "POST"}
    rest_api.gateway.delete_method(**where)
    assert rest_api.call(body={})[0] == 200


@pytest.mark.parametrize(
    ("path", "method"), [("/nothing", "POST"), ("/score", "GET"), ("/score/more", "POST"), ("", "POST")]
)
def test_an_unknown_route_lacks_authentication_as_at_aws(rest_api, path, method):
    rest_api.deploy()
    assert rest_api.call(path, method=method) == (403, {"message": "Missing Authentication Token"})
    assert rest_api.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"


def test_an_unknown_stage_or_api_is_forbidden(rest_api):
    rest_api.deploy()
    assert rest_api.send("POST", "/other/score", {}, b"", rest_api.host) == (403, {"message": "Forbidden"})
    assert rest_api.send("POST", "/", {}, b"", rest_api.host) == (403, {"message": "Forbidden"})


def test_a_deployment_that_nobody_saw_serves_nothing(rest_api):
    rest_api.deploy()
    operations = [{"op": "replace", "path": "/deploymentId", "value": "unknown"}]
    rest_api.gateway.update_stage(restApiId=rest_api.id, stageName="s", patchOperations=operations)
    assert rest_api.call(body={})[0] == 403


@pytest.mark.parametrize(
    ("route", "path", "expected"),
    [
        ("{user}", "/a b", {"user": "a b"}),
        ("users/{user}/x", "/users/7/x", {"user": "7"}),
        ("files/{rest+}", "/files/a/b", {"rest": "a/b"}),
        ("", "", {}),
    ],
)
def test_variables_of_the_path_are_there_decoded(rest_api, route, path, expected):
    template = '{"path": {#foreach( $k in $input.params().path.keySet() )"$k": "$input.params($k)"#end}}'
    rest_api.integration = {"requestTemplates": {"application/json": template}}
    assert rest_api.deploy(route).call(path) == (200, {"path": expected})


def test_a_plain_segment_goes_before_a_variable(rest_api):
    rest_api.integration = {"requestTemplates": {"application/json": '"variable"'}}
    rest_api.deploy("{any}")
    root = next(
        one for one in rest_api.gateway.get_resources(restApiId=rest_api.id)["items"] if one["path"] == "/"
    )
    plain = rest_api.gateway.create_resource(restApiId=rest_api.id, parentId=root["id"], pathPart="plain")
    where = {"restApiId": rest_api.id, "resourceId": plain["id"], "httpMethod": "POST"}
    rest_api.gateway.put_method(**where, authorizationType="AWS_IAM")
    made = rest_api.gateway.create_deployment(restApiId=rest_api.id)
    operations = [{"op": "replace", "path": "/deploymentId", "value": made["id"]}]
    rest_api.gateway.update_stage(restApiId=rest_api.id, stageName="s", patchOperations=operations)

    assert rest_api.call("/other") == (200, "variable")
    assert rest_api.call("/plain") == (403, {"message": "Missing Authentication Token"})


def test_all_paths_of_a_stage_share_its_throttle(rest_api):
    operations = [
        {"op": "replace", "path": "/*/*/throttling/rateLimit", "value": "0.001"},
        {"op": "replace", "path": "/*/*/throttling/burstLimit", "value": "1"},
    ]
    rest_api.deploy("{any}")
    rest_api.gateway.update_stage(restApiId=rest_api.id, stageName="s", patchOperations=operations)
    assert rest_api.call("/one", body={})[0] == 200
    assert rest_api.call("/two", body={}) == (429, {"message": "Too Many Requests"})


def test_a_greedy_variable_takes_at_least_one_segment(rest_api):
    assert rest_api.deploy("files/{rest+}").call("/files")[0] == 403


def test_each_request_is_a_line_of_the_access_log(rest_api, client):
    logs = client("logs")
    logs.create_log_group(logGroupName="/access")
    arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/access"
    operations = [
        {"op": "replace", "path": "/accessLogSettings/destinationArn", "value": arn},
        {"op": "replace", "path": "/accessLogSettings/format", "value": "$context.status $context.a.b"},
    ]
    rest_api.deploy()
    rest_api.gateway.update_stage(restApiId=rest_api.id, stageName="s", patchOperations=operations)
    rest_api.call(body={})
    rest_api.call("/nothing")

    (stream,) = logs.describe_log_streams(logGroupName="/access")["logStreams"]
    events = logs.get_log_events(logGroupName="/access", logStreamName=stream["logStreamName"])["events"]
    assert [event["message"] for event in events] == ["200 -", "403 -"]
    logs.delete_log_group(logGroupName="/access")
    assert rest_api.call(body={})[0] == 200
