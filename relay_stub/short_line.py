"""An event in one line for a person. Pure."""

from typing import Any, Final

import msgspec

from relay_stub.client import Message

MAX_MEMBER_CHARS: Final = 120
_SESSION_CHARS: Final = 8
# What is clear from the line's beginning, or no matter to somebody who reads along.
_LEFT_OUT: Final = frozenset({"type", "sessionId", "agentSessionId", "turnId", "toolUseId", "machineKey", "seq", "at"})


def short_line(event: Message) -> str:
    """The event's type and members, each cut to 120 characters; of an agent's, its session's first 8 before them."""
    payload: dict[str, Any] = event.get("payload", {})
    kind = str(payload.get("type", event["type"]))
    members = [f"{name}={_short(value)}" for name, value in payload.items() if name not in _LEFT_OUT]
    return " ".join([*_session(payload), kind, *members])


def _session(payload: dict[str, Any]) -> list[str]:
    return [payload["agentSessionId"][:_SESSION_CHARS]] if "agentSessionId" in payload else []


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_MEMBER_CHARS else f"{text[:MAX_MEMBER_CHARS]}…"
