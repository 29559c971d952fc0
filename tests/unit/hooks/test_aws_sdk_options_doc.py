"""The tables of docs/aws-sdk-options.md, against botocore's own models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook
from airflow_provider_aiml.inference.requests import LIMITS, api_members, load_operation
from botocore.config import Config

DOC = (Path(__file__).parents[3] / "docs" / "aws-sdk-options.md").read_text()
OPERATIONS = ("InvokeEndpoint", "InvokeEndpointAsync", "InvokeEndpointWithResponseStream")

# https://docs.aws.amazon.com/AWSJavaScriptSDK/latest/AWS/SageMakerRuntime.html
OPTIONS = [
    "params",
    "endpoint",
    "accessKeyId",
    "secretAccessKey",
    "sessionToken",
    "credentials",
    "credentialProvider",
    "region",
    "maxRetries",
    "maxRedirects",
    "sslEnabled",
    "computeChecksums",
    "convertResponseTypes",
    "correctClockSkew",
    "systemClockOffset",
    "s3ForcePathStyle",
    "s3BucketEndpoint",
    "s3DisableBodySigning",
    "s3UsEast1RegionalEndpoint",
    "s3UseArnRegion",
    "retryDelayOptions.base",
    "retryDelayOptions.customBackoff",
    "httpOptions.proxy",
    "httpOptions.agent",
    "httpOptions.connectTimeout",
    "httpOptions.timeout",
    "httpOptions.xhrAsync",
    "httpOptions.xhrWithCredentials",
    "apiVersion",
    "apiVersions",
    "logger",
    "signatureVersion",
    "signatureCache",
    "dynamoDbCrc32",
    "useAccelerateEndpoint",
    "clientSideMonitoring",
    "endpointDiscoveryEnabled",
    "endpointCacheSize",
    "hostPrefixEnabled",
    "stsRegionalEndpoints",
    "useFipsEndpoint",
    "useDualstackEndpoint",
]
METHODS = [
    "invokeEndpoint",
    "invokeEndpointAsync",
    "invokeEndpointWithResponseStream",
    "makeRequest",
    "makeUnauthenticatedRequest",
    "waitFor",
    "setupRequestListeners",
    "defineService",
]


def tables(title):
    """Give the tables under a heading, each as its rows of cells without the head."""
    section = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", DOC, re.MULTILINE | re.DOTALL)[1]
    found = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [
        [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]
        for table in found
    ]


def test_every_option_of_the_constructor_has_its_row():
    (rows,) = tables("Options of the constructor")
    named = [re.match(r"`([^`]+)`", left)[1] for left, _ in rows]

    assert sorted(set(named)) == sorted([*OPTIONS, "paramValidation"])
    assert named.count("paramValidation") == 2, "as a boolean and as a map"
    assert all(right for _, right in rows)


def test_every_method_has_its_row():
    (rows,) = tables("Methods")

    assert [left.strip("`") for left, _ in rows] == METHODS


def test_the_botocore_options_that_are_named_exist():
    named = set(re.findall(r"`config_kwargs\.([a-z]\w+)`", DOC))

    assert named
    assert named <= set(Config.OPTION_DEFAULTS)


def test_the_limits_that_are_named_are_ours():
    named = re.search(r"`validate=\{(.*?)\}`", DOC)[1]

    assert set(re.findall(r"\w+", named)) == LIMITS


def test_the_hook_methods_that_are_named_exist():
    (rows,) = tables("Methods")
    named = re.findall(
        r"`(?:SageMakerRuntimeHook\.)?(a?invoke_endpoint\w*)`", " ".join(right for _, right in rows)
    )

    assert len(named) == 6
    assert all(callable(getattr(SageMakerRuntimeHook, name)) for name in named)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_request_s_headers_members_and_arguments_are_those_of_the_model(operation):
    rows, _ = tables(operation)
    documented = {member: (where, argument) for where, member, argument in rows}
    modelled = {
        member.name: ({"uri": "label", None: "body"}.get(member.location, member.wire_name), f"`{argument}`")
        for argument, member in api_members(load_operation("sagemaker-runtime", operation)).items()
    }

    for name, facts in modelled.items():
        where, argument = documented[name]
        assert (where, argument.removesuffix(" †")) == facts
    newer = {name for name, (_, argument) in documented.items() if argument.endswith("†")}
    assert set(documented) - set(modelled) <= newer


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_answer_s_headers_and_members_are_those_of_the_model(operation):
    _, rows = tables(operation)
    shape = load_operation("sagemaker-runtime", operation).output_shape

    def place(name, member):
        if member.serialization.get("location") == "header":
            return member.serialization["name"]
        return "body" if shape.serialization.get("payload") == name else "body field"

    modelled = {name: place(name, member) for name, member in shape.members.items()}
    assert {member: where for where, member, _ in rows} == modelled
