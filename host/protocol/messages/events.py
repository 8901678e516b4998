"""events_read (docs/protocol.md, "Reading what was missed")."""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from host.protocol.limits import MAX_PAGE_ITEMS
from host.protocol.messages.base import Request, Response

StreamName = Annotated[str, Field(min_length=1, max_length=255)]


class EventsRead(Request):
    wire_type: ClassVar[str] = "events_read"
    stream: StreamName
    after_seq: Annotated[int, Field(ge=0, le=2**53)] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_ITEMS)] = 500


class LoggedEvent(msgspec.Struct, frozen=True, gc=False):
    """``at``: RFC 3339 UTC with milliseconds, when it was logged. ``payload``: JSON, byte for byte as it was sent."""

    seq: int
    at: str
    type: str
    payload: msgspec.Raw


class EventsReadResponse(Response):
    """``floor_seq``: what is below it was deleted. ``more``: the stream goes on behind these events."""

    stream: str
    events: list[LoggedEvent]
    last_seq: int
    floor_seq: int
    more: bool
