"""What goes to the model and what comes back: templates, headers, roles, failures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow_provider_aiml.local_aws.execute_api.integration import role_may_invoke
from airflow_provider_aiml.local_aws.execute_api.mapping import run_template
from airflow_provider_aiml.local_aws.moto_clients import MotoClients
from airflow_provider_aiml.local_aws.wsgi_bridge import Moto
from tests.unit.local_aws.execute_api.conftest import ACCOUNT, INVOKE, TRUST, URI

ESCAPED = '"$util.escapeJavaScript($input.path(\'$.words\')).replaceAll("\\\\\'", "\'")"'
SPLIT = "[#foreach( $w in $input.params('l').split(',') )\"$w.trim().toUpperCase()\",#end 0]"


class TestTemplates:
    def rendered(self, api: Any, template: str, **call: Any) -> Any:
        api.integration = {"requestTemplates": {"application/json": template}}
        return api.deploy(variables={"colour": "red"}).call(**call)

    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            ("[$input.path('$.n'), $input.json('$.list')]", [1, [1, 2]]),
            ("$input.json('$.list[*]')", [1, 2]),
            ("[$input.path('$.list').size()]", [2]),
            ('"$util.escapeJavaScript($input.path(\'$.words\')).replaceAll("\\\\\'", "\'")"', 'it\'s "ü"\t'),
            ("\"$util.urlEncode('a b')$util.urlDecode('a+b')\"", "a+ba b"),
            ("\"$util.base64Encode('hi')$util.base64Decode('aGk=')\"", "aGk=hi"),
            ("[$util.parseJson('{\"a\": [3]}').a[0]]", [3]),
            ('"$stageVariables.colour $context.stage $context.httpMethod"', "red s POST"),
            ("\"$util.escapeJavaScript($input.path('$.absent'))\"", ""),
            (
                "[#foreach( $w in $input.params('l').split(',') )\"$w.trim().toUpperCase()\",#end 0]",
                ["A", "B", 0],
            ),
            ("[$input.params('l').length(), $input.params('l').contains('b')]", [6, True]),
            ("[$input.params('l').startsWith('a'), $input.params('l').equals('a')]", [True, False]),
            ("[$input.params('l').isEmpty(), $input.params('none').isEmpty()]", [False, True]),
            (
                "[\"$input.params('l').toLowerCase()\", $input.params('l').matches('[a, b]+')]",
                ["a, b,,", True],
            ),
            ("\"$input.params('X-H')\"", "h"),
            ("\"$input.params('l').substring(3)|$input.params('l').substring(0, 1)\"", "b,,|a"),
            ("[\"$input.params('l').charAt(3)\", $input.params('l').endsWith(',,')]", ["b", True]),
            ("\"$input.params('l').replaceAll('([a-z]),', '<$1>')\"", "<a> <b>,"),
            ("\"$input.params('l').replaceAll('[ab]', '\\$')\"", "$, $,,"),
            ("[$input.params('l').replaceAll('[ab ]', '').split(',').size()]", [0]),
            ("[$input.params('l').indexOf(','), $input.params('l').indexOf(',', 2)]", [1, 4]),
            ("#{if}( $input.params('l') == 'x' )1#{else}2#{end}", 2),
        ],
    )
    def test_the_gateways_variables_are_there(self, rest_api, template, expected):
        body = {"n": 1, "list": [1, 2], "words": 'it\'s "ü"\t'}
        call = {"body": body, "query": {"l": "a, b,,"}, "headers": {"X-H": "h"}}
        assert self.rendered(rest_api, template, **call) == (200, expected)

    @pytest.mark.parametrize("rounds", [1000, 1001])
    def test_a_loop_ends_after_a_thousand_rounds_while_there_is_a_next_one(self, rest_api, rounds):
        loop = "#foreach( $n in %s )$n#if( $foreach.hasNext ),#end#end"
        last, ends = rounds - 1, ",999" if rounds == 1000 else ",999,"
        for values in (f"[0..{last}]", '$input.path("$.list")', '$input.path("$.map")'):
            body = {"list": list(range(rounds)), "map": dict.fromkeys(map(str, range(rounds)))}
            rendered = run_template(
                loop % values,
                parameters={"path": {}, "querystring": {}, "header": {}},
                body=json.dumps(body),
                context={},
                stage_variables={},
            )
            assert rendered.count(",") >= 999
            assert rendered.endswith(ends)

    def test_what_lies_outside_of_a_text_fails(self, rest_api):
        answer = self.rendered(rest_api, "$input.params('l').substring(9)", query={"l": "a"})
        assert answer == (500, {"message": "Internal server error"})

    def test_the_body_is_there_as_it_came(self, rest_api):
        assert self.rendered(rest_api, "$input.body", body=[1])[1] == [1]

    def test_a_body_that_is_empty_is_an_empty_object(self, rest_api):
        assert self.rendered(rest_api, "[$input.body, $input.json('$')]", body=b"") == (200, [{}, {}])

    def test_a_body_that_is_no_json_is_400_where_json_is_wanted(self, rest_api):
        status, body = self.rendered(rest_api, "$input.json('$')", body=b"words")
        assert status == 400
        assert body["message"].startswith("Could not parse request body into json")

    def test_a_failing_template_is_the_apis_own_fault(self, rest_api):
        answer = self.rendered(rest_api, "$input.path('no path')", body={})
        assert answer == (500, {"message": "Internal server error"})

    def test_a_type_without_a_template_passes_only_where_it_may(self, rest_api):
        rest_api.integration = {"passthroughBehavior": "WHEN_NO_MATCH"}
        headers = {"Content-Type": "text/plain"}
        assert rest_api.deploy().call(body=b'"as it is"', headers=headers) == (200, "as it is")

    def test_the_responses_template_and_overrides_hold(self, rest_api):
        template = (
            "#set( $context.responseOverride.status = 202 )"
            "#set( $context.responseOverride.header.X-More = 'yes' ){\"got\": $input.json('$.a')}"
        )
        rest_api.responses = [
            {"statusCode": "200", "responseTemplates": {"application/json": template}},
        ]
        assert rest_api.deploy().call(body={"a": [1]}) == (202, {"got": [1]})
        assert rest_api.headers["x-more"] == "yes"

    def test_a_failing_response_template_is_500(self, rest_api):
        rest_api.responses = [
            {"statusCode": "200", "responseTemplates": {"application/json": "$input.path('no path')"}}
        ]
        assert rest_api.deploy().call(body={})[0] == 500


class TestIntegration:
    def test_headers_come_from_texts_and_parameters(self, rest_api):
        rest_api.integration = {
            "requestParameters": {
                "integration.request.header.Content-Type": "'text/csv'",
                "integration.request.header.X-Amzn-SageMaker-Custom-Attributes": "method.request.header.X-H",
                "integration.request.header.X-Q": "method.request.querystring.absent",
                "integration.request.querystring.y": "'z'",
            },
            "requestTemplates": {"application/json": "1,2"},
        }
        rest_api.deploy().call(body={}, headers={"X-H": "mine"})
        (seen,) = rest_api.aws.invocations("echo")
        assert seen.headers["content-type"] == "text/csv"
        assert seen.headers["x-amzn-sagemaker-custom-attributes"] == "mine"

    @pytest.mark.parametrize(
        ("status", "expected"), [(424, "400"), (500, "default")], ids=["pattern", "default"]
    )
    def test_the_selection_pattern_chooses_the_response(self, rest_api, status, expected):
        rest_api.responses = [
            {"statusCode": "200"},
            {"statusCode": "400", "selectionPattern": r"4\d{2}"},
        ]
        rest_api.deploy()
        code = "ModelError" if status == 424 else "InternalFailure"
        rest_api.aws.add_fault("sagemaker:InvokeEndpoint", code=code)
        assert rest_api.call(body={})[0] == (400 if expected == "400" else 200)

    def test_without_a_default_there_is_nothing_to_answer(self, rest_api):
        rest_api.responses = [{"statusCode": "400", "selectionPattern": "4.."}]
        assert rest_api.deploy().call(body={}) == (500, {"message": "Internal server error"})

    def test_a_role_that_may_not_invoke_is_403_of_sagemaker(self, rest_api):
        rest_api.iam.delete_role_policy(RoleName="caller", PolicyName="p")
        rest_api.responses = [{"statusCode": "418", "selectionPattern": "403"}, {"statusCode": "200"}]
        status, body = rest_api.deploy().call(body={})
        assert status == 418
        assert "is not authorized to perform: sagemaker:InvokeEndpoint" in body["Message"]
        assert rest_api.received() == []

    def test_a_denial_goes_before_what_is_allowed(self, rest_api):
        arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/echo"
        statement = {"Effect": "Deny", "Action": "sagemaker:*", "Resource": [arn]}
        document = json.dumps({"Version": "2012-10-17", "Statement": statement})
        rest_api.iam.put_role_policy(RoleName="caller", PolicyName="deny", PolicyDocument=document)
        rest_api.responses = [{"statusCode": "418", "selectionPattern": "403"}, {"statusCode": "200"}]
        assert rest_api.deploy().call(body={})[0] == 418

    def test_a_policy_that_is_deleted_while_the_role_is_read_is_none_any_more(self, rest_api):
        def delete(request, answer):
            if b"Action=ListRolePolicies" in request.body:
                rest_api.iam.delete_role_policy(RoleName="caller", PolicyName="gone")

        rest_api.iam.put_role_policy(RoleName="caller", PolicyName="gone", PolicyDocument=json.dumps(INVOKE))
        clients = MotoClients(Moto(), delete)
        endpoint = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/echo"
        assert role_may_invoke(clients, rest_api.role, endpoint)
        assert rest_api.iam.list_role_policies(RoleName="caller")["PolicyNames"] == ["p"]

    @pytest.mark.parametrize(
        ("action", "name", "status"),
        [
            ("sagemaker:InvokeEndpoint", "echo-b", 200),
            ("SageMaker:invokeendpoint", "echo-*", 200),
            ("sagemaker:InvokeEndpoint", "Echo-B", 403),
        ],
    )
    def test_a_policy_names_the_endpoint_in_lower_case_and_the_action_in_any(
        self, rest_api, action, name, status
    ):
        rest_api.aws.add_endpoint("Echo-B", "echo")
        arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/{name}"
        statement = {"Effect": "Allow", "Action": action, "Resource": arn}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        rest_api.iam.put_role_policy(RoleName="caller", PolicyName="p", PolicyDocument=document)
        rest_api.integration = {"uri": URI.replace("echo", "Echo-B")}
        rest_api.responses = [{"statusCode": "403", "selectionPattern": "403"}, {"statusCode": "200"}]
        assert rest_api.deploy().call(body={})[0] == status

    def test_a_role_that_the_gateway_may_not_assume_is_a_configuration_error(self, rest_api):
        other = json.dumps(TRUST).replace("apigateway", "lambda")
        rest_api.iam.update_assume_role_policy(RoleName="caller", PolicyDocument=other)
        assert rest_api.deploy().call(body={})[0] == 500

    @pytest.mark.parametrize(
        "integration",
        [
            {"credentials": f"arn:aws:iam::{ACCOUNT}:role/nobody"},
            {"uri": "arn:aws:apigateway:us-east-1:s3:path/bucket/key"},
        ],
        ids=["role", "uri"],
    )
    def test_an_integration_that_cannot_work_is_500(self, rest_api, integration):
        rest_api.integration = integration
        assert rest_api.deploy().call(body={}) == (500, {"message": "Internal server error"})

    def test_a_slow_model_times_out(self, rest_api):
        rest_api.integration = {"timeoutInMillis": 100}
        rest_api.deploy()
        rest_api.aws.add_fault("sagemaker:InvokeEndpoint", "delay", seconds=3)
        assert rest_api.call(body={}) == (504, {"message": "Endpoint request timed out"})

    def test_a_lost_connection_is_504(self, rest_api):
        rest_api.deploy()
        rest_api.aws.add_fault("sagemaker:InvokeEndpoint", "drop")
        message = {"message": "Network error communicating with endpoint"}
        assert rest_api.call(body={}) == (504, message)
