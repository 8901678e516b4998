import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from host.git.progress import MAX_LINE_CHARS, MAX_LINES, ProgressSender, ProgressText
from tests.support.host import eventually


def lines_of(*pieces: bytes) -> str:
    text = ProgressText()
    for piece in pieces:
        text.feed(piece)
    return text.take()


def test_lines_are_kept_and_counters_are_written_over() -> None:
    text = ProgressText()
    text.feed(b"Enumerating: 3, done.\nCounting:  50% (1/2)\rCounting:  75%\r")
    assert text.take() == "Enumerating: 3, done.\nCounting:  75%"
    text.feed(b"Counting: 100% (2/2)\rCounting: 100% (2/2), done.\n")
    assert text.take() == "Counting: 100% (2/2), done."
    assert text.take() == ""


def test_half_a_line_or_character_waits_for_its_other_half() -> None:
    euro = "€".encode()
    text = ProgressText()
    text.feed(b"remote: 5 " + euro[:1])
    assert text.take() == ""
    text.feed(euro[1:] + b"\n")
    assert text.take() == "remote: 5 €"


def test_what_steers_a_terminal_is_taken_out_and_so_are_passwords() -> None:
    assert lines_of(b"\r\x1b[KSuccessfully\x07 rebased  \n") == "Successfully rebased"
    assert lines_of(b"From https://ada:pw@", b"example.com/x\n") == "From https://[redacted]@example.com/x"


def test_of_a_flood_the_last_lines_are_kept() -> None:
    text = ProgressText()
    text.feed(b"".join(b"%d\n" % number for number in range(1000)))
    assert text.take().splitlines() == [str(number) for number in range(1000 - MAX_LINES, 1000)]
    text.feed(b"x" * 1_000_000)
    text.feed(b"\n")
    assert len(text.take()) <= MAX_LINE_CHARS


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_text_is_bounded_and_clean_whatever_comes(pieces: list[bytes]) -> None:
    text = lines_of(*pieces, b"\n")
    assert len(text.split("\n")) <= MAX_LINES + 1
    assert all(character in "\n\t" or character.isprintable() or ord(character) > 127 for character in text)


async def test_it_is_sent_at_once_then_no_more_often_than_the_interval_and_the_last_of_it_always() -> None:
    sent: list[tuple[float, str]] = []
    sender = ProgressSender(lambda text: sent.append((time.monotonic(), text)), interval_s=0.1)
    sender.feed(b"one\n")
    assert [text for _, text in sent] == ["one"]
    sender.feed(b"two\n")
    sender.feed(b"three\n")
    assert len(sent) == 1
    # Also when nothing more comes.
    await eventually(lambda: len(sent) == 2)
    assert sent[1][1] == "two\nthree"
    assert sent[1][0] - sent[0][0] >= 0.09
    sender.feed(b"fo")
    sender.feed(b"ur")
    sender.finish()
    assert sent[-1][1] == "four"
    count = len(sent)
    await asyncio.sleep(0.2)
    assert len(sent) == count
