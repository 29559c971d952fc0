from __future__ import annotations

import datetime as dt
import json

import pytest
from airflow_provider_aiml.local_aws.bedrock import Bedrock
from airflow_provider_aiml.local_aws.errors import ApiError

NOVA = "amazon.nova-lite-v1:0"
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
INPUT = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
OUTPUT = {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}}


class World:
    """A stand-in with its own S3 and clock, 10 seconds an invocation."""

    def __init__(self, asker, put_object=None):
        self.objects, self.now, self.ask = {}, START, asker
        asker.bedrock = Bedrock(
            put_object or self.objects.__setitem__, clock=lambda: self.now, async_delay=10
        )

    def start(self, model=NOVA, model_input=INPUT, **members):
        request = {"modelId": model, "modelInput": model_input, "outputDataConfig": OUTPUT, **members}
        return self.ask("StartAsyncInvoke", **request)["invocationArn"]

    def get(self, arn):
        return self.ask("GetAsyncInvoke", invocationArn=arn)

    def wait(self, seconds=10):
        self.now += dt.timedelta(seconds=seconds)


@pytest.fixture
def world(ask):
    return World(ask)


def test_an_invocation_is_in_progress_until_its_time_has_come(world):
    arn = world.start()
    world.wait(9.9)

    told = world.get(arn)

    assert told["status"] == "InProgress"
    assert told["modelArn"] == "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
    assert "endTime" not in told
    assert world.objects == {}


def test_a_completed_invocation_has_written_its_output(world):
    arn = world.start()
    world.wait()

    told = world.get(arn)

    folder = "s3://bucket/out/" + arn.rpartition("/")[2]
    assert told["status"] == "Completed"
    assert told["endTime"] == START + dt.timedelta(seconds=10)
    assert told["outputDataConfig"] == OUTPUT
    output = json.loads(world.objects[f"{folder}/output.json"])
    assert "stand-in" in output["output"]["message"]["content"][0]["text"]
    assert json.loads(world.objects[f"{folder}/manifest.json"])["outputs"] == [f"{folder}/output.json"]


def test_what_is_due_can_be_finished_without_asking_for_it(world):
    world.start()
    world.wait()
    world.ask.bedrock.finish_due()

    assert len(world.objects) == 2


def test_none_ends_while_they_are_held(world):
    arn = world.start()
    world.ask.bedrock.hold()
    world.wait(60)
    assert world.get(arn)["status"] == "InProgress"

    world.ask.bedrock.release()
    assert len(world.objects) == 2
    assert world.get(arn)["status"] == "Completed"


def test_the_output_is_written_once(world):
    written = []
    arn = World(world.ask, lambda uri, data: written.append(uri)).start()
    world.ask.bedrock._async_invokes._clock = lambda: START + dt.timedelta(seconds=99)
    world.get(arn)
    world.get(arn)

    assert len(written) == 2


def test_the_same_token_with_the_same_request_is_the_same_invocation(world):
    first = world.start(clientRequestToken="once")

    assert world.start(clientRequestToken="once") == first
    assert world.get(first)["clientRequestToken"] == "once"
    assert world.start(clientRequestToken="twice") != first
    assert world.start() != world.start()


def test_the_same_token_with_another_request_is_a_conflict(world):
    world.start(clientRequestToken="once")

    with pytest.raises(ApiError) as caught:
        world.start(clientRequestToken="once", model="amazon.nova-pro-v1:0")
    assert (caught.value.code, caught.value.status) == ("ConflictException", 400)


def failure(world, **members):
    arn = world.start(**members)
    world.wait()
    told = world.get(arn)
    assert told["status"] == "Failed"
    return told["failureMessage"]


def test_a_model_that_is_asked_to_fails(world):
    assert failure(world, model="test.async-failed-v1:0") == "The model failed, as this test asked."
    assert world.objects == {}


def test_the_input_may_ask_for_a_fault_too(world):
    assert "as this test asked" in failure(world, model_input={**INPUT, "local-aws-fault": "async-failed"})


def test_an_input_that_the_model_does_not_take_fails_with_its_words(world):
    assert "required key [messages] not found" in failure(world, model_input={})


def test_a_bucket_that_cannot_be_written_to_fails(ask):
    def refuse(uri, data):
        raise OSError

    assert "could not be written to s3://bucket/out/" in failure(World(ask, refuse))


def test_without_s3_an_invocation_fails(ask):
    world = World(ask)
    ask.bedrock = Bedrock(clock=lambda: world.now)

    assert "no S3" in failure(world)


def test_a_stuck_invocation_never_ends(world):
    arn = world.start("test.async-stuck-v1:0")
    world.wait(1_000_000)

    assert world.get(arn)["status"] == "InProgress"


def test_a_fault_before_the_start_refuses_the_start(world):
    with pytest.raises(ApiError, match="Too many requests"):
        world.start("test.throttled-v1:0")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"modelInput": "text"}, "modelInput field must be"),
        ({"outputDataConfig": {}}, "must have an s3OutputDataConfig"),
    ],
)
def test_a_start_that_lacks_something_is_refused(members, said):
    request = {"modelId": NOVA, "modelInput": INPUT, "outputDataConfig": OUTPUT, **members}

    with pytest.raises(ApiError, match=said):
        Bedrock().handle("StartAsyncInvoke", request)


def test_an_arn_that_there_is_not_is_refused(ask):
    arn = "arn:aws:bedrock:us-east-1:123456789012:async-invoke/abcdefghijkl"

    assert ask.refused("GetAsyncInvoke", invocationArn=arn).code == "ValidationException"


def listed(world, **request):
    return [one["invocationArn"] for one in world.ask("ListAsyncInvokes", **request)["asyncInvokeSummaries"]]


def test_a_list_is_newest_first_and_can_be_turned_and_narrowed(world):
    first = world.start()
    world.wait(6)
    second = world.start("test.async-failed-v1:0")
    world.wait(5)

    assert listed(world) == [second, first]
    assert listed(world, sortOrder="Ascending") == [first, second]
    assert listed(world, statusEquals="Completed") == [first]
    assert listed(world, submitTimeAfter=START + dt.timedelta(seconds=1)) == [second]
    assert listed(world, submitTimeBefore=START) == [first]


def test_a_list_comes_in_pages(world):
    arns = [world.start() for _ in range(5)]
    found, token = [], {}
    while True:
        page = world.ask("ListAsyncInvokes", maxResults=2, sortOrder="Ascending", **token)
        found += [one["invocationArn"] for one in page["asyncInvokeSummaries"]]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}

    assert found == arns


@pytest.mark.parametrize("token", ["zzz", "Zm9v", "ZnJvbSB4"])
def test_a_token_that_is_none_is_refused(ask, token):
    assert ask.refused("ListAsyncInvokes", nextToken=token).code == "ValidationException"
