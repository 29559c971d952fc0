from __future__ import annotations

import json
from functools import lru_cache
from types import SimpleNamespace

import botocore.session
import pytest
from airflow_provider_aiml.local_aws.bedrock import Bedrock
from airflow_provider_aiml.local_aws.errors import ApiError
from botocore.validate import ParamValidator

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"


@lru_cache
def service_model():
    return botocore.session.get_session().get_service_model("bedrock-runtime")


def check_shape(shape, value):
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), report.generate_report()


class Asker:
    """Asks the stand-in and checks each answer against botocore's service model."""

    def __init__(self):
        self.bedrock = Bedrock()

    def __call__(self, operation, **request):
        model = service_model().operation_model(operation)
        check_shape(model.input_shape, request)
        result = self.bedrock.handle(operation, request)
        for name, member in model.output_shape.members.items():
            if member.serialization.get("eventstream"):
                result[name] = list(result[name])
                for event, payload in result[name]:
                    check_shape(member.members[event], payload)
        plain = {k: v for k, v in result.items() if not isinstance(v, list) or operation == "ApplyGuardrail"}
        if len(plain) == len(result):
            check_shape(model.output_shape, plain)
        return result

    def converse(self, *texts, model=CLAUDE, **request):
        """Ask in turns: user, assistant, user, …"""
        roles = ("user", "assistant")
        messages = [
            {"role": roles[number % 2], "content": [{"text": text}] if isinstance(text, str) else text}
            for number, text in enumerate(texts)
        ]
        return self("Converse", modelId=model, messages=messages, **request)

    def text(self, *texts, **request):
        return self.converse(*texts, **request)["output"]["message"]["content"][0]["text"]

    def invoke(self, model, body, **request):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return json.loads(self("InvokeModel", modelId=model, body=raw, **request)["body"])

    def chunks(self, model, body, **request):
        raw = json.dumps(body).encode()
        result = self("InvokeModelWithResponseStream", modelId=model, body=raw, **request)
        return [json.loads(payload["bytes"]) for name, payload in result["body"] if name == "chunk"]

    def refused(self, operation, **request):
        with pytest.raises(ApiError) as caught:
            self(operation, **request)
        return self._told(caught)

    def refused_raw(self, operation, **request):
        """As refused, but without botocore's checks."""
        with pytest.raises(ApiError) as caught:
            self.bedrock.handle(operation, request)
        return self._told(caught)

    @staticmethod
    def _told(caught):
        return SimpleNamespace(
            code=caught.value.code,
            status=caught.value.status,
            message=caught.value.message,
            fields=caught.value.fields,
        )

    def converse_refused(self, *contents, model=CLAUDE, **request):
        """Return the message with which Converse refuses user, assistant, user, … contents."""
        roles = ("user", "assistant")
        messages = [
            {"role": roles[n % 2], "content": [{"text": c}] if isinstance(c, str) else c}
            for n, c in enumerate(contents)
        ]
        error = self.refused("Converse", modelId=model, messages=messages, **request)
        assert (error.code, error.status) == ("ValidationException", 400)
        return error.message

    def invoke_refused(self, model, body, **request):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        error = self.refused("InvokeModel", modelId=model, body=raw, **request)
        assert (error.code, error.status) == ("ValidationException", 400)
        return error.message


@pytest.fixture
def ask():
    return Asker()
