import json
import string
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.protocol.envelope import (
    Envelope,
    InvalidEnvelope,
    NotAMessage,
    Sender,
    binary_frame,
    decode_envelope,
    encode_envelope,
    is_request_id,
)
from host.protocol.errors import WireError

MEMBERS = ("type", "requestId", "sessionId", "machineKey", "replyTo", "from", "payload", "error")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
near_envelopes = st.dictionaries(st.sampled_from(MEMBERS) | st.text(), json_values, max_size=8)
text = st.text(st.characters(exclude_categories=["Cs"]))
wire_errors = st.builds(
    WireError,
    code=text,
    message=text,
    details=st.none() | st.dictionaries(text, st.integers(-(2**53), 2**53) | text, max_size=3),
)
envelopes = st.builds(
    Envelope,
    type=text,
    request_id=st.none() | text,
    session_id=st.none() | text,
    machine_key=st.none() | text,
    reply_to=st.none() | text,
    from_=st.none() | st.builds(Sender, connection_id=text, device=st.none() | text),
    payload=json_values.map(lambda value: msgspec.Raw(json.dumps(value).encode("utf-8", "surrogatepass"))),
    error=st.none() | wire_errors,
)


def decoded_or_refused(frame: bytes) -> Envelope | None:
    try:
        return decode_envelope(frame)
    except (NotAMessage, InvalidEnvelope):
        return None


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_the_two_refusals(frame: bytes) -> None:
    decoded_or_refused(frame)


@given(json_values | near_envelopes)
def test_no_json_raises_anything_but_the_two_refusals(value: Any) -> None:
    envelope = decoded_or_refused(json.dumps(value).encode())

    if envelope is not None:
        assert isinstance(value, dict)
        assert envelope.type == value["type"]


@given(near_envelopes, st.integers(0, 200), st.binary(max_size=3))
def test_no_damaged_message_raises_anything_but_the_two_refusals(value: Any, at: int, garbage: bytes) -> None:
    frame = json.dumps({**value, "type": "fs_read"}, ensure_ascii=False).encode("utf-8", "surrogatepass")

    decoded_or_refused(frame[:at] + garbage + frame[at:])
    decoded_or_refused(frame[:at])


@given(envelopes)
def test_what_was_encoded_is_decoded_to_the_same(envelope: Envelope) -> None:
    again = decode_envelope(encode_envelope(envelope))

    assert bytes(again.payload) == bytes(envelope.payload)
    assert msgspec.structs.replace(again, payload=envelope.payload) == envelope


def test_names_on_the_wire_are_the_contracts_and_absent_members_are_left_out() -> None:
    whole = Envelope(
        "fs_read",
        request_id="r",
        session_id="s",
        machine_key="m",
        reply_to="c",
        from_=Sender("c", "phone"),
        payload=msgspec.Raw(b'{"path":""}'),
        error=WireError("CONFLICT", "No.", {"etag": "e"}),
    )

    assert json.loads(encode_envelope(whole)) == {
        "type": "fs_read",
        "requestId": "r",
        "sessionId": "s",
        "machineKey": "m",
        "replyTo": "c",
        "from": {"connectionId": "c", "device": "phone"},
        "payload": {"path": ""},
        "error": {"code": "CONFLICT", "message": "No.", "details": {"etag": "e"}},
    }
    bare = json.loads(encode_envelope(Envelope("fs_read")))
    assert bare.pop("payload", {}) == {}
    assert bare == {"type": "fs_read"}


def test_members_that_are_not_known_are_ignored() -> None:
    envelope = decode_envelope(b'{"type":"fs_read","later":{"x":[1]},"from":{"connectionId":"c","more":1}}')

    assert envelope == Envelope("fs_read", from_=Sender("c"), payload=envelope.payload)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"null",
        b"5",
        b"[]",
        b"{}",
        b'"fs_read"',
        b'{"type":5}',
        b'{"type":null}',
        b'{"type":{"a":1},"payload":{}}',
        b'{"requestId":5,"type":1e999}',
        b'{"requestId":5,"type":' + b"9" * 5000 + b"}",
        b'\xff{"type":"fs_read"}',
        b'{"type":"fs_read","payload":"\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"type":"fs_read"} {"type":"fs_read"}',
        b"[" * 100_000,
        b'{"type":"fs_read","payload":' + b"[" * 100_000,
        b'{"type":"fs_read","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda frame: frame[:20].decode("ascii", "replace"),
)
def test_what_is_no_message_is_told_apart(frame: bytes) -> None:
    with pytest.raises(NotAMessage):
        decode_envelope(frame)


