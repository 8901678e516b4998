"""WebSocket close codes of the contract (docs/protocol.md, "Connections")."""

from enum import IntEnum


class CloseCode(IntEnum):
    GOING_AWAY = 1001
    FRAME_TOO_LARGE = 1009
    OVERLOADED = 1013
    NOT_PROTOCOL = 4400
    NOT_AUTHENTICATED = 4401
    REPLACED = 4409
    VERSION_NOT_SPOKEN = 4426
