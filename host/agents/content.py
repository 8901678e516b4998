"""What a message to an agent holds: checked, as it is kept for the agent, and as the log tells it. Pure."""

import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from pydantic import TypeAdapter

from host.agents.fitting import fitted
from host.protocol.errors import InvalidRequest
from host.protocol.limits import MAX_CONTENT_BLOCKS, MAX_CONTENT_BYTES, MIB
from host.protocol.messages.agent_events import AgentEvent, UserSaid
from host.protocol.messages.agents import Content, ContentBlock, ImageBlock, TextBlock

_MAX_TITLE_CHARS: Final = 100
_content: Final[TypeAdapter[Content]] = TypeAdapter(Content)
# How a file of the type begins. The agent's service refuses others, again with each later message of the session.
_MAGIC: Final = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8", "image/webp": b"RIFF"}


@dataclass(frozen=True, slots=True)
class Message:
    """``content`` is JSON, as it was sent; ``said`` is what the log tells of it; ``title`` is of one line."""

    content: bytes
    said: AgentEvent
    title: str


def message_of(content: Content) -> Message:
    """Raises InvalidRequest for content that is empty, too large or no image. Takes milliseconds for megabytes."""
    blocks = [TextBlock(type="text", text=content)] if isinstance(content, str) else content
    if len(blocks) > MAX_CONTENT_BLOCKS:
        raise _refused(f"It has more than {MAX_CONTENT_BLOCKS} blocks. Send a part of them.")
    if not any(isinstance(block, ImageBlock) or block.text.strip() for block in blocks):
        raise _refused("It is empty.")
    # Not of its JSON, which is longer by each line end. A client's frame bounds that.
    if sum(_size_bytes(block) for block in blocks) > MAX_CONTENT_BYTES:
        raise _refused(f"It is larger than {MAX_CONTENT_BYTES // MIB} MB. Send a part of it.")
    for block in blocks:
        if isinstance(block, ImageBlock):
            _check_image(block)
    raw = msgspec.json.encode(
        content if isinstance(content, str) else [block.model_dump(by_alias=True) for block in blocks]
    )
    return Message(raw, fitted(UserSaid(content=msgspec.Raw(raw))), _title(blocks))


def content_of(raw: bytes) -> Content:
    """What ``Message.content`` was made of."""
    return _content.validate_json(raw)


def _size_bytes(block: ContentBlock) -> int:
    return len((block.data if isinstance(block, ImageBlock) else block.text).encode())


def _check_image(block: ImageBlock) -> None:
    try:
        data = binascii.a2b_base64(block.data, strict_mode=True)
    except (binascii.Error, ValueError) as exc:
        raise _refused("The data of an image is no base64.") from exc
    if not data.startswith(_MAGIC[block.media_type]):
        raise _refused(f"The data of an image is no {block.media_type}.")


def _title(blocks: Sequence[ContentBlock]) -> str:
    """The first line that says anything."""
    lines = (line for block in blocks if isinstance(block, TextBlock) for line in block.text.splitlines())
    for line in lines:
        # What is cut off here can't be seen in a title.
        shown = " ".join("".join(char if char.isprintable() else " " for char in line[:1000]).split())
        if shown:
            return shown if len(shown) <= _MAX_TITLE_CHARS else f"{shown[: _MAX_TITLE_CHARS - 1]}…"
    return "Image"


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest.of_field("content", reason)