def test_the_request_id_of_what_is_no_message_is_kept_if_it_can_be_read() -> None:
    with pytest.raises(NotAMessage) as raised:
        decode_envelope(b'{"requestId":"r1"}')
    assert raised.value.request_id == "r1"

    for unusable in (
        b'{"requestId":5}',
        b'{"requestId":""}',
        b'{"requestId":"\\n"}',
        b'{"requestId":"%s"}' % (b"x" * 129),
    ):
        with pytest.raises(NotAMessage) as raised:
            decode_envelope(unusable)
        assert raised.value.request_id is None


def test_the_request_id_in_a_binary_frame_is_kept_if_it_can_be_read() -> None:
    assert binary_frame(b'{"type":"fs_read","requestId":"r1"}').request_id == "r1"
    for unusable in (b"", b"\xff\x00", b"[]", b'{"requestId":"\xff"}', b'{"requestId":"\n"}', b"[" * 100_000):
        assert binary_frame(unusable).request_id is None


@pytest.mark.parametrize("escape", [rb"\ud800", rb"\uDFFF", rb"a\uD83Db", rb"\udc00\ud800"])
def test_a_lone_surrogate_makes_a_message_invalid_and_its_asker_is_told(escape: bytes) -> None:
    with pytest.raises(InvalidEnvelope) as raised:
        decode_envelope(b'{"type":"fs_read","requestId":"r1","payload":{"path":"%s"}}' % escape)
    assert raised.value.request_id == "r1"
    assert [error["field"] for error in raised.value.details["errors"]] == ["payload"]


def test_a_lone_surrogate_beside_other_faults_is_refused_for_those() -> None:
    with pytest.raises(InvalidEnvelope) as raised:
        decode_envelope(rb'{"type":"fs_read","requestId":"r1","sessionId":7,"payload":"\ud800"}')
    assert [error["field"] for error in raised.value.details["errors"]] == ["sessionId"]
    for no_message in (rb'{"type":7,"payload":"\ud800"}', rb'{"type":"fs_read","payload":"\ud800"', rb'["\ud800"]'):
        with pytest.raises(NotAMessage):
            decode_envelope(no_message)


def test_a_lone_surrogate_in_the_request_id_leaves_none_to_answer_to() -> None:
    with pytest.raises(InvalidEnvelope) as raised:
        decode_envelope(rb'{"type":"fs_read","requestId":"\ud800"}')
    assert raised.value.request_id is None


def test_a_pair_of_surrogates_is_text() -> None:
    assert decode_envelope(rb'{"type":"\ud83d\ude00"}').type == "😀"


@pytest.mark.parametrize(
    ("member", "value", "field"),
    [
        ("requestId", 5, "requestId"),
        ("sessionId", ["x"], "sessionId"),
        ("machineKey", {}, "machineKey"),
        ("from", "phone", "from"),
        ("from", {"device": "phone"}, "from"),
        ("error", {"code": 5, "message": "x"}, "error.code"),
    ],
)
def test_a_wrong_member_is_named(member: str, value: object, field: str) -> None:
    with pytest.raises(InvalidEnvelope) as raised:
        decode_envelope(json.dumps({"requestId": "r1", "type": "fs_read", member: value}).encode())

    assert raised.value.request_id == (None if member == "requestId" else "r1")
    assert [error["field"] for error in raised.value.details["errors"]] == [field]
    assert raised.value.to_wire().code == "INVALID_REQUEST"


@pytest.mark.parametrize("request_id", ["a", " ", "~", "x" * 128, string.printable[:95]])
def test_request_ids_are_1_to_128_printable_ascii_characters(request_id: str) -> None:
    assert is_request_id(request_id)


@pytest.mark.parametrize("request_id", ["", "x" * 129, "\n", "\x7f", "é", "\u202e", "a\0"])
def test_other_texts_are_no_request_ids(request_id: str) -> None:
    assert not is_request_id(request_id)
