"""Logged events are at most 256 KB: what is longer is cut, and says so. Pure."""

from typing import Any, Final, TypeVar

import msgspec

from host.protocol.limits import KIB, MAX_LOGGED_EVENT_BYTES
from host.protocol.messages.agent_events import AgentEvent

EventT = TypeVar("EventT", bound=AgentEvent)

# What is filled in when it is logged: ids, number, time.
_ROOM_BYTES: Final = MAX_LOGGED_EVENT_BYTES - 512
_MAX_DEPTH: Final = 64
# Characters of a string and members of a list or object; the next where the one before was not enough.
_STEPS: Final = ((128 * KIB, 10_000), (32 * KIB, 2_000), (8 * KIB, 500), (KIB, 100), (64, 0))


def fitted(event: EventT) -> EventT:
    """The event, or one whose longest strings and lists are cut to fit, with ``truncated``."""
    if _fits(event):
        return event
    return next(cut for step in _STEPS if _fits(cut := _cut_event(event, *step)))


def _fits(event: AgentEvent) -> bool:
    try:
        return len(msgspec.json.encode(event)) <= _ROOM_BYTES
    except RecursionError:
        return False


def _cut_event(event: EventT, max_chars: int, max_items: int) -> EventT:
    members = {name: _cut(getattr(event, name), max_chars, max_items, _MAX_DEPTH) for name in event.__struct_fields__}
    return type(event)(**{**members, "truncated": True})


def _cut(value: Any, max_chars: int, max_items: int, depth: int) -> Any:
    match value:
        case str():
            return value[:max_chars]
        case msgspec.Raw():
            return msgspec.Raw(msgspec.json.encode(_cut(msgspec.json.decode(value), max_chars, max_items, depth)))
        case list() | tuple() | dict() if depth == 0:
            return None
        case list() | tuple():
            return [_cut(item, max_chars, max_items, depth - 1) for item in value[:max_items]]
        case dict():
            members = list(value.items())[:max_items]
            return {name[:max_chars]: _cut(item, max_chars, max_items, depth - 1) for name, item in members}
        case _:
            return value
