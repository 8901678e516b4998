"""What a transcript tells, read on from where it was left."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from host.agents.claude.transcript import MAX_UNREAD_BYTES, QUIET_S, read_part
from host.agents.terminal import Told
from tests.agents.claude.transcripts import Writer, call, text

TRANSCRIPTS: Final = Path(__file__).parents[2] / "data" / "claude" / "transcripts"
RECORDED: Final = TRANSCRIPTS / "terminal.jsonl"
ROOT: Final = Path("/home/ada/project")


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "projects", ROOT)


class Reader:
    """Reads on and on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = b""
        self.busy = False
        self.later_s = QUIET_S

    def read(self) -> list[Told]:
        """All that is new."""
        told: list[Told] = []
        while part := read_part(self.path, ROOT, self.position, is_busy=lambda: self.busy, clock=self.clock):
            self.position = part.position
            told += part.events
        return told

    def clock(self) -> float:
        return time.time() + self.later_s

    def kinds(self) -> list[str]:
        return [kind(told) for told in self.read()]


@pytest.fixture
def reader(writer: Writer) -> Reader:
    return Reader(writer.path)


def kind(told: Told) -> str:
    return str(type(told.event).__struct_config__.tag)


def payload(told: Told) -> Any:
    return msgspec.json.decode(msgspec.json.encode(told.event))


def test_a_turn_is_told_as_if_it_had_been_watched(writer: Writer, reader: Reader) -> None:
    prompt_id = writer.prompt("Mend the lamp")
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
    path = f"{ROOT}/lamp.py"
    writer.answer(thought, text("I look."), call("toolu_1", "Write", file_path=path, content="on"), stop="tool_use")
    writer.result("toolu_1", "File created", {"type": "create", "filePath": path, "structuredPatch": []})
    writer.answer(text("Mended."))
    writer.write("system", subtype="turn_duration", durationMs=88)
    told = reader.read()
    assert [payload(each) for each in told] == [
        {"type": "user", "content": "Mend the lamp"},
        {"type": "thinking", "text": "Hm."},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "toolUseId": "toolu_1", "name": "Write", "input": {"file_path": path, "content": "on"}},
        {"type": "file_create", "toolUseId": "toolu_1", "path": "lamp.py"},
        {
            "type": "tool_result",
            "toolUseId": "toolu_1",
            "content": "File created",
            "isError": False,
            "truncated": False,
        },
        {"type": "text", "text": "Mended."},
        {"type": "done", "reason": "completed", "durationMs": 88},
    ]
    assert {each.turn_id for each in told} == {prompt_id}
    assert told[0].at == "2026-02-12T10:00:00.000Z"
    assert not any(each.is_ours for each in told)


def test_a_session_of_the_real_cli_in_a_terminal_is_told(writer: Writer, reader: Reader) -> None:
    writer.path.parent.mkdir(parents=True)
    shutil.copy(RECORDED, writer.path)
    told = reader.read()
    assert [kind(each) for each in told] == [
        *("user", "text", "done"),
        *("user", "text", "done"),
        *("user", "tool_use", "tool_result", "text", "done"),
        *("user", "error", "done"),
    ]
    ends = [payload(each)["reason"] for each in told if kind(each) == "done"]
    assert ends == ["completed", "cancelled", "completed", "failed"]
    assert [payload(each)["content"] for each in told if kind(each) == "user"] == [
        "hello",
        "slow",
        "touch",
        "! echo bang",
    ]
    assert len({each.turn_id for each in told}) == 4


def test_an_answer_that_was_written_before_its_prompt_is_told_behind_it(writer: Writer, reader: Reader) -> None:
    writer.path.parent.mkdir(parents=True)
    shutil.copy(TRANSCRIPTS / "quick_answer.jsonl", writer.path)
    told = reader.read()
    assert [kind(each) for each in told] == [*("user", "text", "done"), *("user", "text", "done")]
    assert [payload(each).get("content", payload(each).get("text")) for each in told if kind(each) != "done"] == [
        *("p00", "fine p00"),
        *("p01", "fine p01"),
    ]
    assert len({each.turn_id for each in told}) == 2
    assert payload(told[2]) == {"type": "done", "reason": "completed", "durationMs": 90}


