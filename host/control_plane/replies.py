"""What the control plane answers, and each refusal once. Errors are ``{"error": {code, message}}``."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec

from host.protocol.errors import ErrorCode, ProtocolError, WireError, unforeseen
from host.protocol.limits import KIB

MAX_BODY_BYTES: Final = 64 * KIB

_STATUS_OF_CODE: Final = {
    ErrorCode.INVALID_REQUEST: HTTPStatus.BAD_REQUEST,
    ErrorCode.OUTSIDE_PROJECT_ROOT: HTTPStatus.BAD_REQUEST,
    ErrorCode.PROJECT_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.FILE_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.CONFLICT: HTTPStatus.CONFLICT,
    ErrorCode.PROJECT_NESTING: HTTPStatus.CONFLICT,
}


@dataclass(frozen=True)
class Reply:
    """An HTTP status and a JSON body, empty for none."""

    status: HTTPStatus
    body: bytes = b""
    headers: Mapping[str, str] | None = None


def error_reply(status: HTTPStatus, code: ErrorCode, message: str) -> Reply:
    return _error(status, WireError(code.value, message))


def reply_to_protocol_error(error: ProtocolError) -> Reply:
    """400, 404 or 409, and 500 for the codes that a control plane has no business with."""
    return _error(_STATUS_OF_CODE.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR), error.to_wire())


def _error(status: HTTPStatus, error: WireError) -> Reply:
    return Reply(status, msgspec.json.encode({"error": error}))


UNFORESEEN: Final = _error(HTTPStatus.INTERNAL_SERVER_ERROR, unforeseen())
FORBIDDEN: Final = error_reply(
    HTTPStatus.FORBIDDEN, ErrorCode.UNAUTHORIZED, "The control plane is not for web pages. Use the pocketcoder command."
)
NOT_AUTHENTICATED: Final = error_reply(
    HTTPStatus.UNAUTHORIZED, ErrorCode.UNAUTHORIZED, "The control plane serves only the user whose daemon this is."
)
NO_UPGRADE: Final = error_reply(
    HTTPStatus.BAD_REQUEST, ErrorCode.UNSUPPORTED, "The control plane speaks plain HTTP only."
)
MALFORMED: Final = error_reply(
    HTTPStatus.BAD_REQUEST, ErrorCode.INVALID_REQUEST, "The request is not valid HTTP, or its headers are too large."
)
TOO_LARGE: Final = error_reply(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.INVALID_REQUEST,
    f"The request's body is larger than {MAX_BODY_BYTES} bytes.",
)
TOO_SLOW: Final = error_reply(
    HTTPStatus.REQUEST_TIMEOUT, ErrorCode.REQUEST_TIMEOUT, "The request's body did not arrive in time."
)
