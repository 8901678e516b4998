"""Lines of the CLI, understood."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.agents.claude.stream_json import (
    ControlRequest,
    Init,
    Result,
    StateChanged,
    TaskStarted,
    UnreadableLine,
    User,
    parse,
)


def test_a_known_line_is_read_whatever_else_it_holds() -> None:
    line = b'{"type":"system","subtype":"init","model":"m","tools":["Bash"],"permissionMode":"plan","new":{"a":[1]}}'
    assert parse(line) == Init(model="m", tools=["Bash"], permission_mode="plan")


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"keep_alive"}',
        b'{"type":"system","subtype":"brand_new","state":1}',
        b'{"type":"system"}',
        b'{"type":"progress","data":{}}',
    ],
)
def test_unknown_types_mean_nothing(line: bytes) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b'{"type":"result"',
        b"[]",
        b'"text"',
        b'{"type":5}',
        b'{"type":"control_request","request_id":"1"}',
        b'{"type":"user","message":{"content":"\xff"}}',
        b'{"type":"user","message":{"content":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"type":"assistant","message":{"content":[{"type":"tool_use","input":' + b'{"a":' * 100_000 + b"}",
    ],
    ids=["words", "half", "a list", "a string", "a number", "too little", "no UTF-8", "deep", "deep and half"],
)
def test_broken_lines_are_told_apart(line: bytes) -> None:
    with pytest.raises(UnreadableLine):
        parse(line)


@given(st.binary(max_size=200))
def test_nothing_but_an_unreadable_line_is_ever_raised(line: bytes) -> None:
    try:
        parse(line)
    except UnreadableLine:
        return


def test_what_a_question_suggests_may_be_anything() -> None:
    line = {
        "type": "control_request",
        "request_id": "1",
        "request": {"subtype": "can_use_tool", "tool_name": "X", "input": 5, "permission_suggestions": "?"},
    }
    asked = parse(msgspec.json.encode(line))
    assert isinstance(asked, ControlRequest)
    assert asked.request.input == 5


def test_members_that_a_version_leaves_out_do_no_harm() -> None:
    assert parse(b'{"type":"result"}') == Result()
    assert parse(b'{"type":"system","subtype":"session_state_changed","state":"idle"}') == StateChanged("idle")
    assert parse(b'{"type":"system","subtype":"task_started","task_id":"t"}') == TaskStarted("t")


def test_a_line_of_4_mb_is_read() -> None:
    content = "é" * 2_000_000
    line = msgspec.json.encode(
        {
            "type": "user",
            "message": {"content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
            "tool_use_result": {"type": "update", "content": content, "structuredPatch": []},
        }
    )
    assert len(line) > 4_000_000
    user = parse(line)
    assert isinstance(user, User)
    assert isinstance(user.message.content, list)
