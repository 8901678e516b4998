"""The sessions of a project, as they lie in Claude Code's own store; and what else may lie there."""

import json
import os
import shutil
import time
import tracemalloc
import uuid
from pathlib import Path
from typing import Final

import pytest

from host.agents.claude.slug import project_slug
from host.agents.claude.store import WORTH_KEEPING, SessionStore
from tests.agents.claude.transcripts import Writer, call, text, titles

RECORDED: Final = Path(__file__).parents[2] / "data" / "claude" / "transcripts" / "terminal.jsonl"
ROOT: Final = Path("/home/ada/project")


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    return tmp_path / "projects"


@pytest.fixture
def store(projects: Path) -> SessionStore:
    return SessionStore(projects)


@pytest.fixture
def writer(projects: Path) -> Writer:
    return Writer(projects, ROOT)


def test_a_session_is_listed_with_what_a_person_wants_to_know(store: SessionStore, writer: Writer) -> None:
    writer.prompt("Mend the\nlamp")
    writer.answer(text("I look."), call("toolu_1", "Bash", command="ls"), message_id="msg_a", stop="tool_use")
    writer.result("toolu_1", "lamp.py")
    writer.answer(text("Mended."), message_id="msg_b")
    writer.touch(1_770_900_000.5)
    (session,) = store.sessions(ROOT)
    assert session.session_id == writer.session_id
    assert session.title == "Mend the lamp"
    assert session.created_at == "2026-02-12T10:00:00.000Z"
    assert session.last_activity_at == "2026-02-12T12:40:00.500Z"
    assert session.message_count == 3
    assert store.session(ROOT, writer.session_id) == session


def test_a_session_of_the_real_cli_in_a_terminal_is_listed(store: SessionStore, writer: Writer) -> None:
    writer.path.parent.mkdir(parents=True)
    shutil.copy(RECORDED, writer.path)
    (session,) = store.sessions(ROOT)
    assert session.title == "! echo bang"
    assert session.created_at == "2026-11-21T03:31:30.527Z"
    # Three prompts and as many answers of the model; what was interrupted and what ran without it is no answer.
    assert session.message_count == 6


def test_a_given_title_comes_before_a_made_up_one_before_the_last_prompt_before_the_first(
    store: SessionStore, writer: Writer
) -> None:
    def title() -> str:
        (session,) = store.sessions(ROOT)
        return session.title

    writer.write("user", message={"role": "user", "content": "Caveat"}, isMeta=True)
    writer.write("user", message={"role": "user", "content": "<system>not said</system>"})
    assert title() == "Untitled session"
    writer.prompt("First")
    writer.prompt("Second")
    assert title() == "First"
    writer.raw(b'{"type":"last-prompt","lastPrompt":"Second"}\n')
    assert title() == "Second"
    writer.raw(b'{"type":"ai-title","aiTitle":"About lamps"}\n{"type":"ai-title","aiTitle":"All about lamps"}\n')
    assert title() == "All about lamps"
    writer.raw(b'{"type":"custom-title","customTitle":"Lamps"}\n')
    writer.prompt("Third")
    assert title() == "Lamps"


def test_a_long_transcript_is_known_by_its_two_ends(store: SessionStore, writer: Writer) -> None:
    writer.prompt("First")
    for number in range(300):
        writer.answer(text("x" * 5000), message_id=f"msg_{number}")
    writer.raw(b'{"type":"custom-title","customTitle":"Long"}\n')
    (session,) = store.sessions(ROOT)
    assert (session.title, session.message_count) == ("Long", 301)


def test_a_first_prompt_with_a_large_image_hides_nothing(store: SessionStore, writer: Writer) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 3_000_000}}
    writer.prompt([image, text("What is it?")])
    writer.answer(text("A lamp."))
    writer.raw(b'{"type":"last-prompt","lastPrompt":"What is it?"}\n')
    (session,) = store.sessions(ROOT)
    assert (session.title, session.message_count) == ("What is it?", 2)


def test_a_session_that_goes_on_is_seen_anew(store: SessionStore, writer: Writer) -> None:
    writer.prompt("First")
    assert store.sessions(ROOT)[0].message_count == 1
    writer.answer(text("Yes."))
    assert store.sessions(ROOT)[0].message_count == 2
    assert store.session(ROOT, writer.session_id) == store.sessions(ROOT)[0]
    writer.path.unlink()
    assert store.sessions(ROOT) == []
    assert store.session(ROOT, writer.session_id) is None


def test_only_what_was_begun_in_exactly_this_directory_is_listed(store: SessionStore, projects: Path) -> None:
    # The same name in the store: what is no letter and no digit looks alike there.
    for root, prompt in [(ROOT, "Ours"), (Path("/home/ada.project"), "Alike"), (ROOT / "src", "Below")]:
        Writer(projects, root).prompt(prompt)
    assert titles(store.sessions(ROOT)) == {"Ours"}
    assert titles(store.sessions(Path("/home/ada.project"))) == {"Alike"}
    assert titles(store.sessions(ROOT / "src")) == {"Below"}
    assert store.sessions(Path("/home/ada")) == []


def test_where_a_session_went_later_does_not_matter(store: SessionStore, projects: Path) -> None:
    writer = Writer(projects, ROOT)
    writer.prompt("Ours")
    writer.raw(json.dumps({"type": "user", "cwd": "/elsewhere"}).encode() + b"\n")
    assert titles(store.sessions(ROOT)) == {"Ours"}