def test_what_was_said_while_the_agent_worked_is_told_where_it_heard_it(writer: Writer, reader: Reader) -> None:
    writer.path.parent.mkdir(parents=True)
    shutil.copy(TRANSCRIPTS / "said_meanwhile.jsonl", writer.path)
    told = reader.read()
    assert [kind(each) for each in told] == ["user", "tool_use", "tool_result", "user", "text", "done"]
    assert payload(told[3])["content"] == "p13"
    assert len({each.turn_id for each in told}) == 1


@pytest.mark.parametrize(
    "attachment",
    [
        {"type": "queued_command", "prompt": "<task-notification>", "commandMode": "task-notification"},
        {"type": "queued_command", "prompt": "A task ended", "commandMode": "prompt", "origin": {"kind": "task"}},
        {"type": "queued_command", "prompt": 5, "commandMode": "prompt"},
        {"type": "queued_command", "prompt": [5], "commandMode": "prompt"},
        {"type": "queued_command", "prompt": "", "commandMode": "prompt"},
        {"type": "skill_listing", "prompt": "Nobody", "commandMode": "prompt"},
        {"type": ["queued_command"]},
    ],
)
def test_what_nobody_said_is_not_told_as_if_somebody_had(
    writer: Writer, reader: Reader, attachment: dict[str, Any]
) -> None:
    writer.prompt("One")
    writer.write("attachment", attachment=attachment)
    writer.answer(text("First."))
    assert reader.kinds() == ["user", "text", "done"]


def test_what_is_read_in_pieces_is_the_same_as_what_is_read_at_once(writer: Writer, reader: Reader) -> None:
    lines = RECORDED.read_bytes().splitlines(keepends=True)
    reader.busy = True
    in_pieces = []
    for line in lines:
        middle = len(line) // 2
        writer.raw(line[:middle])
        in_pieces += reader.read()
        writer.raw(line[middle:])
        in_pieces += reader.read()
    assert in_pieces == Reader(writer.path).read()


def test_a_change_of_a_file_is_told_also_when_the_reading_was_cut_before_its_result(
    writer: Writer, reader: Reader
) -> None:
    reader.busy = True
    writer.prompt("Mend it")
    writer.answer(call("toolu_1", "Edit", file_path=f"{ROOT}/a.py"), stop="tool_use")
    assert reader.kinds() == ["user", "tool_use"]
    writer.result("toolu_1", "Edited", {"filePath": f"{ROOT}/a.py", "structuredPatch": [{"lines": ["+a"]}]})
    assert reader.kinds() == ["file_edit", "tool_result"]


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (lambda writer: writer.answer(text("Done.")), "completed"),
        (lambda writer: writer.answer(call("toolu_1", "Bash"), stop="tool_use"), "interrupted"),
        (lambda writer: None, "interrupted"),
    ],
    ids=["answered", "tool", "asked"],
)
def test_a_turn_that_nobody_works_on_has_ended(
    writer: Writer, reader: Reader, last: Callable[[Writer], None], reason: str
) -> None:
    reader.busy = True
    writer.prompt("Mend it")
    last(writer)
    assert "done" not in reader.kinds()
    reader.busy = False
    (end,) = reader.read()
    assert payload(end)["reason"] == reason
    assert reader.read() == []


def test_a_turn_is_not_taken_for_broken_off_before_all_can_be_written(writer: Writer, reader: Reader) -> None:
    reader.later_s = 0
    writer.prompt("Mend it")
    assert reader.kinds() == ["user"]
    writer.answer(text("Mended."))
    assert reader.kinds() == ["text", "done"]


def test_a_turn_that_goes_on_while_it_is_asked_about_has_not_ended(writer: Writer, reader: Reader) -> None:
    writer.prompt("Mend it")
    writer.answer(text("I look."))

    def is_busy() -> bool:
        writer.answer(text("Mended."))
        return False

    first = read_part(writer.path, ROOT, b"", is_busy=is_busy)
    assert first is not None
    second = read_part(writer.path, ROOT, first.position, is_busy=is_busy)
    assert second is None


