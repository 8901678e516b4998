"""``pocketcoder login``: the browser's part, then tokens for the code."""

import asyncio
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress

from host.auth.login import LoginFailed, login_attempt
from host.auth.session import stored
from host.auth.token_store import StoredTokens
from host.core.tasks import run_together
from host.protocol.envelope import InvalidEnvelope, NotAMessage, decode_envelope
from host.protocol.messages.auth import AuthExchange, Tokens
from host.relay.calls import CallRefused, RelayCalls
from host.relay.transport import ConnectionLost, Transport, open_transport


async def sign_in(relay_url: str, *, show: Callable[[str], None], open_browser: bool) -> StoredTokens:
    """Let the user sign in at the relay in a browser; ``show`` gets the URL. Raises LoginFailed."""
    async with login_attempt(relay_url) as attempt:
        show(attempt.url)
        if open_browser:
            with suppress(webbrowser.Error):
                await asyncio.to_thread(webbrowser.open, attempt.url)
        request = await attempt.exchange()
    return stored(await _exchange(relay_url, request), relay_url, now_s=time.time())


async def _exchange(relay_url: str, request: AuthExchange) -> Tokens:
    answers: list[Tokens] = []

    async def ask(calls: RelayCalls) -> None:
        answers.append(await calls.call(request, Tokens))

    try:
        async with open_transport(f"{relay_url}/ws/daemon") as transport:
            calls = RelayCalls(transport.send)
            await run_together(ask(calls), _read(transport, calls))
    except CallRefused as exc:
        raise LoginFailed("The relay did not accept the sign-in. Run pocketcoder login again.") from exc
    except ConnectionLost as exc:
        raise LoginFailed(f"{exc} Check the address, {relay_url}, and run pocketcoder login again.") from exc
    return answers[0]


async def _read(transport: Transport, calls: RelayCalls) -> None:
    while True:
        with suppress(NotAMessage, InvalidEnvelope):
            calls.receive(decode_envelope(await transport.receive()))
