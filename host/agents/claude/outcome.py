"""How a turn ended, and what the user is told of it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from host.agents.claude.stream_json import Assistant, ConversationReset, Informational, Init, Line, Result, User
from host.processes.connection import Ended
from host.protocol.errors import ErrorCode
from host.protocol.messages.agent_events import AgentEvent, DoneReason, TurnDone, TurnError

_MAX_WORDS_CHARS: Final = 2000
_CODES: Final = {
    "authentication_failed": ErrorCode.AGENT_UNAVAILABLE,
    "billing_error": ErrorCode.AGENT_UNAVAILABLE,
    "invalid_request": ErrorCode.INVALID_REQUEST,
    "model_not_found": ErrorCode.INVALID_REQUEST,
    "rate_limit": ErrorCode.RATE_LIMITED,
}
_SIGN_IN: Final = "Run claude on that machine and sign in with /login, or mend the API key that it is given."
_NO_SESSION: Final = "No conversation found"
_IN_USE: Final = "is already in use"
# An exit code above this says which signal a program took for its end.
_SIGNALLED: Final = 128


@dataclass
class Outcome:
    """Is told every line of a turn."""

    _has_begun: bool = False
    _is_acknowledged: bool = False
    _result: Result | None = None
    _counted: Result | None = None
    # What the CLI says of a failure, which counts if its result is one; and why the message did nothing.
    _failure: TurnError | None = None
    _refusal: TurnError | None = None

    def observe(self, line: Line) -> None:
        match line:
            case Init():
                # What follows a task of the background decides anew.
                self._has_begun, self._result, self._failure = True, None, None
            case User(is_replay=True):
                self._is_acknowledged = True
            case Result():
                self._result = self._counted = line
            case Assistant(error=str() as kind):
                self._failure = _api_failure(kind, _text_of(line))
            case Informational(prevent_continuation=True):
                self._refusal = _error(
                    ErrorCode.INVALID_REQUEST, f"The message was not given to Claude. {line.content}"
                )
            case ConversationReset():
                self._refusal = _error(
                    ErrorCode.UNSUPPORTED,
                    "Clearing has no effect here, because the next message goes on with the same session. "
                    "Begin a new session instead.",
                )

    def is_taken(self, stderr: str) -> bool:
        """Whether nothing ran because the session, which was to be made, is there already."""
        return not self._has_begun and self._result is None and _IN_USE in stderr

    def events(self, ended: Ended, stderr: str, *, is_cancelled: bool, duration_ms: int) -> Iterator[AgentEvent]:
        """The turn's last ones: an error where there is one, and its end."""
        reason, error = ("cancelled", None) if is_cancelled else self._judge(ended, stderr)
        if error is not None:
            yield error
        counted = self._counted
        yield TurnDone(
            reason=reason,
            duration_ms=duration_ms,
            cancelled=True if is_cancelled else UNSET,
            usage=_usage(counted) if counted else UNSET,
            cost_usd=UNSET if counted is None or counted.total_cost_usd is None else counted.total_cost_usd,
        )

    def _judge(self, ended: Ended, stderr: str) -> tuple[DoneReason, TurnError | None]:
        result = self._result
        if result is None:
            return self._without_result(ended, stderr)
        if (result.terminal_reason or "").startswith("aborted"):
            return "interrupted", _error(
                ErrorCode.UNKNOWN_ERROR, "Claude was interrupted on its machine. What it did until then stays."
            )
        if result.is_error:
            return "failed", self._failure or _failed_result(result)
        return ("failed", self._refusal) if self._refusal else ("completed", None)

    def _without_result(self, ended: Ended, stderr: str) -> tuple[DoneReason, TurnError]:
        """The CLI is to be told by what it says; its exit code tells only whether it was killed."""
        if not self._has_begun and self._is_acknowledged:
            return "interrupted", _error(
                ErrorCode.UNKNOWN_ERROR,
                "Claude was given this message before and does not work on it twice. Send it again as a new one.",
            )
        if not self._has_begun and ended.exit_code is not None and ended.exit_code < _SIGNALLED:
            words = f"It says: {_last_line(stderr)}" if stderr.strip() else "Run claude on that machine to see why."
            return "failed", _error(ErrorCode.AGENT_UNAVAILABLE, f"Claude Code could not begin the turn. {words}")
        how = f"was ended by {ended.signal}" if ended.signal else "ended"
        return "interrupted", _error(
            ErrorCode.UNKNOWN_ERROR,
            f"Claude Code {how} before the turn was done. What it did until then stays; send a message to go on.",
        )


def _failed_result(result: Result) -> TurnError:
    words = result.result or " ".join(result.errors) or "Claude Code failed and does not say why."
    if words.startswith(_NO_SESSION):
        return _error(
            ErrorCode.SESSION_NOT_FOUND,
            "Claude Code has no such session for this directory any more: its transcript was deleted or moved. "
            "Begin a new session.",
        )
    return _error(ErrorCode.UNKNOWN_ERROR, words)


def _api_failure(kind: str, words: str) -> TurnError:
    advice = f" {_SIGN_IN}" if kind == "authentication_failed" else ""
    return _error(_CODES.get(kind, ErrorCode.UNKNOWN_ERROR), f"{words.rstrip('.')}.{advice}")


def _error(code: ErrorCode, message: str) -> TurnError:
    return TurnError(code=code.value, message=message[:_MAX_WORDS_CHARS])


def _text_of(line: Assistant) -> str:
    content = line.message.content
    words = content if isinstance(content, str) else "\n".join(block.text for block in content)
    return words or "Claude's API failed"


def _last_line(stderr: str) -> str:
    return stderr.strip().splitlines()[-1].removeprefix("Error: ").removeprefix("error: ")


def _usage(result: Result) -> dict[str, int]:
    """Tokens of the whole turn, with those of sub-agents."""
    models = list(result.model_usage.values())
    return {
        "inputTokens": sum(usage.input_tokens for usage in models),
        "outputTokens": sum(usage.output_tokens for usage in models),
        "cacheReadInputTokens": sum(usage.cache_read_input_tokens for usage in models),
        "cacheCreationInputTokens": sum(usage.cache_creation_input_tokens for usage in models),
    }