def test_a_new_prompt_ends_the_turn_before(writer: Writer, reader: Reader) -> None:
    writer.prompt("One")
    writer.answer(text("First."))
    writer.prompt("Two")
    assert reader.kinds() == ["user", "text", "done", "user", "done"]


def test_what_a_daemons_agent_wrote_is_marked(writer: Writer, reader: Reader) -> None:
    writer.entrypoint = "pocketcoder"
    writer.prompt("One")
    writer.answer(text("First."))
    writer.entrypoint = "cli"
    writer.prompt("Two")
    told = reader.read()
    assert [(kind(each), each.is_ours) for each in told] == [
        *(("user", True), ("text", True), ("done", True)),
        *(("user", False), ("done", False)),
    ]


def test_an_image_is_told_as_it_would_be_sent(writer: Writer, reader: Reader) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    writer.prompt([{"type": "image", "source": source}, text("What is it?"), {"type": "document"}])
    assert payload(reader.read()[0])["content"] == [
        {"type": "image", "mediaType": "image/png", "data": "AAAA"},
        {"type": "text", "text": "What is it?"},
    ]


def test_a_slash_command_is_told_with_its_output(writer: Writer, reader: Reader) -> None:
    said = "<command-name>/usage</command-name>\n <command-args>all</command-args>"
    writer.write("user", message={"role": "user", "content": "<local-command-caveat>x"}, isMeta=True)
    writer.write("user", message={"role": "user", "content": said})
    writer.write("system", subtype="local_command", content="<local-command-stdout>$0</local-command-stdout>")
    told = reader.read()
    assert [kind(each) for each in told] == ["user", "text", "done"]
    assert (payload(told[0])["content"], payload(told[1])["text"]) == ("/usage all", "$0")


def test_so_is_one_of_an_older_version(writer: Writer, reader: Reader) -> None:
    writer.write("user", message={"role": "user", "content": "<command-name>/cost</command-name>"})
    writer.write("user", message={"role": "user", "content": "<local-command-stdout>$0</local-command-stdout>"})
    told = reader.read()
    assert [kind(each) for each in told] == ["user", "text", "done"]
    assert payload(told[-1])["reason"] == "completed"


def test_how_the_api_failed_is_told(writer: Writer, reader: Reader) -> None:
    writer.prompt("One")
    message = {"role": "assistant", "model": "<synthetic>", "content": [text("API Error: 529")]}
    writer.write("assistant", message=message, error="overloaded", isApiErrorMessage=True)
    told = reader.read()
    assert [kind(each) for each in told] == ["user", "error", "done"]
    assert payload(told[1])["message"] == "API Error: 529"
    assert payload(told[2])["reason"] == "failed"


def test_what_a_sub_agent_and_the_cli_itself_wrote_is_not_told(writer: Writer, reader: Reader) -> None:
    writer.prompt("Below", isSidechain=True)
    writer.answer(text("Below."), isSidechain=True)
    writer.prompt("A task ended", origin={"kind": "task-notification"})
    writer.write("user", message={"role": "user", "content": "Summary"}, isCompactSummary=True)
    writer.write("attachment", attachment={"type": "skill_listing"})
    assert reader.read() == []


def test_what_the_agent_says_by_itself_is_told_as_a_turn_of_its_own(writer: Writer, reader: Reader) -> None:
    writer.answer(text("The build is through."))
    assert reader.kinds() == ["text", "done"]


def test_a_transcript_that_was_rewritten_is_not_told_again(writer: Writer, reader: Reader) -> None:
    for number in range(5):
        writer.prompt(f"Prompt {number}")
        writer.answer(text(f"Answer {number}"))
    assert len(reader.read()) == 15
    lines = writer.path.read_bytes().splitlines(keepends=True)
    writer.path.unlink()
    writer.raw(b"".join(lines[2:]))
    assert reader.read() == []
    writer.prompt("Newer")
    assert reader.kinds() == ["user", "done"]


