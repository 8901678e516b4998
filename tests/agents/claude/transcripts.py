"""Transcripts written by hand, line by line as the CLI writes them."""

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from host.agents.claude.slug import project_slug

_BEGUN: Final = datetime(2026, 2, 12, 10, 0, tzinfo=UTC)

Json = dict[str, Any]


@dataclass
class Writer:
    """Writes one session's transcript into a store. Each line is a second later than the one before."""

    projects: Path
    root: Path
    session_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    entrypoint: str = "cli"
    lines: int = 0

    @property
    def path(self) -> Path:
        return self.projects / project_slug(self.root) / f"{self.session_id}.jsonl"

    def prompt(self, content: str | list[Json], **members: Any) -> str:
        """Returns the line's id."""
        return self.write("user", message={"role": "user", "content": content}, promptSource="typed", **members)

    def answer(self, *blocks: Json, message_id: str | None = None, stop: str = "end_turn", **members: Any) -> None:
        """One line a block, as parts of one message."""
        message_id = message_id or f"msg_{self.lines}"
        for block in blocks:
            message = {"id": message_id, "role": "assistant", "model": "m", "content": [block], "stop_reason": stop}
            self.write("assistant", message=message, **members)

    def result(self, tool_use_id: str, content: Any, known: Any = None, *, is_error: bool = False) -> None:
        """Of a tool; ``known`` is what the CLI itself knows of it."""
        block = {"type": "tool_result", "tool_use_id": tool_use_id, "content": content, "is_error": is_error}
        self.write("user", message={"role": "user", "content": [block]}, toolUseResult=known)

    def write(self, kind: str, **members: Any) -> str:
        line_id = str(uuid.uuid4())
        at = (_BEGUN + timedelta(seconds=self.lines)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {
            "type": kind,
            "uuid": line_id,
            "timestamp": at,
            "sessionId": self.session_id,
            "entrypoint": self.entrypoint,
            "isSidechain": False,
            **members,
            "cwd": str(self.root),
        }
        self.raw(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self.lines += 1
        return line_id

    def raw(self, data: bytes) -> None:
        """Anything at the end of the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(data)

    def touch(self, epoch_s: float) -> None:
        os.utime(self.path, (epoch_s, epoch_s))


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def call(tool_use_id: str, name: str, **inputs: Any) -> Json:
    return {"type": "tool_use", "id": tool_use_id, "name": name, "input": inputs}


def titles(sessions: Sequence[Any]) -> set[str]:
    return {session.title for session in sessions}
