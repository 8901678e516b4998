"""Two kinds of models, by direction of trust (docs/adr/0001).

What a peer asks of us is a ``Request``: pydantic, strict, every fault reported with its
field. What answers or tells is a ``Response`` or an ``Event``: a msgspec struct, several times
cheaper to make and to encode, which matters for listings of 10,000 entries.
"""

from typing import Any, ClassVar, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, from_json

from host.protocol.errors import InvalidRequest


class WireModel(BaseModel):
    """camelCase on the wire, snake_case in Python; unknown members are ignored, wrong types are not."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, strict=True)


class Request(WireModel):
    """A payload that asks for something; ``wire_type`` is the message's type."""

    wire_type: ClassVar[str]


class Response(msgspec.Struct, rename="camel", kw_only=True):
    """A payload that answers. Optional members default to ``msgspec.UNSET`` and are left out; ``None`` is sent."""


class Event(msgspec.Struct, rename="camel", kw_only=True):
    """A payload that tells without being asked."""

    wire_type: ClassVar[str]


RequestT = TypeVar("RequestT", bound=Request)


def parse_request(model: type[RequestT], payload: bytes) -> RequestT:
    """Validate a raw payload. Raises InvalidRequest that lists every wrong field."""
    try:
        # A msgspec.Raw only looks like bytes. On the wire nobody knows the names that Python code has for members.
        return model.model_validate_json(bytes(payload), by_alias=True, by_name=False)
    except ValidationError as exc:
        faults = exc.errors(include_url=False, include_context=False, include_input=False)
        # What is no JSON at all has a fault without a place, and no content to look in.
        content = from_json(bytes(payload)) if faults[0]["loc"] else None
        errors = [{"field": _field(fault, content), "reason": fault["msg"]} for fault in faults]
        first = errors[0]
        message = f"The request's payload is not valid: {first['field']}: {first['reason']}."
        raise InvalidRequest(message, errors=errors) from exc


def _field(fault: ErrorDetails, content: Any) -> str:
    """The way to the wrong member, without the names of the Python types that it could have been of."""
    names = []
    for part in fault["loc"]:
        is_here = part in content if isinstance(content, dict) else isinstance(content, list) and isinstance(part, int)
        if is_here:
            content = content[part]
            names.append(str(part))
    if fault["type"] == "missing":
        names.append(str(fault["loc"][-1]))
    return ".".join(names) or "payload"


def encode_payload(message: Request | Response | Event) -> msgspec.Raw:
    if isinstance(message, Request):
        return msgspec.Raw(message.model_dump_json(by_alias=True, exclude_none=True).encode())
    return msgspec.Raw(msgspec.json.encode(message))
