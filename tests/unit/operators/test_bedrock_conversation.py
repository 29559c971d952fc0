"""The Converse operator over HTTP: attachments, histories, stops, limits; nothing is paid for twice."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import ObjectStoragePath
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    AnswerStoppedError,
    HistoryConflictError,
    PayloadError,
    RequestError,
    StoredAnswerError,
)
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator
from tests.airflow_versions import AirflowFailException
from tests.unit.running import run

NOVA = "amazon.nova-pro-v1:0"
CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
PROMPT = "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1"
QUICK = {"attempts": 2, "base": 0.01, "cap": 0.01}
CANARY = "CANARY-77aa"
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000030000000408020000000000000000")
TALK = "s3://bucket/talks/one.json"


def converse(**kwargs):
    given = {"task_id": "talk", "model_id": NOVA, "message": "Hello", "retry_args": QUICK, **kwargs}
    return BedrockConverseOperator(**given)


def asked(aws, model=NOVA):
    return [json.loads(seen.body) for seen in aws.invocations(model)]


def blocks_of(request, kind):
    return [block[kind] for message in request["messages"] for block in message["content"] if kind in block]


@pytest.fixture
def notes(s3):
    s3.put_object(Bucket="bucket", Key="notes.txt", Body=b"first line\nsecond line")
    s3.put_object(Bucket="bucket", Key="photo.jpg", Body=PNG)
    return "s3://bucket/notes.txt"


class TestAttachments:
    def test_documents_and_images_arrive_from_object_storage_paths_and_mappings(self, aws, notes, tmp_path):
        (tmp_path / "more.md").write_text("# Title\nthird line")
        documents = [notes, str(tmp_path / "more.md"), {"uri": notes, "context": "again"}]
        documents.append(ObjectStoragePath(f"file://{tmp_path}/more.md"))

        result = run(
            converse(
                message="line 2 of document-1, line 2 of document-2",
                documents=documents,
                images="s3://bucket/photo.jpg",
            )
        )

        assert 'Line 2 of document-1 reads: "second line"' in result["text"]
        assert 'Line 2 of document-2 reads: "third line"' in result["text"]
        assert "image (png): 3x4 pixels" in result["text"]
        (request,) = asked(aws)
        names = [document["name"] for document in blocks_of(request, "document")]
        assert names == ["document-1", "document-2", "document-3", "document-4"]

    @pytest.mark.parametrize("stream", [False, True])
    def test_what_the_model_cites_is_part_of_the_text_and_of_the_conversation(self, aws, notes, stream):
        cited = {"uri": notes, "citations": {"enabled": True}}
        ask = {"documents": [cited], "history_uri": TALK, "resend_documents": True, "stream": stream}

        first = run(converse(message="line 1 of document-1, line 2 of document-1", **ask))
        run(converse(task_id="next", message="And?", **ask))

        quoted = 'Line 1 of document-1 reads: "first line". Line 2 of document-1 reads: "second line".'
        assert quoted in first["text"]
        blocks = [block["citationsContent"] for block in first["message"]["content"] if "text" not in block]
        assert [block["citations"][0]["title"] for block in blocks] == ["document-1", "document-1"]
        assert blocks[1]["citations"][0]["location"]["documentChar"]["start"] == len("first line\n")
        later = aws.invocations(NOVA)[1]
        assert json.loads(later.body)["messages"][1]["content"][1] == {"citationsContent": blocks[0]}

    def test_a_document_alone_gets_the_text_that_it_needs(self, aws, notes):
        result = run(converse(message=None, documents=notes))

        assert "I read document-1 (txt): 2 lines" in result["text"]

    def test_locations_are_sent_where_the_model_reads_s3_itself(self, aws, notes):
        result = run(
            converse(message="line 1 of notes", documents=[notes], send_as="s3", document_names="own")
        )

        assert "first line" in result["text"]
        (request,) = asked(aws)
        (document,) = blocks_of(request, "document")
        assert document == {"name": "notes", "format": "txt", "source": {"s3Location": {"uri": notes}}}

    def test_limits_are_checked_before_the_call_unless_validate_says_no(self, aws, s3):
        s3.put_object(Bucket="bucket", Key="huge.png", Body=PNG[:16] + (9000).to_bytes(4, "big") + PNG[20:])
        huge = {"images": "s3://bucket/huge.png", "message": "Look"}

        with pytest.raises(PayloadError, match="9000 x 4 pixels"):
            run(converse(**huge))
        with pytest.raises(PayloadError, match="9000 x 4 pixels"):
            run(converse(**huge, validate=["max"]))
        assert asked(aws) == []
        for loose in (False, ["min"], {"max": False}):
            with pytest.raises(Exception, match="ValidationException"):
                run(converse(**huge, validate=loose))
        assert aws.request_counts()["bedrock:Converse"] == 3

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"documents": "s3://bucket/absent.txt"}, r"documents\[0\]: is unreadable: FileNotFoundError"),
            ({"images": "s3://bucket/notes.txt"}, r"images\[0\]: .* no readable image"),
            ({"message": None}, "message: is a NoneType"),
            ({"message": " ", "documents": "s3://bucket/notes.txt"}, r"message\[0\]: is blank text"),
            ({"message": {"text": "Look"}, "documents": "s3://bucket/notes.txt"}, "message: is a dict"),
            ({"message": [None], "history_uri": TALK}, r"message\[0\]: is a NoneType"),
            ({"message": object(), "history_uri": TALK}, "value of type object"),
            ({"message": [{"document": {"source": {"text": "x"}}}, "x"]}, r"message\[0\].document.name"),
            ({"history": [], "history_uri": TALK}, "history / history_uri: is both"),
        ],
    )
    def test_what_cannot_be_sent_is_refused_before_the_call(self, aws, notes, arguments, problem):
        with pytest.raises(RequestError, match=problem) as caught:
            run(converse(**arguments))

        assert isinstance(caught.value, AirflowFailException)
        assert asked(aws) == []

    @pytest.mark.parametrize("wrong", [{"send_as": "mail"}, {"document_names": "mine"}, {"schema_mode": "x"}])
    def test_an_option_that_there_is_not_is_refused_at_once(self, wrong):
        with pytest.raises(RequestError, match=next(iter(wrong))):
            converse(**wrong)

    def test_a_managed_prompt_needs_no_message(self, aws):
        result = run(
            converse(
                model_id=PROMPT,
                message=None,
                prompt_variables={"city": {"text": "Rome"}},
                stamp_metadata=False,
            )
        )

        assert "city=Rome" in result["text"]
        assert "history" not in result
        (request,) = asked(aws, PROMPT)
        assert set(request) == {"promptVariables"}

    def test_a_history_is_appended_to_a_managed_prompt_whose_own_message_came_first(self, aws):
        history = [{"role": "assistant", "content": [{"text": "Rome."}]}]

        result = run(converse(model_id=PROMPT, message="And?", history=history, stamp_metadata=False))

        assert [said["role"] for said in result["history"]] == ["assistant", "user", "assistant"]
        assert "turn 2" in result["text"]

    def test_the_result_of_a_managed_prompt_s_own_tool_can_be_given(self, aws):
        use = {"toolUseId": "t1", "name": "add", "input": {"a": 1}}
        answered = {"toolResult": {"toolUseId": "t1", "content": [{"text": "2"}]}}
        history = [{"role": "assistant", "content": [{"toolUse": use}]}]

        run(converse(model_id=PROMPT, message=[answered], history=history, stamp_metadata=False))

        (request,) = asked(aws, PROMPT)
        assert request["messages"][-1]["content"] == [answered]
        with pytest.raises(RequestError, match="message: is with 1 results"):
            run(converse(model_id=PROMPT, message=[answered], stamp_metadata=False))


class TestHistory:
    def test_a_conversation_goes_on_across_tasks_and_stays_out_of_xcom(self, aws, s3, read):
        first = run(converse(message="My name is Ada", history_uri=TALK))
        second = run(converse(task_id="next", message="What is my name?", history_uri=TALK), run_id="later")

        assert "Your name is Ada." in second["text"]
        assert first["history_uri"] == TALK
        assert "history" not in second
        kept = json.loads(read("talks/one.json"))
        assert kept["format"] == "airflow-provider-aiml.history"
        assert [len(turn["messages"]) for turn in kept["turns"]] == [2, 2]

    def test_a_retry_finds_its_turn_in_the_history_and_pays_for_nothing(self, aws, s3):
        first = run(converse(history_uri=TALK))
        again = run(converse(history_uri=TALK), try_number=2)

        assert again == first
        assert len(asked(aws)) == 1

    def test_a_retry_finds_its_turn_though_the_conversation_went_on(self, aws, s3):
        first = run(converse(history_uri=TALK))
        run(converse(task_id="next", history_uri=TALK))

        assert run(converse(history_uri=TALK), try_number=2) == first
        assert len(asked(aws)) == 2

    def test_a_retry_that_finds_its_turn_gives_what_the_first_try_gave(self, aws, s3):
        ask = {"history_uri": TALK, "output_uri": "s3://bucket/answers/", "result_expression": "@"}

        first = run(converse(**ask))

        assert run(converse(**ask), try_number=2) == first
        assert first["output_uri"].startswith("s3://bucket/answers/")
        assert len(asked(aws)) == 1

    def test_reinvoke_says_it_once_more(self, aws, s3, read):
        run(converse(history_uri=TALK))
        run(converse(history_uri=TALK, reinvoke=True))

        assert len(asked(aws)) == 2
        assert len(json.loads(read("talks/one.json"))["turns"]) == 2

    def test_documents_sent_once_are_not_sent_again(self, aws, notes, told):
        ask = {"documents": [notes], "images": ["s3://bucket/photo.jpg"], "history_uri": TALK}
        run(converse(message="Read", **ask))
        run(converse(task_id="second", message="And?", **ask))
        run(converse(task_id="third", message=None, **ask))

        first, second, third = asked(aws)
        assert len(blocks_of(first, "document")) == len(blocks_of(first, "image")) == 1
        for later in (second, third):
            assert blocks_of(later, "document") == blocks_of(later, "image") == []
        mention = "[document document-1 (txt): sent earlier, not sent again]"
        assert mention in blocks_of(second, "text")
        assert third["messages"][-1]["content"] == [{"text": "See what is attached."}]
        assert told.text.count("2 of what is attached stand in the conversation already") == 2

    def test_each_file_is_read_once_in_a_try(self, aws, notes):
        def objects_read(**ask):
            before = aws.request_counts().get("s3:GET", 0)
            run(converse(message="Read", **ask))
            return aws.request_counts()["s3:GET"] - before

        files = {"documents": [notes], "images": ["s3://bucket/photo.jpg"]}

        history = objects_read(history_uri=TALK)
        assert objects_read(history_uri="s3://bucket/talks/two.json", **files) - history == 2

    def test_documents_are_sent_again_where_that_is_asked_and_once_each(self, aws, notes):
        run(converse(message="Read", documents=[notes], history_uri=TALK))
        second = run(
            converse(
                task_id="second",
                message="line 2 of document-1",
                documents=[notes],
                history_uri=TALK,
                resend_documents=True,
            )
        )

        assert "second line" in second["text"]
        assert len(blocks_of(asked(aws)[1], "document")) == 1

    def test_what_a_tool_returned_is_not_sent_again_either(self, aws, s3):
        shot = {"toolSpec": {"name": "shot", "inputSchema": {"json": {"type": "object"}}}}
        asked_for = {"tool_config": {"tools": [shot]}, "history_uri": TALK}
        first = run(converse(message="use tool shot with {}", result_expression="message", **asked_for))
        (use,) = [block["toolUse"] for block in first["content"] if "toolUse" in block]
        image = {"image": {"format": "png", "source": {"bytes": PNG}}}
        result = [{"toolResult": {"toolUseId": use["toolUseId"], "content": [image]}}]

        run(converse(task_id="b", message=result, **asked_for))
        run(converse(task_id="c", message="And?", **asked_for))
        run(converse(task_id="d", message="And?", **asked_for, resend_documents=True))

        sent = [blocks_of(request, "toolResult")[0]["content"] for request in asked(aws)[1:]]
        mention = {"text": "[image (png): sent earlier, not sent again]"}
        assert ["image" in content[0] for content in sent] == [True, False, True]
        assert sent[1] == [mention]

    def test_another_document_gets_a_name_of_its_own(self, aws, notes, s3):
        s3.put_object(Bucket="bucket", Key="other.txt", Body=b"other")
        run(converse(message="Read", documents=[notes], history_uri=TALK))
        run(converse(task_id="b", message="Read", documents=["s3://bucket/other.txt"], history_uri=TALK))

        (document,) = blocks_of(asked(aws)[1], "document")
        assert document["name"] == "document-2"

    def test_a_document_within_the_message_keeps_its_name_too(self, aws, notes):
        block = {"document": {"name": "document-1", "format": "txt", "source": {"text": "x"}}}

        run(converse(message=[block, "Read"], documents=[notes]))

        (request,) = asked(aws)
        names = [document["name"] for document in blocks_of(request, "document")]
        assert names == ["document-2", "document-1"]

    def test_a_history_in_a_list_is_sent_as_it_is(self, aws, notes):
        first = run(converse(message="Read", documents=[notes]))
        second = run(converse(message="line 1 of document-1", documents=[notes], history=first["history"]))

        assert "first line" in second["text"]
        assert len(blocks_of(asked(aws)[1], "document")) == 1

    def test_of_two_writers_the_second_is_told_and_its_answer_kept_beside(self, aws, s3, read, told):
        other = converse(task_id="other", history_uri=TALK)

        class Slow(BedrockConverseOperator):
            def converse(self, request):
                response = super().converse(request)
                run(other)
                return response

        with pytest.raises(
            HistoryConflictError, match=r"kept at s3://bucket/talks/one.json\.\w+\.json"
        ) as caught:
            run(Slow(task_id="slow", model_id=NOVA, message=f'Say "{CANARY}"', history_uri=TALK))

        assert caught.value.retryable
        (turn,) = json.loads(read("talks/one.json"))["turns"]
        assert "Hello" in json.dumps(turn)
        listed = s3.list_objects_v2(Bucket="bucket", Prefix="talks/one.json.")["Contents"]
        kept = {found["Key"]: read(found["Key"]).decode() for found in listed}
        assert [CANARY in content for name, content in kept.items() if not name.endswith(".aiml.json")] == [
            True
        ]
        assert CANARY not in told.text

    def test_a_history_may_lie_in_a_file(self, aws, tmp_path):
        place = f"file://{tmp_path}/talk.json"
        run(converse(message="My name is Ada", history_uri=place))

        assert "Ada" in run(converse(task_id="b", message="What is my name?", history_uri=place))["text"]

    def test_another_connection_in_the_place_is_used(self, aws, s3, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", aws.connection_uri)
        place = "s3://other@bucket/talk.json"
        run(converse(message="My name is Ada", history_uri=place))

        assert "Ada" in run(converse(task_id="b", message="What is my name?", history_uri=place))["text"]

    @pytest.mark.parametrize("content", [b"not json", b"{}", b'{"format": "camunda"}'])
    def test_an_object_that_is_no_history_is_refused_before_the_call(self, aws, s3, content):
        s3.put_object(Bucket="bucket", Key="talks/one.json", Body=content)

        with pytest.raises(RequestError, match="history_uri"):
            run(converse(history_uri=TALK))
        assert asked(aws) == []

    @pytest.mark.parametrize(("model", "carried"), [(NOVA, False), (CLAUDE, True)])
    def test_reasoning_goes_back_to_a_model_that_signs_it_alone(self, aws, s3, model, carried):
        extra = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
        ask = {"model_id": model, "history_uri": TALK, "additional_model_request_fields": extra}

        first = run(converse(**ask))
        run(converse(task_id="next", **ask))

        assert "reasoningContent" in first["message"]["content"][0]
        assert bool(blocks_of(asked(aws, model)[1], "reasoningContent")) is carried

    def test_a_history_with_calls_of_tools_needs_the_tools_and_each_result(self, aws):
        use = {"toolUse": {"toolUseId": "t", "name": "add", "input": {}}}
        result = {"toolResult": {"toolUseId": "t", "content": [{"text": "3"}]}}
        history = [
            {"role": "user", "content": "1+2"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
            {"role": "assistant", "content": "3"},
        ]

        with pytest.raises(RequestError, match="tools / tool_config: is missing"):
            run(converse(history=history))

        tools = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}]}
        history[2]["content"] = "and?"
        with pytest.raises(RequestError, match=r"history\[2\].content: is without the results of 1 of"):
            run(converse(history=history, tool_config=tools))
        assert asked(aws) == []

    def test_a_history_that_cannot_be_written_fails_before_anything_is_paid_for(self, aws, s3):
        aws.add_fault("s3:PUT", code="AccessDenied", status=403, for_seconds=60)

        with pytest.raises(StoredAnswerError, match="cannot be written") as caught:
            run(converse(history_uri=TALK))
        assert asked(aws) == []
        assert not caught.value.may_have_been_billed

    def test_a_history_that_cannot_be_read_says_so(self, aws):
        with pytest.raises(StoredAnswerError, match="s3://absent/x cannot be read"):
            run(converse(history_uri="s3://absent/x"))


class TestStops:
    @pytest.mark.parametrize("output_uri", [None, "s3://bucket/answers/one.json"])
    def test_a_cut_off_answer_fails_and_is_kept_and_is_not_bought_again(
        self, aws, s3, read, told, output_uri
    ):
        cut = {"message": f"Write 500 words about {CANARY}", "max_tokens": 5, "output_uri": output_uri}

        with pytest.raises(AnswerStoppedError, match=r"stopped with max_tokens.*raise max_tokens") as caught:
            run(converse(**cut))

        assert caught.value.stop_reason == "max_tokens"
        assert caught.value.result["message"]["content"][0]["text"]
        assert isinstance(caught.value, AirflowFailException)
        assert CANARY not in told.text
        if output_uri:
            with pytest.raises(AnswerStoppedError):
                run(converse(**cut), try_number=2)
            assert len(asked(aws)) == 1
            assert json.loads(read("answers/one.json"))["stopReason"] == "max_tokens"

    @pytest.mark.parametrize(
        "fault", ["content-filtered", "context-window-exceeded", "malformed-output", "malformed-tool-use"]
    )
    def test_each_stop_that_is_no_answer_fails_by_default(self, aws, fault):
        with pytest.raises(AnswerStoppedError):
            run(converse(model_id=f"test.{fault}-v1:0"))

    def test_a_guardrail_that_intervenes_fails_and_keeps_what_it_said_out_of_the_error(self, aws):
        guardrail = {"guardrailIdentifier": "localguardrail", "guardrailVersion": "1"}

        with pytest.raises(AnswerStoppedError, match="guardrail_intervened") as caught:
            run(converse(message="BLOCKED", guardrail_config=guardrail))

        assert "Sorry" in json.dumps(caught.value.result)
        assert "Sorry" not in str(caught.value)

    def test_a_task_may_accept_a_stop(self, aws):
        result = run(converse(message="Write 50 words", max_tokens=5, fail_on=["content_filtered"]))

        assert result["stop_reason"] == "max_tokens"

    def test_a_stopped_turn_does_not_enter_the_conversation(self, aws, s3, read):
        with pytest.raises(AnswerStoppedError):
            run(converse(message="Write 50 words", max_tokens=5, history_uri=TALK))

        assert read("talks/one.json") is None


class TestInputLimit:
    def test_a_request_that_is_too_large_is_not_sent(self, aws):
        with pytest.raises(RequestError, match=r"max_input_tokens: is exceeded by a request of \d+ tokens"):
            run(converse(model_id=CLAUDE, message="word " * 200, max_input_tokens=50))

        assert asked(aws, CLAUDE) == []
        assert aws.request_counts()["bedrock:CountTokens"] == 1

    def test_a_request_that_fits_is_sent(self, aws):
        assert run(converse(model_id=CLAUDE, max_input_tokens="1000"))["text"]

    def test_a_model_that_cannot_count_is_said_to_be_unchecked(self, aws, told):
        assert run(converse(max_input_tokens=1))["text"]
        assert "max_input_tokens is unchecked" in told.text

    def test_a_missing_permission_to_count_fails_before_anything_is_paid_for(self, aws):
        aws.add_fault("CountTokens", code="AccessDeniedException", status=403, count=5)

        with pytest.raises(AccessDeniedError, match="bedrock:CountTokens"):
            run(converse(model_id=CLAUDE, max_input_tokens=1000))
        assert asked(aws, CLAUDE) == []
