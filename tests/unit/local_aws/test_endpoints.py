from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/any"
ECHO = "airflow_provider_aiml.local_aws.models.echo:model"


def create(sagemaker, name, environment, asynchronous=None):
    sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "any", "Environment": environment}
    )
    variant = {
        "VariantName": "blue",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    more = {"AsyncInferenceConfig": asynchronous} if asynchronous else {}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **more)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def test_an_endpoint_of_the_control_plane_runs_the_model_that_its_container_names(aws, client, runtime):
    create(client("sagemaker"), "mine", {"LOCAL_AWS_MODEL": ECHO})

    answer = runtime.invoke_endpoint(EndpointName="mine", Body=b"1")

    assert answer["Body"].read() == b"1"
    assert answer["InvokedProductionVariant"] == "blue"


def test_an_asynchronous_endpoint_of_the_control_plane_keeps_its_settings(aws, client, runtime):
    settings = {
        "OutputConfig": {
            "S3OutputPath": "s3://the-out/a",
            "S3FailurePath": "s3://the-out/b",
            "NotificationConfig": {"SuccessTopic": "arn:aws:sns:us-east-1:123456789012:t"},
        },
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
    }
    create(client("sagemaker"), "mine", {"LOCAL_AWS_MODEL": "echo"}, settings)

    answer = runtime.invoke_endpoint_async(EndpointName="mine", Body=b"1")

    assert answer["OutputLocation"].startswith("s3://the-out/a/")
    assert answer["FailureLocation"].startswith("s3://the-out/b/")


def test_an_endpoint_that_names_no_model_cannot_be_invoked_and_says_how(aws, client, runtime):
    create(client("sagemaker"), "mine", {})

    with pytest.raises(ClientError, match="LOCAL_AWS_MODEL"):
        runtime.invoke_endpoint(EndpointName="mine", Body=b"1")


def test_an_endpoint_that_is_deleted_is_not_found_any_more(aws, client, runtime):
    aws.add_endpoint("echo")
    runtime.invoke_endpoint(EndpointName="echo", Body=b"1")

    client("sagemaker").delete_endpoint(EndpointName="echo")

    with pytest.raises(ClientError, match="Endpoint echo of account 123456789012 not found"):
        runtime.invoke_endpoint(EndpointName="echo", Body=b"1")


def test_an_endpoints_arn_is_in_lower_case_and_its_name_as_it_was_given(aws, client):
    aws.add_endpoint("My-Echo", "echo")

    described = client("sagemaker").describe_endpoint(EndpointName="My-Echo")
    (listed,) = client("sagemaker").list_endpoints()["Endpoints"]

    assert described["EndpointArn"] == "arn:aws:sagemaker:us-east-1:123456789012:endpoint/my-echo"
    assert described["EndpointName"] == "My-Echo"
    assert listed["EndpointArn"] == described["EndpointArn"]


def test_an_endpoint_can_be_removed_and_added_anew(aws, runtime):
    aws.add_endpoint("changing", "failing")
    aws.remove_endpoint("changing")
    aws.add_endpoint("changing", "echo")

    assert runtime.invoke_endpoint(EndpointName="changing", Body=b"1")["Body"].read() == b"1"


def test_the_control_plane_describes_an_asynchronous_endpoint_in_full(aws, client):
    aws.add_endpoint(
        "queued",
        s3_output_path="s3://the-out/a",
        s3_failure_path="s3://the-failed/b",
        success_topic="arn:aws:sns:us-east-1:123456789012:good",
        error_topic="arn:aws:sns:us-east-1:123456789012:bad",
        include_response_in=("ERROR_NOTIFICATION_TOPIC",),
        max_concurrent=7,
    )

    endpoint = client("sagemaker").describe_endpoint(EndpointName="queued")
    config = client("sagemaker").describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])

    assert endpoint["EndpointStatus"] == "InService"
    assert config["AsyncInferenceConfig"] == {
        "OutputConfig": {
            "S3OutputPath": "s3://the-out/a",
            "S3FailurePath": "s3://the-failed/b",
            "NotificationConfig": {
                "SuccessTopic": "arn:aws:sns:us-east-1:123456789012:good",
                "ErrorTopic": "arn:aws:sns:us-east-1:123456789012:bad",
                "IncludeInferenceResponseIn": ["ERROR_NOTIFICATION_TOPIC"],
            },
        },
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 7},
    }
    assert {bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]} == {"the-out", "the-failed"}
