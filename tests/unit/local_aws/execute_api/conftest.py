from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCOUNT = "123456789012"
KEYS = Credentials("local-aws-key", "local-aws-secret")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "apigateway.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
INVOKE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["sagemaker:InvokeEndpoint"], "Resource": "*"}],
}
URI = "arn:aws:apigateway:us-east-1:runtime.sagemaker:path/endpoints/echo/invocations"


@dataclass
class Api:
    """One API made by boto3, as any client of API Gateway would make it."""

    aws: Any
    gateway: Any
    iam: Any
    role: str = ""
    id: str = ""
    method: dict[str, Any] = field(default_factory=dict)
    integration: dict[str, Any] = field(default_factory=dict)
    responses: list[dict[str, Any]] = field(default_factory=list)

    def deploy(self, path: str = "score", http_method: str = "POST", **stage: Any) -> Api:
        """Make the method and deploy it to the stage ``s``."""
        root = self.gateway.get_resources(restApiId=self.id)["items"][0]["id"]
        parent = root
        for part in filter(None, path.split("/")):
            parent = self.gateway.create_resource(restApiId=self.id, parentId=parent, pathPart=part)["id"]
        where = {"restApiId": self.id, "resourceId": parent, "httpMethod": http_method}
        self.gateway.put_method(**where, **{"authorizationType": "NONE", **self.method})
        self.gateway.put_integration(
            **where,
            **{
                "type": "AWS",
                "integrationHttpMethod": "POST",
                "uri": URI,
                "credentials": self.role,
                "passthroughBehavior": "NEVER",
                "requestTemplates": {"application/json": "$input.json('$')"},
                **self.integration,
            },
        )
        for response in self.responses or [{"statusCode": "200"}]:
            self.gateway.put_integration_response(**where, **response)
        made = self.gateway.create_deployment(restApiId=self.id)
        self.gateway.create_stage(restApiId=self.id, stageName="s", deploymentId=made["id"], **stage)
        return self

    @property
    def host(self) -> str:
        return f"{self.id}.execute-api.us-east-1.amazonaws.com"

    def call(
        self,
        path: str = "/score",
        query: dict[str, str] | None = None,
        body: Any = None,
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        keys: Credentials | None = None,
        region: str = "us-east-1",
        host: str | None = None,
    ) -> tuple[int, Any]:
        """Call the stage; give the status, and the body as JSON where it is."""
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        full = f"/s{quote(path)}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        request = AWSRequest(method, f"https://{self.host}{full}", headers=headers or {}, data=text)
        if keys:
            SigV4Auth(keys, "execute-api", region).add_auth(request)
        return self.send(method, full, dict(request.headers), text, host or self.host)

    def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes, host: str
    ) -> tuple[int, Any]:
        where = urlsplit(self.aws.endpoint_url)
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
        try:
            connection.request(method, path, body, {**headers, "Host": host})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    def received(self) -> list[Any]:
        return [json.loads(one.body) for one in self.aws.invocations("echo")]


@pytest.fixture
def rest_api(aws: Any, client: Any) -> Api:
    """An API without a method yet, before an endpoint that echoes, with a role that may invoke it."""
    aws.add_endpoint("echo", "echo")
    iam, gateway = client("iam"), client("apigateway")
    role = iam.create_role(RoleName="caller", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName="caller", PolicyName="p", PolicyDocument=json.dumps(INVOKE))
    return Api(aws, gateway, iam, role, gateway.create_rest_api(name="api")["id"])
