"""From what the CLI says to what the contract calls it. Pure."""

import os.path
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET

from host.agents.claude.stream_json import ApiRetry, Assistant, Block, Init, Line, Streamed, User
from host.protocol.messages.agent_events import (
    AgentEvent,
    FileCreated,
    FileEdited,
    Retry,
    Text,
    TextDelta,
    Thinking,
    ToolResult,
    ToolUse,
    TurnBegan,
)

_FILE_TOOLS: Final = frozenset({"Edit", "MultiEdit", "NotebookEdit", "Write"})
# What a command of the CLI itself, such as /compact, printed.
_COMMAND_OUTPUT: Final = ("<local-command-stdout>", "</local-command-stdout>")
_NO_OUTPUT: Final = "(no content)"
# How the result of a sub-agent's Write begins, of which nothing else is told.
_CREATED: Final = "File created"


class _FileChange(msgspec.Struct, frozen=True):
    type: str = ""
    file_path: str = msgspec.field(name="filePath", default="")
    notebook_path: str = ""
    patch: Any = msgspec.field(name="structuredPatch", default=UNSET)


@dataclass
class EventMapping:
    """One turn's. ``root`` is the project's directory: paths in it become relative to it, others stay absolute.

    ``changes``: the files that tools work on at the moment, by the tool's id.
    """

    root: Path
    changes: dict[str, str] = field(default_factory=dict)
    _began: TurnBegan | None = None

    def events(self, line: Line) -> Iterator[AgentEvent]:
        """What the line means to the user, in order; often nothing."""
        match line:
            case Streamed():
                yield from _piece(line)
            case Assistant():
                yield from self._said(line)
            case User():
                yield from self._heard(line)
            case Init():
                yield from self._begin(line)
            case ApiRetry():
                yield _retry(line)

    def _begin(self, line: Init) -> Iterator[TurnBegan]:
        """The CLI says it again when it goes on by itself, which is news only if something has changed."""
        began = TurnBegan(model=line.model, tools=line.tools, permission_mode=line.permission_mode, cwd=line.cwd)
        if began != self._began:
            self._began = began
            yield began

    def _said(self, line: Assistant) -> Iterator[AgentEvent]:
        # How the API failed is told at the turn's end, by its outcome.
        if line.error is not None or isinstance(line.message.content, str):
            return
        for block in line.message.content:
            if block.type == "tool_use":
                yield self._tool_use(block, line.parent_tool_use_id)
            # What a sub-agent says is meant for the agent, which has it in the result of its tool.
            elif line.parent_tool_use_id is None:
                yield from _words(block)

    def _tool_use(self, block: Block, parent: str | None) -> ToolUse:
        if block.name in _FILE_TOOLS and isinstance(block.input, dict):
            path = block.input.get("file_path") or block.input.get("notebook_path")
            self.changes[block.id] = path if isinstance(path, str) else ""
        return ToolUse(
            tool_use_id=block.id,
            name=block.name,
            input=block.input,
            parent_tool_use_id=UNSET if parent is None else parent,
        )

    def _heard(self, line: User) -> Iterator[AgentEvent]:
        if isinstance(line.message.content, str):
            yield from _command_output(line.message.content)
            return
        for block in line.message.content:
            if block.type == "tool_result":
                yield from self._file_change(block, line.tool_use_result)
                yield ToolResult(tool_use_id=block.tool_use_id, content=block.content, is_error=block.is_error is True)

    def _file_change(self, block: Block, known: msgspec.Raw) -> Iterator[FileCreated | FileEdited]:
        path = self.changes.pop(block.tool_use_id, None)
        if path is None or block.is_error:
            return
        change = _read_change(known)
        created = change.type == "create" or (not change.type and str(block.content).startswith(_CREATED))
        kind = FileCreated if created else FileEdited
        changed = change.file_path or change.notebook_path or path
        yield kind(tool_use_id=block.tool_use_id, path=self._shown(changed), patch=change.patch or UNSET)

    def _shown(self, path: str) -> str:
        plain = Path(os.path.normpath(path))
        return str(plain.relative_to(self.root)) if plain.is_relative_to(self.root) else str(plain)


def _piece(line: Streamed) -> Iterator[TextDelta]:
    delta = line.event.delta
    if line.parent_tool_use_id is None and delta is not None and delta.type == "text_delta" and delta.text:
        yield TextDelta(text=delta.text)


def _words(block: Block) -> Iterator[AgentEvent]:
    if block.type == "text" and block.text and block.text != _NO_OUTPUT:
        yield Text(text=block.text)
    elif block.type == "thinking" and block.thinking:
        yield Thinking(text=block.thinking)


def _command_output(text: str) -> Iterator[Text]:
    start, end = _COMMAND_OUTPUT
    if text.startswith(start):
        output = text.removeprefix(start).removesuffix(end).strip()
        if output:
            yield Text(text=output)


def _retry(line: ApiRetry) -> Retry:
    return Retry(attempt=line.attempt, delay_ms=round(line.retry_delay_ms), reason=_reason(line))


def _reason(line: ApiRetry) -> str:
    if line.error_status is not None:
        return f"{line.error} (HTTP {line.error_status})"
    return "no answer from the API" if line.error == "unknown" else line.error


def _read_change(known: msgspec.Raw) -> _FileChange:
    """Words instead of an object tell of a failure; of a sub-agent's tools nothing is told."""
    try:
        return msgspec.json.decode(known, type=_FileChange)
    except (ValueError, RecursionError):
        return _FileChange()
