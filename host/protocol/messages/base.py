"""Two kinds of models, by direction of trust (docs/adr/0001).

What a peer asks of us is a ``Request``: pydantic, strict, every fault reported with its
field. What answers or tells is a ``Response`` or an ``Event``: a msgspec struct, several times
cheaper to make and to encode, which matters for listings of 10,000 entries.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from host.protocol.errors import InvalidRequest
from host.protocol.limits import MAX_PAGE_ITEMS

# Who asks for more than a page holds gets a page, with ``more``.
PageLimit = Annotated[int, Field(ge=1), AfterValidator(lambda asked: min(asked, MAX_PAGE_ITEMS))]


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
        sent = _read(payload)
        errors = [
            {"field": _field(fault["loc"], sent) or "payload", "reason": fault["msg"]}
            for fault in exc.errors(include_url=False, include_context=False, include_input=False)
        ]
        # Of a member that may be one thing or another, what is wrong within it says more than that it is not the other.
        errors.sort(key=lambda error: -error["field"].count("."))
        first = errors[0]
        message = f"The request's payload is not valid: {first['field']}: {first['reason']}."
        raise InvalidRequest(message, errors=errors) from exc


def _read(payload: bytes) -> Any:
    """None for what is no JSON."""
    try:
        return msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return None


def _field(place: Sequence[int | str], value: Any) -> str:
    """The member's place in the payload ``value``, without the names of our own types where it may be of several."""
    parts: list[str] = []
    for index, part in enumerate(place):
        is_there = part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)
        is_missing = isinstance(value, dict) and index == len(place) - 1
        if is_there or is_missing:
            parts.append(str(part))
            value = value[part] if is_there else None
    return ".".join(parts)


def encode_payload(message: Request | Response | Event) -> msgspec.Raw:
    if isinstance(message, Request):
        return msgspec.Raw(message.model_dump_json(by_alias=True, exclude_none=True).encode())
    return msgspec.Raw(msgspec.json.encode(message))
