"""The lines of a transcript, as far as we look at them. What we don't know is ignored, what is broken is no line."""

import re
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
INTERRUPTED: Final = "[Request interrupted by user"
# So begins what the CLI writes in the user's name. Older versions don't mark what was really said.
_NOT_SAID: Final = ("<", INTERRUPTED)
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Origin(msgspec.Struct):
    kind: str | None = None


class StoredMessage(msgspec.Struct):
    """``content``: JSON of a string or of a list of blocks. ``model`` is in angle brackets where none spoke."""

    content: msgspec.Raw = msgspec.Raw(b"null")
    model: str | None = None


class Attachment(msgspec.Struct, rename="camel"):
    """What the model is given besides; ``prompt`` is a person's, who said it while the model worked."""

    type: str | None = None
    prompt: Any = None
    command_mode: str | None = None
    origin: Origin | None = None


class TranscriptLine(msgspec.Struct, rename="camel"):
    """One of any type; members that its type does not have are None or empty."""

    type: str = ""
    subtype: str | None = None
    timestamp: str | None = None
    uuid: str | None = None
    cwd: str | None = None
    entrypoint: str | None = None
    content: Any = None
    is_meta: bool | None = None
    is_sidechain: bool | None = None
    is_compact_summary: bool | None = None
    prompt_source: str | None = None
    origin: Origin | None = None
    message: StoredMessage | None = None
    attachment: Attachment | None = None
    tool_use_result: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None
    duration_ms: float | None = None
    custom_title: str | None = None
    ai_title: str | None = None
    last_prompt: str | None = None

    @property
    def at(self) -> str | None:
        """When it was written, RFC 3339 UTC."""
        if self.timestamp is None or not _TIME.fullmatch(self.timestamp):
            return None
        with suppress(ValueError):
            datetime.fromisoformat(self.timestamp)
            return self.timestamp
        return None

    @property
    def said(self) -> str | list[Any] | None:
        """What a person said: text, or the API's blocks. None if nobody said this line."""
        if self.type != "user" or self.message is None or self.is_meta or self.is_sidechain or self.is_compact_summary:
            return None
        if not _is_human(self.origin):
            return None
        content = user_content(self.message)
        text = text_of(content)
        if text is None or (self.prompt_source is None and text.startswith(_NOT_SAID)):
            return typed_command(text)
        return content

    @property
    def said_meanwhile(self) -> str | list[Any] | None:
        """What a person said while the model worked, and it heard between two tools; as in ``said``."""
        added = self.attachment
        if self.type != "attachment" or added is None or self.is_meta or self.is_sidechain:
            return None
        if added.type != "queued_command" or added.command_mode != "prompt" or not _is_human(added.origin):
            return None
        return added.prompt if _is_content(added.prompt) else None


def _is_human(origin: Origin | None) -> bool:
    return origin is None or origin.kind in (None, "human")


def parse_line(raw: bytes) -> TranscriptLine | None:
    """None for what is no line of a transcript, however it is broken."""
    try:
        return _decoder.decode(raw)
    except _FAULTS:
        return None


def user_content(message: StoredMessage) -> str | list[Any] | None:
    """None where it is neither text nor blocks."""
    try:
        content = msgspec.json.decode(message.content)
    except _FAULTS:
        return None
    return content if _is_content(content) else None


def _is_content(content: Any) -> bool:
    is_blocks = isinstance(content, list) and all(isinstance(block, dict) for block in content)
    return isinstance(content, str) or is_blocks


def text_of(content: str | list[Any] | None) -> str | None:
    """The text of what may have been said; None for the results of tools and for what is no content."""
    if content is None or isinstance(content, str):
        return content
    if any(block.get("type") == "tool_result" for block in content):
        return None
    return "\n".join(str(block.get("text", "")) for block in content if block.get("type") == "text")


def typed_command(text: str | None) -> str | None:
    """``/name arguments`` or ``! shell command``, as it was typed; None for all else."""
    name, shell_command = tagged(text, "command-name"), tagged(text, "bash-input")
    if name is not None:
        return f"{name} {tagged(text, 'command-args') or ''}".strip()
    return None if shell_command is None else f"! {shell_command}"


def tagged(text: str | None, tag: str) -> str | None:
    """What stands in ``<tag>``."""
    _, opening, rest = (text or "").partition(f"<{tag}>")
    inside, closing, _ = rest.partition(f"</{tag}>")
    return inside.strip() if opening and closing else None


_decoder: Final = msgspec.json.Decoder(TranscriptLine)
