from __future__ import annotations

import boto3


def test_boto3_invokes_an_endpoint(aws):
    aws.add_endpoint("echo")
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )

    answer = client.invoke_endpoint(EndpointName="echo", Body=b"[1]", ContentType="application/json")

    assert answer["Body"].read() == b"[1]"
    assert answer["ContentType"] == "application/json"
    assert [invocation.body for invocation in aws.invocations("echo")] == [b"[1]"]
