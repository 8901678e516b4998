"""The CLI's output in lines."""

import time

from hypothesis import given
from hypothesis import strategies as st

from host.agents.claude.framer import Framer
from host.protocol.limits import MIB


@given(st.lists(st.binary(max_size=30)), st.integers(1, 10))
def test_lines_do_not_depend_on_how_they_come(lines: list[bytes], piece_bytes: int) -> None:
    sent = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    framer = Framer()
    pieces = [sent[start : start + piece_bytes] for start in range(0, len(sent), piece_bytes)]
    framed = [line for piece in pieces for line in framer.feed(piece)]
    assert framed == [line for line in sent.split(b"\n") if line]


def test_other_separators_end_no_line() -> None:
    line = "a\r b\u2028 c\u0085 d\x0b".encode()
    assert Framer().feed(line + b"\n") == [line]


def test_what_has_no_end_yet_waits_for_it() -> None:
    framer = Framer()
    assert framer.feed(b'{"half') == []
    assert framer.feed(b'":1}\n') == [b'{"half":1}']


def test_a_line_of_64_mb_in_pieces_takes_no_time_to_speak_of() -> None:
    framer, piece = Framer(), b"x" * 65_536
    began_s = time.thread_time()
    for _ in range(64 * MIB // len(piece)):
        assert framer.feed(piece) == []
    (line,) = framer.feed(b"\n")
    assert len(line) == 64 * MIB
    assert time.thread_time() - began_s < 5, "Its time would grow with the square of the length."


def test_a_line_past_the_bound_is_dropped_and_the_next_one_is_read() -> None:
    framer = Framer(max_line_bytes=10)
    assert framer.feed(b"12345678901") == []
    assert framer.feed(b"2345\nnext\n") == [b"next"]
    assert framer.feed(b"x" * 11 + b"\nafter\n") == [b"after"]
    assert framer.dropped == 2
