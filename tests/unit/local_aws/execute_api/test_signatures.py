"""Who may call: signatures, keys, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.credentials import Credentials
from tests.unit.local_aws.execute_api.conftest import KEYS


class TestSignatures:
    @pytest.fixture
    def signed(self, rest_api: Any) -> Any:
        rest_api.method = {"authorizationType": "AWS_IAM"}
        rest_api.integration = {"requestTemplates": {"application/json": '"$context.identity.caller"'}}
        return rest_api.deploy("{x}")

    def test_a_right_signature_is_let_in_whatever_is_signed(self, signed):
        assert signed.call("/a b~ü", {"q": "1,2/ü", "a": ""}, {"b": 1}, keys=KEYS) == (200, "local-aws-key")

    def test_an_unsigned_call_is_refused(self, signed):
        assert signed.call("/a") == (403, {"message": "Missing Authentication Token"})

    def test_another_secret_is_refused(self, signed):
        status, body = signed.call("/a", keys=Credentials("local-aws-key", "wrong"))
        assert (status, body["message"][:37]) == (403, "The request signature we calculated d")

    def test_a_changed_body_is_refused(self, signed):
        headers = {"x-amz-content-sha256": "0" * 64}
        assert signed.call("/a", body={"b": 1}, headers=headers, keys=KEYS)[0] == 403

    def test_an_unknown_key_is_refused(self, signed):
        status, body = signed.call("/a", keys=Credentials("AKIANOBODY", "secret"))
        assert (status, body["message"]) == (403, "The security token included in the request is invalid.")

    def test_another_region_is_refused(self, signed):
        status, body = signed.call("/a", keys=KEYS, region="eu-west-1")
        assert status == 403
        assert "not eu-west-1/execute-api" in body["message"]

    @pytest.mark.parametrize(
        ("authorization", "message"),
        [
            ("Bearer x", "Authorization header is malformed"),
            ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00", "malformed"),
            (
                "AWS4-HMAC-SHA256 Credential=local-aws-key/20200101/us-east-1/execute-api/aws4_request, "
                "SignedHeaders=host, Signature=00",
                "X-Amz-Date is missing",
            ),
        ],
    )
    def test_a_malformed_signature_is_refused(self, signed, authorization, message):
        status, body = signed.call("/a", headers={"Authorization": authorization})
        assert status == 403
        assert message in body["message"]

    def test_a_signature_of_long_ago_has_expired(self, signed):
        scope = "Credential=local-aws-key/20200101/us-east-1/execute-api/aws4_request"
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00",
            "X-Amz-Date": "20200101T000000Z",
        }
        status, body = signed.call("/a", headers=headers)
        assert (status, body["message"][:17]) == (403, "Signature expired")

    def test_keys_that_iam_and_sts_made_are_known(self, signed, client):
        signed.iam.create_user(UserName="u")
        key = signed.iam.create_access_key(UserName="u")["AccessKey"]
        assert signed.call("/a", keys=Credentials(key["AccessKeyId"], key["SecretAccessKey"]))[0] == 200

        made = client("sts").assume_role(RoleArn=signed.role, RoleSessionName="session")["Credentials"]
        whole = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
        assert signed.call("/a", keys=whole)[0] == 200
        without = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
        assert signed.call("/a", keys=without)[0] == 403


class TestKeysAndLimits:
    def plan(self, api: Any, **limits: Any) -> str:
        stages = [{"apiId": api.id, "stage": "s"}]
        plan = api.gateway.create_usage_plan(name="p", apiStages=stages, **limits)["id"]
        key = api.gateway.create_api_key(name="k", enabled=True)
        api.gateway.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
        return str(key["value"])

    def test_a_key_of_a_plan_of_the_stage_is_let_in(self, rest_api):
        rest_api.method = {"apiKeyRequired": True}
        key = self.plan(rest_api.deploy())
        assert rest_api.call(body={}, headers={"x-api-key": key})[0] == 200

    def test_no_key_a_wrong_one_and_one_without_a_plan_are_forbidden(self, rest_api):
        rest_api.method = {"apiKeyRequired": True}
        rest_api.deploy()
        lonely = rest_api.gateway.create_api_key(name="lonely", enabled=True)["value"]
        other = rest_api.gateway.create_usage_plan(name="other")["id"]
        assert other
        for headers in ({}, {"x-api-key": "wrong"}, {"x-api-key": lonely}):
            assert rest_api.call(body={}, headers=headers) == (403, {"message": "Forbidden"})

    def test_a_quota_runs_out(self, rest_api):
        rest_api.method = {"apiKeyRequired": True}
        key = self.plan(rest_api.deploy(), quota={"limit": 2, "period": "DAY"})
        statuses = [rest_api.call(body={}, headers={"x-api-key": key}) for _ in range(3)]
        assert [status for status, _ in statuses] == [200, 200, 429]
        assert statuses[-1][1] == {"message": "Limit Exceeded"}

    def test_a_stage_throttles_and_recovers(self, rest_api):
        def limit(name: str, value: str) -> None:
            operation = {"op": "replace", "path": f"/*/*/throttling/{name}", "value": value}
            rest_api.gateway.update_stage(restApiId=rest_api.id, stageName="s", patchOperations=[operation])

        rest_api.deploy()
        limit("burstLimit", "1")
        limit("rateLimit", "0.001")  # the next one in a quarter of an hour
        assert [rest_api.call(body={})[0] for _ in range(3)] == [200, 429, 429]
        limit("rateLimit", "10000")  # and now in no time
        assert rest_api.call(body={})[0] == 200


class TestValidation:
    @pytest.fixture
    def checked(self, rest_api: Any) -> Any:
        gateway, where = rest_api.gateway, {"restApiId": rest_api.id}
        validator = gateway.create_request_validator(
            **where, name="v", validateRequestParameters=True, validateRequestBody=True
        )
        schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "number"}}}
        gateway.create_model(**where, name="M", contentType="application/json", schema=json.dumps(schema))
        rest_api.method = {
            "requestValidatorId": validator["id"],
            "requestModels": {"application/json": "M"},
            "requestParameters": {
                "method.request.querystring.q": True,
                "method.request.header.X-H": True,
                "method.request.querystring.maybe": False,
            },
        }
        return rest_api.deploy()

    def test_what_fits_is_let_through(self, checked):
        assert checked.call(query={"q": "1"}, headers={"X-H": "2"}, body={"a": 1})[0] == 200

    def test_what_is_missing_is_named(self, checked):
        status, body = checked.call(body={"a": 1})
        assert (status, body["message"]) == (400, "Missing required request parameters: [q, X-H]")
        assert checked.received() == []

    @pytest.mark.parametrize("body", [{"a": "x"}, {}, b"no json", b""])
    def test_a_body_that_does_not_fit_its_model_is_refused(self, checked, body):
        given = {"query": {"q": "1"}, "headers": {"X-H": "2"}}
        assert checked.call(body=body, **given) == (400, {"message": "Invalid request body"})

    def test_a_body_of_another_type_has_no_model(self, checked):
        headers = {"X-H": "2", "Content-Type": "text/csv"}
        assert checked.call(query={"q": "1"}, headers=headers, body=b"1,2")[0] == 415
