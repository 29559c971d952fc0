"""Paid once: what an operator with ``output_uri`` keeps, and what its next try does with it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from airflow.sdk.bases.xcom import BaseXCom
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    PayloadError,
    RequestError,
    ResponseError,
    StoredAnswerError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.inference.stored_answer import Answer, AnswerStore
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator, BedrockInvokeModelOperator
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointOperator
from tests.airflow_versions import AirflowFailException
from tests.unit.running import run

URI = "s3://bucket/answers/one.json"


def make(**kwargs):
    return SageMakerInvokeEndpointOperator(
        **{"task_id": "t", "endpoint_name": "echo", "payload": {"a": 1}, "output_uri": URI, **kwargs}
    )


@pytest.fixture
def endpoint(aws, s3):
    aws.add_endpoint("echo")
    return aws


def test_the_answer_is_kept_and_its_place_given_instead_of_the_body(endpoint, read):
    assert run(make()) == {
        "content_type": "application/json",
        "invoked_production_variant": "AllTraffic",
        "output_uri": URI,
    }
    assert read("answers/one.json") == b'{"a":1}'


def test_a_retry_gives_the_same_and_calls_nothing(endpoint, told):
    first = run(make(result_expression="[body, content_type, output_uri]"))
    again = run(make(result_expression="[body, content_type, output_uri]"))

    assert first == again == [{"a": 1}, "application/json", URI]
    assert len(endpoint.invocations("echo")) == 1
    assert f"the answer at {URI} is taken and nothing is sent" in told.text


def test_another_expression_over_a_kept_answer_costs_nothing(endpoint):
    run(make())

    assert run(make(result_expression="body.a")) == 1
    assert len(endpoint.invocations("echo")) == 1


@pytest.mark.parametrize(
    ("changed", "instance"),
    [
        ({"payload": {"a": 2}}, {}),
        ({"custom_attributes": "x"}, {}),
        ({}, {"run_id": "tomorrow"}),
        ({}, {"map_index": 7}),
        ({}, {"dag_id": "another"}),
    ],
)
def test_a_changed_request_is_a_new_inference(endpoint, changed, instance):
    run(make())
    run(make(**changed), **instance)

    assert len(endpoint.invocations("echo")) == 2


def test_the_task_instance_without_a_map_index_is_that_of_an_unmapped_task(endpoint):
    run(make(), map_index=None)
    run(make(), map_index=-1)

    assert len(endpoint.invocations("echo")) == 1


def test_another_region_is_another_inference(endpoint):
    endpoint.add_endpoint("echo", region="eu-west-1")

    run(make())
    run(make(region_name="eu-west-1"))

    assert len(endpoint.invocations("echo")) == 2


@pytest.mark.parametrize("kept", [True, False])
def test_a_payload_that_was_removed_since_says_where_an_earlier_answer_may_be(endpoint, s3, kept):
    s3.put_object(Bucket="bucket", Key="in", Body=b'{"a":1}')
    given = {"payload": None, "payload_uri": "s3://bucket/in", "output_uri": URI if kept else None}
    run(make(**given))
    s3.delete_object(Bucket="bucket", Key="in")

    with pytest.raises(PayloadError, match="payload_uri: is absent") as caught:
        run(make(**given), try_number=2)
    assert ("the answer of an earlier try may be at output_uri" in str(caught.value)) is kept
    assert len(endpoint.invocations("echo")) == 1


def test_a_folder_keeps_each_answer_under_its_identity(endpoint, s3):
    uris = {
        run(make(output_uri="s3://bucket/answers/"), map_index=index)["output_uri"] for index in (0, 1, 1)
    }

    assert len(uris) == 2
    assert len(endpoint.invocations("echo")) == 2
    kept = {entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket", Prefix="answers/")["Contents"]}
    bodies = {uri.removeprefix("s3://bucket/") for uri in uris}
    assert kept == bodies | {f"{body}.aiml.json" for body in bodies}


def ask_bedrock(operator, **request):
    return operator(**{"task_id": "t", "model_id": "amazon.nova-pro-v1:0", "output_uri": URI, **request})


def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


def said(row):
    return {"messages": [{"role": "user", "content": [{"text": f"{row}"}]}]}


MAPPED = {
    "real time": lambda row: make(payload={"row": row}),
    "stream": lambda row: make(payload={"row": row}, stream=True),
    "invoke_model": lambda row: ask_bedrock(BedrockInvokeModelOperator, input_data=said(row)),
    "converse": lambda row: ask_bedrock(BedrockConverseOperator, message=f"{row}"),
    "with tools": lambda row: ask_bedrock(BedrockConverseOperator, message=f"{row}", tools=[shout]),
}


def bought(aws):
    return sum(count for name, count in aws.request_counts().items() if not name.startswith("s3:"))


@pytest.mark.parametrize("task", MAPPED)
def test_mapped_instances_that_are_given_one_object_do_not_replace_each_others_answers(endpoint, read, task):
    run(MAPPED[task](0), map_index=0)
    before, calls = read("answers/one.json"), bought(endpoint)

    for _ in range(2):
        with pytest.raises(RequestError, match="output_uri: is one object for several mapped") as caught:
            run(MAPPED[task](1), map_index=1)
        assert isinstance(caught.value, AirflowFailException)
        assert "{{ ti.map_index }}" in str(caught.value)
    run(MAPPED[task](0), map_index=0)

    assert read("answers/one.json") == before
    assert bought(endpoint) == calls


def test_of_mapped_instances_that_start_together_one_takes_the_object(endpoint, monkeypatch):
    write = AnswerStore._write_record

    def another_looked_before_and_writes_after(store, facts):
        write(store, facts)
        write(replace(store, mapped=replace(store.mapped, map_index=1)), facts)

    monkeypatch.setattr(AnswerStore, "_write_record", another_looked_before_and_writes_after)
    with pytest.raises(RequestError, match="one object for several mapped"):
        run(make(payload={"row": 0}), map_index=0)
    assert endpoint.invocations("echo") == []

    run(make(payload={"row": 1}), map_index=1)
    assert [call.body for call in endpoint.invocations("echo")] == [b'{"row":1}']


@pytest.mark.parametrize(
    ("task_id", "instance"), [("t", {"run_id": "tomorrow"}), ("t", {"dag_id": "other"}), ("other", {})]
)
def test_a_mapped_instance_replaces_what_another_run_or_task_left(endpoint, task_id, instance):
    run(make(), map_index=0)

    assert run(make(task_id=task_id, result_expression="body"), map_index=1, **instance) == {"a": 1}
    assert len(endpoint.invocations("echo")) == 2


def test_a_mapped_instance_with_a_place_of_its_own_replaces_its_own_answer(endpoint, read):
    for index, row in [(0, 1), (1, 2), (1, 3)]:
        run(make(payload={"row": row}, output_uri=f"s3://bucket/answers/{index}.json"), map_index=index)

    assert read("answers/1.json") == b'{"row":3}'


def test_the_record_says_which_mapped_instance_the_answer_is_of(endpoint, read):
    run(make(), map_index=3)
    run(make(output_uri="s3://bucket/unmapped.json"))

    assert json.loads(read("answers/one.json.aiml.json"))["map_index"] == 3
    assert "map_index" not in json.loads(read("unmapped.json.aiml.json"))


def test_an_answer_is_kept_in_any_file_system(endpoint, tmp_path):
    uri = f"file://{tmp_path}/deep/one.json"

    assert run(make(output_uri=uri))["output_uri"] == uri
    assert (tmp_path / "deep" / "one.json").read_bytes() == b'{"a":1}'
    run(make(output_uri=uri))
    assert len(endpoint.invocations("echo")) == 1


def test_a_malformed_answer_is_kept_and_a_retry_calls_nothing(endpoint, read):
    for _ in range(2):
        with pytest.raises(ResponseError, match="may have been billed") as caught:
            run(make(payload=b"{canary"))
        assert isinstance(caught.value, AirflowFailException)
        assert "canary" not in str(caught.value)

    assert read("answers/one.json") == b"{canary"
    assert len(endpoint.invocations("echo")) == 1


def test_a_malformed_answer_can_be_read_by_a_retry_that_does_not_decode(endpoint):
    with pytest.raises(ResponseError):
        run(make(payload=b"{canary"))

    assert run(make(payload=b"{canary", decode=False, result_expression="body")) == "e2NhbmFyeQ=="
    assert len(endpoint.invocations("echo")) == 1


def test_an_expression_that_does_not_fit_loses_no_answer(endpoint):
    with pytest.raises(ResponseError):
        run(make(result_expression="length(body.a)"))

    assert run(make(result_expression="body.a")) == 1
    assert len(endpoint.invocations("echo")) == 1


@pytest.mark.parametrize("expression", ["lenght(body)", "length(body, body)", "sort_by(body)"])
def test_an_expression_that_no_answer_can_fit_is_refused_where_the_dag_is_parsed(expression):
    with pytest.raises(RequestError, match="result_expression: is one with "):
        make(result_expression=expression)


def test_an_expression_that_no_answer_can_fit_is_refused_before_the_call(endpoint):
    task = make(result_expression="{{ params.pick }}")
    task.result_expression = "lenght(body)"  # as Airflow leaves it after rendering

    with pytest.raises(RequestError, match="lenght"):
        run(task)
    assert endpoint.invocations("echo") == []


def test_the_part_of_a_truncated_answer_is_kept(endpoint, read):
    endpoint.add_fault("sagemaker:InvokeEndpoint", "truncate", keep_bytes=3)

    with pytest.raises(ResponseError, match="broke off after 3 bytes"):
        run(make())

    assert read("answers/one.json.partial") == b'{"a'
    assert read("answers/one.json") is None
    assert run(make(result_expression="body")) == {"a": 1}


def test_the_part_of_a_truncated_conversation_is_kept(endpoint, read):
    endpoint.add_fault("bedrock:Converse", "truncate", keep_bytes=30)
    task = {"task_id": "t", "model_id": "amazon.nova-pro-v1:0", "message": "Hello", "output_uri": URI}

    with pytest.raises(ResponseError, match="broke off after 30 of ") as caught:
        run(BedrockConverseOperator(**task))

    assert not isinstance(caught.value, AirflowFailException)
    assert len(read("answers/one.json.partial")) == 30
    assert run(BedrockConverseOperator(**task))["stop_reason"] == "end_turn"


def test_an_answer_that_is_lost_before_its_first_byte_leaves_no_part(endpoint, read):
    endpoint.add_fault("sagemaker:InvokeEndpoint", "truncate", keep_bytes=0)

    with pytest.raises((ResponseError, UnknownOutcomeError)):
        run(make())

    assert read("answers/one.json.partial") is None


def test_a_failed_call_is_no_answer(endpoint):
    endpoint.add_fault("sagemaker:InvokeEndpoint", code="AccessDeniedException")
    with pytest.raises(AccessDeniedError):
        run(make())

    assert run(make(result_expression="body")) == {"a": 1}


def test_a_task_killed_after_its_answer_was_written_calls_nothing_again(endpoint, monkeypatch):
    class KilledError(BaseException):
        pass

    def die(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(SageMakerInvokeEndpointOperator, "read_answer", die)
        with pytest.raises(KilledError):
            run(make())

    assert run(make(result_expression="body")) == {"a": 1}
    assert len(endpoint.invocations("echo")) == 1


def test_a_task_killed_between_record_and_body_asks_again_and_takes_nothing_for_an_answer(endpoint, s3, told):
    run(make())
    s3.delete_object(Bucket="bucket", Key="answers/one.json")

    assert run(make(result_expression="body")) == {"a": 1}
    assert len(endpoint.invocations("echo")) == 2
    assert "The model is asked again" in told.text


def test_a_body_that_was_changed_is_not_taken_for_the_answer(endpoint, s3):
    run(make())
    s3.put_object(Bucket="bucket", Key="answers/one.json", Body=b'{"a": "forged"}')

    assert run(make(result_expression="body")) == {"a": 1}


@pytest.mark.parametrize("uri", ["s3://absent-bucket/one.json", "s3://absent-bucket/folder/"])
def test_a_place_that_cannot_be_written_is_refused_before_the_call(endpoint, s3, uri):
    with pytest.raises(StoredAnswerError, match=r"absent-bucket/.* cannot be written: FileNotFoundError"):
        run(make(output_uri=uri))

    assert endpoint.invocations("echo") == []
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["bucket"]


def test_a_worker_that_cannot_hold_a_stream_meanwhile_does_not_buy_it(endpoint, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")

    with pytest.raises(StoredAnswerError, match="TMPDIR") as caught:
        run(make(stream=True))
    assert not isinstance(caught.value, AirflowFailException)
    assert endpoint.invocations("echo") == []

    monkeypatch.undo()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", endpoint.connection_uri)
    assert run(make(stream=True, result_expression="body")) == {"a": 1}


def test_a_place_without_permission_is_refused_before_the_call(endpoint):
    endpoint.add_fault("s3:PUT", code="AccessDenied", for_seconds=60)

    with pytest.raises(StoredAnswerError, match="cannot be written: PermissionError") as caught:
        run(make())

    assert isinstance(caught.value, AirflowFailException)
    assert endpoint.invocations("echo") == []


@pytest.mark.parametrize("operator", ["sagemaker", "invoke_model", "converse"])
def test_an_invalid_request_neither_writes_nor_sends(endpoint, s3, operator):
    output = {"task_id": "t", "output_uri": URI}
    task = {
        "sagemaker": lambda: make(inference_id="x" * 65),
        "invoke_model": lambda: BedrockInvokeModelOperator(model_id="a b", input_data={}, **output),
        "converse": lambda: BedrockConverseOperator(model_id="a b", message="x", **output),
    }[operator]()

    with pytest.raises(RequestError, match="_id: is "):
        run(task)

    assert "Contents" not in s3.list_objects_v2(Bucket="bucket")
    assert not [name for name in endpoint.request_counts() if not name.startswith("s3:")]


def test_a_conversation_is_kept_and_read_back(endpoint, read):
    def turn():
        return BedrockConverseOperator(
            task_id="t",
            model_id="amazon.nova-pro-v1:0",
            message="Hello",
            output_uri=URI,
            result_expression="[text, history[-1].role, stop_reason]",
        )

    assert run(turn()) == run(turn())
    assert len(endpoint.invocations("amazon.nova-pro-v1:0")) == 1
    assert json.loads(read("answers/one.json") or b"")["stopReason"] == "end_turn"


def test_a_kept_conversation_keeps_its_words_out_of_xcom(endpoint):
    result = run(
        BedrockConverseOperator(task_id="t", model_id="amazon.nova-pro-v1:0", message="Hello", output_uri=URI)
    )

    assert set(result) == {"stop_reason", "usage", "metrics", "output_uri"}


def test_a_template_that_renders_to_nothing_is_no_place(endpoint):
    task = make(output_uri="{{ params.where }}")
    task.output_uri = ""  # as Airflow leaves it after rendering

    with pytest.raises(RequestError, match="output_uri: is a string of 0 characters"):
        run(task)
    assert endpoint.invocations("echo") == []


def as_rendered(task, **values):
    """Give a task as Airflow leaves it after rendering."""
    for name, value in values.items():
        setattr(task, name, value)
    return task


@pytest.mark.parametrize(
    ("rendered", "problem"),
    [
        (["s3://bucket/answer"], "output_uri: is a list of 1"),
        (5, "output_uri: is an int"),
        ("/tmp/answer", "output_uri: .* lacks a scheme"),
        ("bogus://bucket/answer", "of a scheme that no installed provider knows"),
    ],
    ids=str,
)
def test_an_answer_goes_to_a_place_in_object_storage_only(endpoint, rendered, problem):
    with pytest.raises(RequestError, match=problem):
        run(as_rendered(make(output_uri="{{ x }}"), output_uri=rendered))
    assert endpoint.invocations("echo") == []


@pytest.mark.parametrize(
    "rendered", [["s3://bucket/talk.json"], 5, "/tmp/talk.json", "bogus://bucket/talk"], ids=str
)
def test_a_conversation_is_kept_in_object_storage_only(aws, rendered):
    task = BedrockConverseOperator(task_id="t", model_id="m", message="Hello", history_uri="{{ x }}")

    with pytest.raises(RequestError, match="The place cannot be used"):
        run(as_rendered(task, history_uri=rendered))


def test_a_paid_answer_is_written_although_s3_stumbles(endpoint, monkeypatch):
    real = AnswerStore.announce

    def announce_then_stumble(store):
        real(store)
        endpoint.add_fault("s3:PUT", code="InvalidRequest", status=400, count=2)

    monkeypatch.setattr(AnswerStore, "announce", announce_then_stumble)
    run(make())
    monkeypatch.undo()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", endpoint.connection_uri)

    assert run(make(result_expression="body")) == {"a": 1}
    assert len(endpoint.invocations("echo")) == 1


def npy(*numbers):
    return {"payload": list(numbers), "content_type": "application/x-npy"}


UNFIT = {
    "NaN in npy": (npy(1.0, float("nan")), "result[value 0][1] is NaN or an infinity"),
    "infinity in JSON": ({"payload": b'{"a": 1e999}'}, "result[value 0][value 0] is NaN or an infinity"),
    "a long int": ({"payload": b"[99999999999999999999]"}, "result[value 0][0] is an int of 67 bits"),
    "a lone surrogate": ({"payload": b'["\\ud83d"]'}, "result[value 0][0] is text with a lone surrogate"),
    "such a key": ({"payload": b'{"\\ud83d": 1}'}, "result[value 0][key 0] is text with a lone surrogate"),
}


@pytest.mark.parametrize("unfit", UNFIT)
@pytest.mark.parametrize("stream", [False, True])
def test_what_xcom_cannot_carry_is_said_in_words_and_not_tried_again(endpoint, unfit, stream):
    request, words = UNFIT[unfit]

    with pytest.raises(ResponseError, match=re.escape(words)) as caught:
        run(make(**request, output_uri=None, stream=stream))

    assert isinstance(caught.value, AirflowFailException)
    assert caught.value.may_have_been_billed
    assert "output_uri" in caught.value.hint
    assert "decode=False" in caught.value.hint
    assert json.loads(caught.value.partial_body)["content_type"], (
        "the answer was paid for and is kept nowhere"
    )


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_kept_answer_that_xcom_cannot_carry_costs_nothing_again(endpoint, unfit):
    request, _ = UNFIT[unfit]
    with pytest.raises(ResponseError, match="kept at output_uri"):
        run(make(**request, result_expression="body"))

    assert run(make(**request))["output_uri"] == URI
    assert run(make(**request, result_expression="length(body)")) > 0
    assert isinstance(run(make(**request, result_expression="body", decode=False)), str)
    assert len(endpoint.invocations("echo")) == 1


def test_an_answer_that_the_expression_does_not_fit_is_a_part_of_the_error(endpoint):
    with pytest.raises(ResponseError, match="result_expression does not fit") as caught:
        run(make(output_uri=None, result_expression="length(body.a)"))

    assert json.loads(caught.value.partial_body)["body"] == {"a": 1}


def test_a_task_that_pushes_no_xcom_may_give_what_xcom_cannot_carry(endpoint):
    assert run(make(payload=b"[1e999]", output_uri=None, do_xcom_push=False))["body"] == [float("inf")]


def test_what_another_xcom_backend_can_carry_is_its_own_to_say(endpoint, monkeypatch):
    class Backend(BaseXCom):
        @staticmethod
        def serialize_value(value, **facts):
            return repr(value)

    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom", Backend)

    assert run(make(payload=b"[1e999]", output_uri=None))["body"] == [float("inf")]


def test_long_numbers_that_xcom_carries_are_none_of_these(endpoint):
    body = [2**64 - 1, -(2**63), 0.1234567890123456789, "12345678901234567890", True, None, "\U0001f600"]

    assert run(make(payload=body, output_uri=None))["body"] == body


def test_a_model_of_bedrock_is_no_exception(endpoint, monkeypatch):
    task = ask_bedrock(BedrockInvokeModelOperator, input_data=said(1), output_uri=None)
    monkeypatch.setattr(task, "ask", lambda _: Answer(b"[1e999]", {"content_type": "application/json"}))

    with pytest.raises(ResponseError, match="NaN or an infinity"):
        run(task)


def test_a_result_whose_size_cannot_be_told_is_given_as_it_is(told):
    make().mind_xcom({(1, 2): 3})

    assert told.lines == []
