"""What the lines of a transcript mean, as the contract's events. Pure."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from host.agents.claude.live_registry import OUR_ENTRYPOINT
from host.agents.claude.mapping import EventMapping
from host.agents.claude.stream_json import Assistant, Block, Message, User
from host.agents.claude.transcript_line import (
    INTERRUPTED,
    StoredMessage,
    TranscriptLine,
    parse_line,
    tagged,
    text_of,
    user_content,
)
from host.agents.terminal import Told
from host.core.clock import milliseconds_between
from host.protocol.errors import ErrorCode
from host.protocol.messages.agent_events import AgentEvent, DoneReason, Text, TurnDone, TurnError, UserSaid

MAX_ERROR_CHARS: Final = 2000
# Who spoke where no model did.
_NOBODY: Final = "<synthetic>"
_contents: Final[msgspec.json.Decoder[str | list[Block]]] = msgspec.json.Decoder(str | list[Block])


class OpenTurn(msgspec.Struct, frozen=True):
    """A turn that has no end yet. ``end`` is what it will have been if nothing more comes. Times: RFC 3339 UTC."""

    turn_id: str
    began_at: str
    last_at: str
    is_ours: bool
    is_command: bool = False
    end: DoneReason = "interrupted"


class Story(msgspec.Struct, frozen=True):
    """``changes``: files that tools work on, by the tool's id. What is not newer than ``known_until`` was told."""

    turn: OpenTurn | None = None
    changes: Mapping[str, str] = {}
    last_at: str = ""
    known_until: str = ""

    def told_anew(self) -> "Story":
        return msgspec.structs.replace(self, known_until=self.last_at)


class Narrator:
    """Goes on with a story, line by line; ``story`` is where it is."""

    def __init__(self, root: Path, story: Story) -> None:
        self._mapping = EventMapping(root, dict(story.changes))
        self._turn = story.turn
        self._last_at = story.last_at
        self._known_until = story.known_until

    @property
    def story(self) -> Story:
        return Story(self._turn, dict(self._mapping.changes), self._last_at, self._known_until)

    def tell(self, raw: bytes) -> Iterator[Told]:
        """What the line means, in order; often nothing."""
        line = parse_line(raw) if raw else None
        at = line.at if line else None
        if line is None or at is None or line.is_sidechain or at <= self._known_until:
            return
        self._last_at = max(self._last_at, at)
        said = line.said
        if said:
            yield from self._begin(line, said, at)
        elif meanwhile := line.said_meanwhile:
            yield from self._told(at, UserSaid(content=_as_sent(meanwhile)))
        elif line.type == "assistant":
            yield from self._answered(line, at)
        elif line.type == "user" and line.message is not None:
            yield from self._heard(line, line.message, at)
        elif line.type == "system":
            yield from self._noted(line, at)

    def end(self) -> Iterator[Told]:
        """The turn that has no end will have none: it is as it is."""
        if self._turn is not None:
            yield from self._done(self._turn.end, self._turn.last_at)

    def _begin(self, line: TranscriptLine, said: str | list[Any], at: str) -> Iterator[Told]:
        yield from self.end()
        self._mapping.changes.clear()
        # The CLI itself works on commands; a model may have to say something to them, or not.
        is_command = isinstance(said, str) and line.prompt_source is None and said.startswith(("/", "! "))
        self._open(line, at, is_command=is_command)
        yield from self._told(at, UserSaid(content=_as_sent(said)))

    def _answered(self, line: TranscriptLine, at: str) -> Iterator[Told]:
        message = line.message
        content = _content(message) if message else []
        blocks = content if isinstance(content, list) else []
        # In a turn these are the words that an interrupted model had said.
        if message is None or (message.model == _NOBODY and self._turn is None):
            return
        turn = self._turn or self._open(line, at)
        if line.error is not None:
            self._turn = msgspec.structs.replace(turn, end="failed")
            words = " ".join(block.text for block in blocks)[:MAX_ERROR_CHARS]
            yield from self._told(at, TurnError(code=ErrorCode.UNKNOWN_ERROR.value, message=words))
            return
        # Older versions don't write why the model stopped; after a tool it goes on.
        end: DoneReason = "interrupted" if any(block.type == "tool_use" for block in blocks) else "completed"
        self._turn = msgspec.structs.replace(turn, end=end)
        yield from self._told(at, *self._mapping.events(Assistant(Message(blocks))))

    def _heard(self, line: TranscriptLine, message: StoredMessage, at: str) -> Iterator[Told]:
        if self._turn is None:
            return
        if (text_of(user_content(message)) or "").startswith(INTERRUPTED):
            yield from self._done("cancelled", at)
            return
        heard = User(Message(_content(message)), tool_use_result=line.tool_use_result)
        yield from self._told(at, *self._mapping.events(heard))

    def _noted(self, line: TranscriptLine, at: str) -> Iterator[Told]:
        if self._turn is None:
            return
        if line.subtype == "turn_duration":
            yield from self._done("failed" if self._turn.end == "failed" else "completed", at, line.duration_ms)
        elif line.subtype == "local_command" and self._turn.is_command:
            output = tagged(line.content if isinstance(line.content, str) else "", "local-command-stdout")
            yield from self._told(at, *([Text(text=output)] if output else []))
            yield from self._done("completed", at)

    def _open(self, line: TranscriptLine, at: str, *, is_command: bool = False) -> OpenTurn:
        is_ours = line.entrypoint == OUR_ENTRYPOINT
        end: DoneReason = "completed" if is_command else "interrupted"
        self._turn = OpenTurn(line.uuid or at, at, at, is_ours, is_command, end)
        return self._turn

    def _done(self, reason: DoneReason, at: str, duration_ms: float | None = None) -> Iterator[Told]:
        turn = self._turn
        if turn is not None:
            took_ms = milliseconds_between(turn.began_at, at) if duration_ms is None else round(duration_ms)
            is_cancelled = True if reason == "cancelled" else msgspec.UNSET
            yield from self._told(at, TurnDone(reason=reason, duration_ms=took_ms, cancelled=is_cancelled))
            self._turn = None

    def _told(self, at: str, *events: AgentEvent) -> Iterator[Told]:
        if self._turn is not None and events:
            self._turn = msgspec.structs.replace(self._turn, last_at=at)
            for event in events:
                yield Told(self._turn.turn_id, at, event, self._turn.is_ours)


def _content(message: StoredMessage) -> str | list[Block]:
    """No blocks where they can't be read."""
    try:
        return _contents.decode(message.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _as_sent(said: str | list[Any]) -> msgspec.Raw:
    """The API's blocks as the contract has them."""
    if isinstance(said, str):
        return msgspec.Raw(msgspec.json.encode(said))
    return msgspec.Raw(msgspec.json.encode([sent for block in said if (sent := _sent_block(block)) is not None]))


def _sent_block(block: Mapping[str, Any]) -> Mapping[str, Any] | None:
    source = block.get("source")
    if block.get("type") == "text":
        return {"type": "text", "text": block.get("text", "")}
    if block.get("type") == "image" and isinstance(source, dict) and source.get("type") == "base64":
        return {"type": "image", "mediaType": source.get("media_type"), "data": source.get("data")}
    return None
