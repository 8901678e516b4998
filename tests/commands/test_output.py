from hypothesis import given
from hypothesis import strategies as st

from host.commands.output import MAX_SENT_BYTES, MAX_TAIL_BYTES, Chunk, Output


def sent(output: Output) -> str:
    return "".join(chunk.text for chunk in output.chunks())


def test_neighbours_of_one_channel_become_one_chunk_and_the_order_stays() -> None:
    output = Output()
    for channel, data in (("stdout", b"a"), ("stdout", b"b"), ("stderr", b"c"), ("stdout", b"d")):
        output.feed(channel, data)  # type: ignore[arg-type]
    assert output.chunks() == [Chunk("stdout", "ab"), Chunk("stderr", "c"), Chunk("stdout", "d")]
    assert output.chunks() == []


def test_a_character_that_a_read_cut_in_two_is_sent_whole() -> None:
    output = Output()
    euro = "€".encode()
    output.feed("stdout", b"1 " + euro[:1])
    assert sent(output) == "1 "
    output.feed("stderr", b"between")
    output.feed("stdout", euro[1:])
    assert output.chunks() == [Chunk("stderr", "between"), Chunk("stdout", "€")]


def test_bytes_that_are_no_text_are_replaced_also_at_the_end() -> None:
    output = Output()
    output.feed("stdout", b"a\xffb\xe2\x82")
    output.finish()
    assert sent(output) == "a\ufffdb\ufffd"
    assert not output.truncated


def test_past_the_limit_nothing_is_sent_and_the_tail_is_the_last_of_everything() -> None:
    output = Output()
    flood = b"".join(b"%07d\n" % number for number in range(MAX_SENT_BYTES // 8 + 10_000))
    for start in range(0, len(flood), 10_000):
        output.feed("stdout", flood[start : start + 10_000])
    output.finish()
    assert output.truncated
    assert sent(output).encode() == flood[:MAX_SENT_BYTES]
    assert output.tail.encode() == flood[-MAX_TAIL_BYTES:]


def test_the_limit_is_met_exactly_without_being_truncated() -> None:
    output = Output(max_sent_bytes=10)
    output.feed("stdout", b"0123456789")
    output.finish()
    assert sent(output) == "0123456789"
    assert not output.truncated
    output.feed("stdout", b"x")
    assert output.truncated


def test_the_limit_never_cuts_a_character() -> None:
    output = Output(max_sent_bytes=4)
    output.feed("stdout", "€€".encode())
    assert sent(output) == "€"
    assert output.truncated


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=20))), st.integers(0, 60))
def test_what_is_sent_is_each_channels_beginning_however_it_comes(pieces: list[tuple[str, bytes]], limit: int) -> None:
    output = Output(max_sent_bytes=limit)
    received: list[Chunk] = []
    for channel, data in pieces:
        output.feed(channel, data)  # type: ignore[arg-type]
        received += output.chunks()
    output.finish()
    received += output.chunks()
    assert sum(len(chunk.text.encode()) for chunk in received) <= limit
    for channel in ("stdout", "stderr"):
        whole = b"".join(data for name, data in pieces if name == channel).decode(errors="replace")
        text = "".join(chunk.text for chunk in received if chunk.channel == channel)
        assert whole.startswith(text)
        assert output.truncated or text == whole
