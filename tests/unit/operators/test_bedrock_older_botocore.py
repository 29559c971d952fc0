"""InvokeModel with a botocore that is older than some of its members."""

from __future__ import annotations

import json

import botocore.session
import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference import requests
from airflow_provider_aiml.operators.bedrock import BedrockInvokeModelOperator
from botocore.loaders import Loader, create_loader
from tests.unit.running import run

JAMBA = "ai21.jamba-instruct-v1:0"
BODY = {"messages": [{"role": "user", "content": "Hello"}]}


def invoke(**kwargs):
    return BedrockInvokeModelOperator(task_id="ask", model_id=JAMBA, input_data=BODY, **kwargs)


def metadata_sent(aws):
    (seen,) = aws.invocations(JAMBA)
    return {name for name in seen.headers if "metadata" in name.lower()}


@pytest.fixture
def older(tmp_path, monkeypatch):
    """Let botocore find a service model in which InvokeModel takes no request metadata."""
    model = json.loads(json.dumps(create_loader().load_service_model("bedrock-runtime", "service-2")))
    for operation in ("InvokeModelRequest", "InvokeModelWithResponseStreamRequest"):
        del model["shapes"][operation]["members"]["requestMetadata"]
    version = create_loader().determine_latest_version("bedrock-runtime", "service-2")
    folder = tmp_path / "bedrock-runtime" / version
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text(json.dumps(model))
    monkeypatch.setattr(botocore.session, "create_loader", create_loader)
    monkeypatch.setattr(Loader, "CUSTOMER_DATA_PATH", str(tmp_path))
    requests._service_model.cache_clear()
    yield
    requests._service_model.cache_clear()


@pytest.mark.parametrize("stream", [False, True])
def test_an_operation_without_request_metadata_is_not_stamped(aws, older, stream):
    assert run(invoke(stream=stream))["choices"]
    assert metadata_sent(aws) == set()


def test_metadata_that_was_asked_for_is_not_left_out_silently(aws, older):
    with pytest.raises(RequestError, match="request_metadata"):
        run(invoke(request_metadata='{"team": "a"}'))
    assert aws.invocations(JAMBA) == []


def test_an_operation_with_request_metadata_is_stamped(aws):
    assert run(invoke())["choices"]
    assert len(metadata_sent(aws)) == 1
