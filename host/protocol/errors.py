"""The contract's error codes, and one exception class for each that is raised.

An exception's message is a full sentence for a person: what happened, to what, what to
do next. Data goes in ``details``. Whoever answers the peer maps the exception to a
``WireError`` once; anything that is no ``ProtocolError`` is answered as ``UNKNOWN_ERROR``
without a word of its own.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

import msgspec


class ErrorCode(StrEnum):
    UNKNOWN_ERROR = "UNKNOWN_ERROR"
    INVALID_REQUEST = "INVALID_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    PROJECT_NOT_FOUND = "PROJECT_NOT_FOUND"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    OUTSIDE_PROJECT_ROOT = "OUTSIDE_PROJECT_ROOT"
    GIT_NOT_INITIALIZED = "GIT_NOT_INITIALIZED"
    COMMAND_TIMEOUT = "COMMAND_TIMEOUT"
    DAEMON_BUSY = "DAEMON_BUSY"
    CONFLICT = "CONFLICT"
    GIT_FAILED = "GIT_FAILED"
    PROJECT_NESTING = "PROJECT_NESTING"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    AGENT_UNAVAILABLE = "AGENT_UNAVAILABLE"
    MACHINE_OFFLINE = "MACHINE_OFFLINE"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    RATE_LIMITED = "RATE_LIMITED"
    UNSUPPORTED = "UNSUPPORTED"
    # The device flow's own (RFC 8628, section 3.5)
    AUTHORIZATION_PENDING = "AUTHORIZATION_PENDING"
    SLOW_DOWN = "SLOW_DOWN"
    ACCESS_DENIED = "ACCESS_DENIED"
    EXPIRED_TOKEN = "EXPIRED_TOKEN"  # noqa: S105 - a code, no secret


class WireError(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ``error`` member of an envelope. ``code`` is a plain string: a newer peer may send more codes."""

    code: str
    message: str
    details: dict[str, Any] | None = None


class ProtocolError(Exception):
    """Base of everything that a peer is told. ``message`` is shown to people as it is.

    ``is_outcome`` tells the request log whether the request had an effect: an outcome is
    remembered and answered again, a refusal before any effect is not.
    """

    code: ClassVar[ErrorCode]
    is_outcome: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details

    def to_wire(self) -> WireError:
        return WireError(self.code.value, self.message, dict(self.details) or None)


class InvalidRequest(ProtocolError):
    code = ErrorCode.INVALID_REQUEST

    @classmethod
    def of_field(cls, field: str, reason: str) -> "InvalidRequest":
        """One wrong field; ``reason`` is a sentence."""
        return cls(f"The request's {field} is not valid. {reason}", errors=[{"field": field, "reason": reason}])


class Unauthorized(ProtocolError):
    """Carries the same words whatever was wrong, so that it tells a stranger nothing."""

    code = ErrorCode.UNAUTHORIZED

    def __init__(self) -> None:
        super().__init__("Not authenticated. Sign in again.")


class ProjectNotFound(ProtocolError):
    """No such project, or not this user's; both read alike."""

    code = ErrorCode.PROJECT_NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is no such project. Add it on its machine with: pocketcoder add PATH")


class ProjectRootGone(ProtocolError):
    """The project is registered but its directory is not there any more."""

    code = ErrorCode.PROJECT_NOT_FOUND


class FileNotFound(ProtocolError):
    code = ErrorCode.FILE_NOT_FOUND


class FileTooLarge(ProtocolError):
    code = ErrorCode.FILE_TOO_LARGE


class OutsideProjectRoot(ProtocolError):
    code = ErrorCode.OUTSIDE_PROJECT_ROOT


class Conflict(ProtocolError):
    code = ErrorCode.CONFLICT


class FileAccessFailed(ProtocolError):
    """The host's file system refuses: permission, no space, read-only, an I/O error."""

    code = ErrorCode.UNKNOWN_ERROR


class DeletedInPart(FileAccessFailed):
    """The file system refused when part of a directory was deleted. ``details.left`` is the first that was not."""

    is_outcome = True


class GitNotInitialized(ProtocolError):
    code = ErrorCode.GIT_NOT_INITIALIZED


class GitFailed(ProtocolError):
    """Git refused or broke off. ``details``: ``stderr``, its last 4 KiB, and ``exitCode``, None if it was ended."""

    code = ErrorCode.GIT_FAILED


class GitChangeFailed(GitFailed):
    """The same of a git that was to change something, and may have done so in part."""

    is_outcome = True


class UnmergedResult(Conflict):
    """What was pulled is in conflict with what was here; git stopped in the middle. ``details.paths`` says where."""

    is_outcome = True


class ProjectNesting(ProtocolError):
    code = ErrorCode.PROJECT_NESTING


class SessionNotFound(ProtocolError):
    """No such agent session, prompt, command or stream in this project."""

    code = ErrorCode.SESSION_NOT_FOUND


class AgentUnavailable(ProtocolError):
    """The agent's program is not on this machine, or does not start."""

    code = ErrorCode.AGENT_UNAVAILABLE


class DaemonBusy(ProtocolError):
    code = ErrorCode.DAEMON_BUSY


class CommandNotStarted(ProtocolError):
    """The user's shell could not be started; nothing ran."""

    code = ErrorCode.UNKNOWN_ERROR


class CommandTimeout(ProtocolError):
    """A command was ended at its limit; what it did until then, it did."""

    code = ErrorCode.COMMAND_TIMEOUT
    is_outcome = True


class OutcomeUnknown(ProtocolError):
    """The request was under way when the daemon ended, or its handler failed; it is never run again by itself."""

    code = ErrorCode.UNKNOWN_ERROR
    is_outcome = True

    def __init__(self) -> None:
        super().__init__(
            "Something went wrong while the daemon worked on this request, so its outcome is unknown. "
            "Look at what it did before you send it under a new id.",
            outcome="unknown",
        )


class MachineOffline(ProtocolError):
    code = ErrorCode.MACHINE_OFFLINE

    def __init__(self) -> None:
        super().__init__("The machine is not connected. Start its daemon with: pocketcoder start")


class RequestTimeout(ProtocolError):
    code = ErrorCode.REQUEST_TIMEOUT


class RateLimited(ProtocolError):
    code = ErrorCode.RATE_LIMITED

    def __init__(self, message: str, *, retry_after_ms: int = 1_000) -> None:
        super().__init__(message, retryAfterMs=retry_after_ms)


class Unsupported(ProtocolError):
    code = ErrorCode.UNSUPPORTED


class AuthorizationPending(ProtocolError):
    code = ErrorCode.AUTHORIZATION_PENDING


class SlowDown(ProtocolError):
    code = ErrorCode.SLOW_DOWN


class AccessDenied(ProtocolError):
    code = ErrorCode.ACCESS_DENIED


class ExpiredToken(ProtocolError):
    code = ErrorCode.EXPIRED_TOKEN


def unforeseen() -> WireError:
    """What a peer is told of a fault in our own code: nothing but that it happened."""
    return WireError(ErrorCode.UNKNOWN_ERROR.value, "Something went wrong on this side. Its log says what.")
