from __future__ import annotations

import logging

import boto3
import pytest
from airflow_provider_aiml.inference.output_prediction import OutputBase, candidates, describe_output_base
from botocore.stub import Stubber


@pytest.fixture
def sagemaker() -> object:
    return boto3.client(
        "sagemaker", region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )


def stub(sagemaker: object, config: dict[str, object]) -> Stubber:
    stubber = Stubber(sagemaker)
    times = {"CreationTime": "2026-01-01T00:00:00Z"}
    endpoint = {
        "EndpointName": "e",
        "EndpointArn": "arn:aws:sagemaker:r:1:endpoint/e",
        "EndpointStatus": "InService",
    }
    stubber.add_response(
        "describe_endpoint",
        {**endpoint, **times, "EndpointConfigName": "c", "LastModifiedTime": "2026-01-01T00:00:00Z"},
        {"EndpointName": "e"},
    )
    stubber.add_response(
        "describe_endpoint_config",
        {
            "EndpointConfigName": "c",
            "EndpointConfigArn": "arn:aws:sagemaker:r:1:endpoint-config/c",
            "ProductionVariants": [{"VariantName": "v", "ModelName": "m"}],
            **times,
            **config,
        },
        {"EndpointConfigName": "c"},
    )
    return stubber


def test_the_endpoints_configuration_tells_where_its_outputs_go(sagemaker: object) -> None:
    output = {"S3OutputPath": "s3://bucket/out", "S3FailurePath": "s3://bucket/failed"}
    with stub(sagemaker, {"AsyncInferenceConfig": {"OutputConfig": output}}):
        assert describe_output_base(sagemaker, "e") == OutputBase("s3://bucket/out", "s3://bucket/failed")


def test_an_endpoint_that_is_not_asynchronous_has_no_place(sagemaker: object) -> None:
    with stub(sagemaker, {}):
        assert describe_output_base(sagemaker, "e") is None


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("https://bucket.s3.us-east-1.amazonaws.com/out", "s3://bucket/out"),
        ("https://s3.us-east-1.amazonaws.com/bucket/out", "s3://bucket/out"),
        ("https://bucket.s3.amazonaws.com", "s3://bucket"),
    ],
)
def test_a_path_that_begins_with_https_is_read_as_one_on_s3(sagemaker: object, path: str, base: str) -> None:
    with stub(sagemaker, {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": path}}}):
        assert describe_output_base(sagemaker, "e") == OutputBase(base)


def test_a_path_that_cannot_be_read_counts_as_none_and_is_told(
    sagemaker: object, caplog: pytest.LogCaptureFixture
) -> None:
    output = {"S3OutputPath": "https://storage.example.com/out", "S3FailurePath": "s3://bucket/failed"}
    with stub(sagemaker, {"AsyncInferenceConfig": {"OutputConfig": output}}):
        assert describe_output_base(sagemaker, "e") is None
    assert "S3OutputPath of endpoint e" in caplog.text


def test_a_path_that_is_a_bucket_alone_leads_to_no_other_bucket() -> None:
    found = candidates(OutputBase("s3://bucket", "s3://bucket"), "aiml/run", "name.out", "id")

    assert [str(one.output_location) for one in found] == ["s3://bucket/aiml/run/name.out"]
    assert [str(one.failure_location) for one in found] == ["s3://bucket/aiml/run/name.out"]


def test_a_missing_permission_is_named_and_is_no_error(
    sagemaker: object, caplog: pytest.LogCaptureFixture
) -> None:
    stubber = Stubber(sagemaker)
    stubber.add_client_error("describe_endpoint", "AccessDeniedException", http_status_code=400)
    with stubber, caplog.at_level(logging.WARNING):
        assert describe_output_base(sagemaker, "e") is None
    assert "AccessDeniedException" in caplog.text
    assert "sagemaker:DescribeEndpointConfig" in caplog.text


@pytest.mark.parametrize("path", ["s3://bucket/out", "s3://bucket/out/"])
def test_each_plausible_join_is_a_candidate_the_tidy_one_first(path: str) -> None:
    found = candidates(OutputBase(path, "s3://bucket/failed/"), "aiml/run", "name.out", "id")

    places = [str(one.output_location) for one in found]
    assert places[0] == "s3://bucket/out/aiml/run/name.out"
    assert f"{path}aiml/run/name.out" in places
    assert len(places) == len(set(places))
    assert str(found[0].failure_location) == "s3://bucket/failed/aiml/run/name.out"
    assert {one.inference_id for one in found} == {"id"}


def test_without_a_failure_path_only_outputs_are_predicted() -> None:
    assert {one.failure_location for one in candidates(OutputBase("s3://b/o"), "x", "f.out", "id")} == {None}
