"""What a list of sessions shows of a transcript, from its first and last pieces."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from host.agents.claude.transcript_line import TranscriptLine, parse_line, text_of

MAX_TITLE_CHARS: Final = 200
UNTITLED: Final = "Untitled session"

# Quotation marks within a string are escaped: these are found as members only.
_PROMPT: Final = b'"promptSource":"'
_MESSAGE_ID: Final = re.compile(rb'"id":"(msg_[\w-]{1,128})"')


@dataclass(frozen=True, slots=True)
class Summary:
    """``cwd``: where the session was begun. ``begun_at``: RFC 3339 UTC, None where no line says it."""

    title: str
    cwd: str
    begun_at: str | None


def summarize(head: bytes, tail: bytes) -> Summary | None:
    """Of whole lines at the beginning and at the end; None for what is no session that could be gone on with.

    ``tail`` is empty where ``head`` is all there is.
    """
    first, last = list(_lines(head)), list(_lines(tail))
    lines = first + last
    cwd = next((line.cwd for line in lines if line.cwd), None)
    if cwd is None or not any(line.type in ("user", "assistant") or line.last_prompt for line in lines):
        return None
    begun_at = next((line.at for line in lines if line.at), None)
    return Summary(_title(lines), cwd, begun_at)


class MessageCount:
    """Counts what people said and what the agent answered, over pieces of a transcript that end between lines."""

    def __init__(self) -> None:
        self._prompts = 0
        self._answers: set[bytes] = set()

    def add(self, piece: bytes) -> None:
        self._prompts += piece.count(_PROMPT)
        self._answers.update(_MESSAGE_ID.findall(piece))

    @property
    def value(self) -> int:
        return self._prompts + len(self._answers)


def _lines(piece: bytes) -> Iterator[TranscriptLine]:
    for raw in piece.split(b"\n"):
        line = parse_line(raw) if raw else None
        if line is not None:
            yield line


def _title(lines: list[TranscriptLine]) -> str:
    given = next((line.custom_title for line in reversed(lines) if line.custom_title), None)
    made_up = next((line.ai_title for line in reversed(lines) if line.ai_title), None)
    newest = next((line.last_prompt for line in reversed(lines) if line.last_prompt), None)
    said = next((text for line in lines if (text := text_of(line.said))), None)
    return _one_line(given or made_up or newest or said or "") or UNTITLED


def _one_line(text: str) -> str:
    # A prompt may be megabytes.
    words = " ".join(text[: 4 * MAX_TITLE_CHARS].split())
    return words if len(words) <= MAX_TITLE_CHARS else f"{words[: MAX_TITLE_CHARS - 1]}…"
