"""The tables of docs/protocol.md that come from the models.

Run it after a model has changed: it writes them between their markers.
"""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from host.protocol.catalog import CATALOG, RequestType
from host.protocol.errors import ErrorCode
from host.protocol.messages.agent_events import AgentEvent
from host.protocol.messages.agents import Attention
from host.protocol.messages.commands import CommandExit, CommandOutput
from host.protocol.messages.git import GitProgress
from host.protocol.messages.system import DaemonStatus
from host.protocol.messages.watching import FsChanged, GitChanged

DOCUMENT: Final = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"
BEGIN: Final = "<!-- from the models: begin -->"
END: Final = "<!-- from the models: end -->"

_PLAIN: Final = {str: "string", int: "integer", float: "number", bool: "boolean", msgspec.Raw: "any", Any: "any"}
_EVENTS: Final = (DaemonStatus, FsChanged, GitChanged, CommandOutput, CommandExit, GitProgress, Attention)
# Members whose Python type is wider than what they hold: they are encoded before they are put in.
_ENCODED: Final = {
    ("FsReadResponse", "content"): "string",
    ("GitFileBaseResponse", "content"): "string",
    ("MachineInfo", "capabilities"): "Capabilities",
}


def tables() -> str:
    """Everything that stands between the markers."""
    shapes: dict[str, type] = {}
    requests = [_request_row(entry, shapes) for entry in CATALOG.values()]
    events = [f"| `{event.wire_type}` | {_members(event, shapes)} |" for event in _EVENTS]
    agent_events = [_agent_event_row(kind, shapes) for kind in AgentEvent.__subclasses__()]
    written: dict[str, str] = {}
    while missing := [name for name in shapes if name not in written]:
        for name in missing:
            written[name] = _members(shapes[name], shapes)
    return "\n".join(
        [
            "| request | asked by | answered by | payload | answer | answer's payload |",
            "| --- | --- | --- | --- | --- | --- |",
            *requests,
            "",
            "Requests marked * change something, and are remembered so that a retry is safe.",
            "",
            "| event | payload |",
            "| --- | --- |",
            *events,
            f"| `agent_event` | `type` string, {_members(AgentEvent, shapes)}, and those of its type |",
            "",
            "| `agent_event`'s `type` | further members |",
            "| --- | --- |",
            *agent_events,
            "",
            "| shape | members |",
            "| --- | --- |",
            *(f"| `{name}` | {written[name]} |" for name in sorted(written)),
            "",
            f"Error codes: {', '.join(f'`{code}`' for code in ErrorCode)}.",
        ]
    )


def with_tables(document: str) -> str:
    """The document with what is between its markers replaced."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def _request_row(entry: RequestType, shapes: dict[str, type]) -> str:
    mark = "*" if entry.changes else ""
    return (
        f"| `{entry.name}`{mark} | {entry.asked_by} | {entry.answered_by} | {_members(entry.request, shapes)} "
        f"| `{entry.response_type}` | {_members(entry.response, shapes)} |"
    )


def _agent_event_row(kind: type[AgentEvent], shapes: dict[str, type]) -> str:
    common = set(_model_members(AgentEvent, {}))
    own = [member for member in _model_members(kind, shapes) if member not in common]
    return f"| `{kind.__struct_config__.tag}` | {', '.join(own) or 'none'} |"


def _members(model: type, shapes: dict[str, type]) -> str:
    return ", ".join(_model_members(model, shapes)) or "none"


def _model_members(model: type, shapes: dict[str, type]) -> Iterator[str]:
    if issubclass(model, BaseModel):
        for info in model.model_fields.values():
            yield _member(info.alias or "", not info.is_required(), info.annotation, shapes, _bounds(info))
    elif issubclass(model, msgspec.Struct):
        for field in msgspec.structs.fields(model):
            kind = _ENCODED.get((model.__name__, field.encode_name), field.type)
            is_optional = field.default is msgspec.UNSET
            yield _member(field.encode_name, is_optional, kind, shapes, "")


def _member(name: str, is_optional: bool, kind: Any, shapes: dict[str, type], bounds: str) -> str:
    return f"`{name}{'?' if is_optional else ''}` {_type(kind, shapes)}{bounds}"


def _type(kind: Any, shapes: dict[str, type]) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, str):
        return kind
    if kind is type(None):
        return "null"
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is Annotated:
        return _type(arguments[0], shapes)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin in (list, tuple):
        return f"list of {_type(arguments[0], shapes)}"
    if origin is dict:
        return f"object of {_type(arguments[1], shapes)}"
    if origin in (Union, types.UnionType):
        parts = [part for part in arguments if part is not msgspec.UnsetType]
        return " or ".join(_type(part, shapes) for part in parts)
    shapes[kind.__name__] = kind
    return str(kind.__name__)


def _bounds(info: FieldInfo) -> str:
    said = []
    for rule in info.metadata:
        match rule:
            case Ge(ge=low):
                said.append(f"≥ {low}")
            case Le(le=high):
                said.append(f"≤ {high}")
            case MinLen(min_length=low) if low > 0:
                said.append(f"at least {low} long")
            case MaxLen(max_length=high):
                said.append(f"at most {high} long")
    return f" ({', '.join(said)})" if said else ""


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
