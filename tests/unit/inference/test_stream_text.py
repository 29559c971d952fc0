"""Text, lines, JSON and server-sent events, wherever the pieces are cut."""

from __future__ import annotations

import pytest
from airflow_provider_aiml.exceptions import RequestError, ResponseError
from airflow_provider_aiml.inference.stream_text import (
    JsonLines,
    Lines,
    ServerSentEvent,
    ServerSentEvents,
    Text,
    join_text,
    read_pieces,
)


def read(reader, *pieces):
    return list(read_pieces(reader, pieces))


def test_a_character_is_given_once_it_is_whole():
    text = Text()
    face = "😀".encode()

    assert [text.feed(face[index : index + 1]) for index in range(4)] == [[], [], [], ["😀"]]
    assert text.end() == []


def test_a_byte_order_mark_is_left_out_at_the_begin_only():
    mark = "\ufeff".encode()

    assert read(Text(), mark[:1], mark[1:] + b"a", mark) == ["a", "\ufeff"]
    assert read(Text(), mark) == []


def test_text_may_be_of_another_charset():
    assert read(Text("utf-16-le"), b"a", b"\0b\0") == ["ab"]
    assert read(Text("latin-1"), b"\xe9") == ["é"]


@pytest.mark.parametrize("charset", ["no-such", "hex", "a\0b"])
def test_a_charset_that_is_none_is_refused(charset):
    with pytest.raises(RequestError, match="charset"):
        Text(charset)


def test_text_that_is_cut_within_a_character_is_an_error_with_what_is_left():
    with pytest.raises(ResponseError, match="ends within a character") as raised:
        read(Text(), b"abc\xf0\x9f")
    assert raised.value.partial_body == b"\xf0\x9f"


def test_bytes_that_are_no_text_are_an_error_with_those_bytes():
    with pytest.raises(ResponseError, match="not text") as raised:
        read(Text(), b"\xc3", b"(canary")
    assert raised.value.partial_body == b"\xc3(canary"
    assert "canary" not in str(raised.value)


def test_lines_end_in_either_way_and_the_last_one_needs_no_end():
    assert read(Lines(), b"a\r", b"\n\nb", b"\nc") == ["a", "", "b", "c"]
    assert read(Lines(), b"a\n") == ["a"]
    assert read(Lines()) == []


def test_json_lines_skip_what_is_blank():
    assert read(JsonLines(), b'{"a": 1}\n\n  \r\n[2', b']\n"3"') == [{"a": 1}, [2], "3"]


def test_a_line_that_is_not_json_is_named_by_its_number():
    with pytest.raises(ResponseError, match="Line 3 of the stream is not JSON") as raised:
        read(JsonLines(), b'1\n\n{"canary": \n')
    assert raised.value.partial_body == b'{"canary": '
    assert "canary" not in str(raised.value)


def test_server_sent_events_have_type_data_and_id():
    stream = b": a comment\r\nid: 7\nevent: token\ndata: one\ndata:two\n\ndata\n\nretry: 10\nother: x\n\n"

    assert read(ServerSentEvents(), stream) == [
        ServerSentEvent("one\ntwo", "token", "7"),
        ServerSentEvent("", "message", "7"),
    ]


def test_an_id_with_a_null_is_ignored():
    assert read(ServerSentEvents(), b"id: a\0b\ndata: x\n\n") == [ServerSentEvent("x")]


def test_lone_returns_end_lines_too():
    assert read(ServerSentEvents(), b"data: a\r", b"\n\r", b"data: b\r\r") == [
        ServerSentEvent("a"),
        ServerSentEvent("b"),
    ]


def test_an_event_at_the_end_needs_no_empty_line():
    assert read(ServerSentEvents(), b"data: [DONE]\n") == [ServerSentEvent("[DONE]")]


def test_an_event_that_is_cut_within_a_line_is_an_error():
    with pytest.raises(ResponseError, match="within a line") as raised:
        read(ServerSentEvents(), b"data: a\ndata: b")
    assert raised.value.partial_body == b"a\ndata: b"


def test_halves_of_a_surrogate_pair_are_one_character_again():
    assert join_text(["a\ud83d", "\ude00b"]) == "a😀b"
    assert join_text(["a\ud83d"]) == "a�"