def test_a_transcript_that_was_shortened_is_read_on_from_its_new_end(writer: Writer, reader: Reader) -> None:
    writer.prompt("One")
    writer.answer(text("First."))
    writer.answer(text("Taken back."))
    assert reader.kinds() == ["user", "text", "text", "done"]
    lines = writer.path.read_bytes().splitlines(keepends=True)
    writer.path.write_bytes(b"".join(lines[:2]))
    assert reader.read() == []
    writer.prompt("Two")
    assert reader.kinds() == ["user", "done"]


def test_a_branch_is_told_behind_what_was_there(writer: Writer, reader: Reader) -> None:
    first = writer.prompt("One", parentUuid=None)
    writer.answer(text("First."))
    assert reader.kinds() == ["user", "text", "done"]
    writer.prompt("Instead", parentUuid=first)
    assert payload(reader.read()[0])["content"] == "Instead"


def test_a_transcript_that_is_gone_tells_nothing(writer: Writer, reader: Reader) -> None:
    assert reader.read() == []
    writer.prompt("One")
    assert reader.kinds() == ["user", "done"]
    writer.path.unlink()
    assert reader.read() == []


def test_a_link_is_not_read(writer: Writer, reader: Reader, tmp_path: Path) -> None:
    writer.prompt("Secret")
    elsewhere = tmp_path / "secret.jsonl"
    writer.path.rename(elsewhere)
    writer.path.symlink_to(elsewhere)
    assert reader.read() == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"type":"user","message":{"content":'
        + b"[" * 200_000
        + b"]" * 200_000
        + b'},"timestamp":"2026-02-12T10:00:00Z"}',
        b'{"type":"user","timestamp":"2026-99-99T99:99:99Z","message":{"content":"x"}}',
        b'{"type":"assistant","timestamp":"2026-02-12T10:00:00Z","message":{"content":[1,{"type":5}]}}',
        b'{"type":"assistant","timestamp":"2026-02-12T10:00:00Z","message":{"content":"x"}}',
        b'{"type":"user","timestamp":"2026-02-12T10:00:00Z","message":{"content":[null]}}',
        b'{"type":"user","timestamp":"2026-02-12T10:00:00Z","toolUseResult":[],"message":{"content":[{"type":"tool_result"}]}}',
        b'{"type":"system","subtype":"local_command","content":{"a":5},"timestamp":"2026-02-12T10:00:00Z"}',
    ],
)
def test_broken_lines_hide_only_themselves(writer: Writer, reader: Reader, garbage: bytes) -> None:
    writer.prompt("One")
    writer.raw(garbage + b"\n")
    writer.answer(text("First."))
    kinds = reader.kinds()
    assert kinds[0] == "user"
    assert kinds[-2:] == ["text", "done"]


def test_only_the_end_of_an_enormous_transcript_is_told_and_in_parts(writer: Writer, reader: Reader) -> None:
    line = json.dumps({"type": "attachment", "padding": "x" * 1_000_000}).encode() + b"\n"
    writer.prompt("Old")
    for _ in range(MAX_UNREAD_BYTES // len(line) + 1):
        writer.raw(line)
    writer.prompt("New")
    told: list[Told] = []
    parts = 0
    while part := read_part(writer.path, ROOT, reader.position, is_busy=lambda: True):
        reader.position = part.position
        told += part.events
        parts += 1
    assert [payload(each)["content"] for each in told] == ["New"]
    assert 10 < parts < 30


def test_a_line_without_an_end_is_passed_over(writer: Writer, reader: Reader) -> None:
    writer.prompt("One")
    assert reader.kinds() == ["user", "done"]
    with writer.path.open("r+b") as file:
        file.truncate(writer.path.stat().st_size + MAX_UNREAD_BYTES + 10)
    assert reader.read() == []
    writer.raw(b"\n")
    writer.prompt("Two")
    assert reader.kinds() == ["user", "done"]