def test_a_root_that_is_no_unicode_is_found_as_the_cli_writes_it(store: SessionStore, projects: Path) -> None:
    root = Path(os.fsdecode(b"/home/ada/caf\xe9"))
    as_written = Writer(projects, Path("/home/ada/caf\ufffd"))
    as_written.prompt("Ours")
    assert project_slug(root) == project_slug(as_written.root)
    assert titles(store.sessions(root)) == {"Ours"}


def test_what_is_no_session_is_left_out(store: SessionStore, projects: Path, writer: Writer) -> None:
    writer.prompt("Ours")
    directory = writer.path.parent
    nothing_said = b'{"type":"mode","mode":"normal"}\n'
    contents = {
        f"{uuid.uuid4()}.jsonl": nothing_said,
        f"{uuid.uuid4()}.jsonl ": writer.path.read_bytes(),
        f"agent-{uuid.uuid4()}.jsonl": writer.path.read_bytes(),
        f"{uuid.uuid1()}.jsonl": writer.path.read_bytes(),
        f"{uuid.uuid4()}.json": writer.path.read_bytes(),
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    (directory / f"{uuid.uuid4()}.jsonl").touch()
    (directory / f"{uuid.uuid4()}.jsonl").mkdir()
    assert titles(store.sessions(ROOT)) == {"Ours"}


def test_a_link_to_a_transcript_is_not_followed(store: SessionStore, tmp_path: Path, writer: Writer) -> None:
    writer.prompt("Ours")
    elsewhere = tmp_path / "secret.jsonl"
    writer.path.rename(elsewhere)
    writer.path.symlink_to(elsewhere)
    assert store.sessions(ROOT) == []
    assert store.session(ROOT, writer.session_id) is None


def test_a_pipe_in_the_place_of_a_transcript_hangs_nothing(store: SessionStore, writer: Writer) -> None:
    writer.path.parent.mkdir(parents=True)
    os.mkfifo(writer.path)
    assert store.sessions(ROOT) == []
    assert store.session(ROOT, writer.session_id) is None


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xfe\x00broken\n",
        b"[" * 200_000 + b"\n",
        b'{"a":' * 100_000 + b"\n",
        b'{"type":"user","message":{"content":' + b"[" * 200_000 + b"]" * 200_000 + b"}}\n",
        b'{"type":"user","timestamp":5,"uuid":[],"message":"x"}\n',
        b'{"type":"user","timestamp":"yesterday","message":{"content":[1,null,"x"]}}\n',
        b'{"type":"user","message":{"content":"\\ud800"},"cwd":"\\ud800"}\n',
        b"null\n5\n\n[]\n",
        b"\0" * 70_000,
    ],
    ids=[
        "bytes",
        "deep-list",
        "deep-object",
        "deep-content",
        "wrong-types",
        "odd-content",
        "surrogates",
        "json",
        "zeros",
    ],
)
def test_broken_lines_hide_only_themselves(store: SessionStore, writer: Writer, garbage: bytes) -> None:
    writer.prompt("Ours")
    writer.raw(garbage)
    writer.raw(b"\n")
    writer.answer(text("Yes."))
    (session,) = store.sessions(ROOT)
    assert session.title == "Ours"
    json.dumps(session.title).encode()


def test_a_line_of_any_length_takes_little_memory(store: SessionStore, writer: Writer) -> None:
    writer.prompt("Ours")
    with writer.path.open("r+b") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    (session,) = store.sessions(ROOT)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert session.title == "Ours"
    assert peak_bytes < 16 * 2**20


def test_a_time_beyond_all_calendars_is_borne(store: SessionStore, writer: Writer) -> None:
    writer.prompt("Ours")
    writer.touch(-1e10)
    assert store.sessions(ROOT)[0].last_activity_at == "1970-01-01T00:00:00.000Z"


def test_no_store_is_no_session(store: SessionStore) -> None:
    assert store.sessions(ROOT) == []
    assert store.session(ROOT, str(uuid.uuid4())) is None


def test_what_was_read_is_remembered_from_one_day_to_the_next(projects: Path, store: SessionStore) -> None:
    writers = [Writer(projects, ROOT) for _ in range(WORTH_KEEPING)]
    for writer in writers:
        writer.prompt("Before")
    directory = store.directory(ROOT)
    store.sessions(ROOT)
    memory = store.memory(directory)
    assert memory is not None
    assert store.memory(directory) is None

    another_day = SessionStore(projects)
    assert not another_day.knows(directory)
    another_day.recall(directory, memory)
    # Not read again: it is as large and as old as it was.
    status = writers[0].path.stat()
    writers[0].path.write_bytes(b"x" * status.st_size)
    os.utime(writers[0].path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    writers[1].prompt("After")
    sessions = another_day.sessions(ROOT)
    assert len(sessions) == len(writers)
    assert {session.message_count for session in sessions} == {1, 2}
    assert another_day.memory(directory) is None


@pytest.mark.parametrize("memory", [b"", b"[]", b"\xff", b'{"a":5}', b"[" * 100_000])
def test_a_memory_that_is_none_is_none(store: SessionStore, writer: Writer, memory: bytes) -> None:
    writer.prompt("Ours")
    store.recall(store.directory(ROOT), memory)
    assert titles(store.sessions(ROOT)) == {"Ours"}


@pytest.mark.slow
def test_thousands_of_transcripts_are_listed_at_once_when_they_were_seen_before(
    store: SessionStore, projects: Path
) -> None:
    for number in range(2000):
        writer = Writer(projects, ROOT)
        writer.prompt(f"Prompt {number}")
    assert len(store.sessions(ROOT)) == 2000
    begun_s = time.thread_time()
    sessions = store.sessions(ROOT)
    took_s = time.thread_time() - begun_s
    assert len(titles(sessions)) == 2000
    # Measured alone: 20 ms.
    assert took_s < 0.5
