"""What browsers send: queries and forms, in bounded time and size."""

import asyncio
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from relay_stub.oauth.authorization_request import PageRefusal

MAX_PARAMETERS: Final = 32
_BODY_TIMEOUT_S: Final = 10.0


def query_of(request: web.Request) -> dict[str, str]:
    """Raises PageRefusal, also for what was given twice."""
    return _parameters(request.rel_url.raw_query_string)


async def form_of(request: web.Request) -> dict[str, str]:
    """Raises PageRefusal, also for what was given twice and for a form that does not come."""
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            body = await request.read()
    except TimeoutError as exc:
        raise PageRefusal("The form did not arrive. Send it again.", status=408) from exc
    return _parameters(body.decode("utf-8", "replace"))


def _parameters(encoded: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as exc:
        raise PageRefusal("The link has too many parts. Sign in again from PocketCoder itself.") from exc
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        # RFC 6749, section 3.1: which of the two would hold?
        raise PageRefusal("The link says something twice. Sign in again from PocketCoder itself.")
    return parameters
