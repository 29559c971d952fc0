from __future__ import annotations

import pytest
from airflow_provider_aiml.local_aws.bedrock import Bedrock
from airflow_provider_aiml.local_aws.errors import ApiError

REEL = "amazon.nova-reel-v1:1"
TEXT = {"text": "A red bicycle in the rain"}
CONFIG = {"durationSeconds": 6, "fps": 24, "dimension": "1280x720", "seed": 7}
BODY = {"taskType": "TEXT_VIDEO", "textToVideoParams": TEXT, "videoGenerationConfig": CONFIG}


def ended(ask, model_input):
    """Start an invocation that takes no time; give what became of it and what it wrote."""
    objects = {}
    ask.bedrock = Bedrock(objects.__setitem__, async_delay=0)
    output = {"s3OutputDataConfig": {"s3Uri": "s3://bucket/videos/"}}
    arn = ask("StartAsyncInvoke", modelId=REEL, modelInput=model_input, outputDataConfig=output)
    return ask("GetAsyncInvoke", **arn), objects


def test_a_video_is_a_note_of_what_it_should_show(ask):
    told, objects = ended(ask, BODY)

    note = next(body.decode() for uri, body in objects.items() if uri.endswith("output.json"))
    assert told["status"] == "Completed"
    assert "local stand-in for amazon.nova-reel-v1:1" in note
    assert TEXT["text"] in note
    assert '"durationSeconds": 6' in note


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"textToVideoParams": {}}, "required key [text] not found"),
        ({"textToVideoParams": {"text": "a" * 513}}, "at most 512 characters"),
        ({"videoGenerationConfig": {"fps": 24}}, "required key [durationSeconds] not found"),
        ({"videoGenerationConfig": {**CONFIG, "durationSeconds": 7}}, "7 is not a valid enum value"),
        ({"taskType": "IMAGE"}, "IMAGE is not a valid enum value"),
        ({"prompt": "a"}, "extraneous key [prompt]"),
    ],
)
def test_what_the_model_does_not_take_fails_with_its_words(ask, members, said):
    told, objects = ended(ask, {**BODY, **members})

    assert told["status"] == "Failed"
    assert said in told["failureMessage"]
    assert objects == {}


def test_a_video_is_made_asynchronously_only(ask):
    assert "only be invoked asynchronously" in ask.invoke_refused(REEL, BODY)
    assert "supported text or chat model" in ask.converse_refused("Hello", model=REEL)
    with pytest.raises(ApiError, match="unsupported for streaming"):
        ask.chunks(REEL, BODY)
