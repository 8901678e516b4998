"""What ``pocketcoder login`` and ``logout`` do."""

import asyncio
import sys
from urllib.parse import urlsplit

import typer

from host.auth.keyring_vault import VaultUnusable
from host.auth.token_store import TokenStore
from host.cli.signing_in import has_browser, revoke, sign_in_by_browser, sign_in_by_device
from host.core.settings import is_loopback
from host.protocol.messages.auth import DeviceAuthorizeResponse


def log_in(store: TokenStore, relay_url: str, *, by_device: bool, open_browser: bool) -> None:
    """Sign in at the relay, by another device's browser if there is none here, and keep the tokens.

    Says on the terminal what to do and what came of it. Raises LoginFailed.
    """
    parts = urlsplit(relay_url)
    if parts.scheme == "ws" and not is_loopback(parts.hostname or ""):
        typer.echo("The connection is not encrypted: whoever is on the way can take over this machine.", err=True)
    if by_device or (open_browser and not has_browser()):
        tokens = asyncio.run(sign_in_by_device(relay_url, show=_show_code))
    else:
        tokens = asyncio.run(sign_in_by_browser(relay_url, show=_show_address, open_browser=open_browser))
    store.sign_in(tokens)
    for warning in store.warnings:
        typer.echo(warning, err=True)
    typer.echo(f"Signed in as {tokens.login} at {relay_url}.", err=True)


def log_out(store: TokenStore) -> bool:
    """End the sign-in at the relay, and forget it here whether or not the relay could be told.

    Returns whether somebody was signed in.
    """
    signed_in = store.signed_in()
    if signed_in is None:
        typer.echo("Nobody was signed in.")
        return False
    was_ended = _end_at_relay(store)
    store.sign_out()
    for warning in store.warnings:
        typer.echo(warning, err=True)
    typer.echo(f"Signed out from {signed_in.relay_url}.")
    if not was_ended:
        typer.echo(
            "The relay could not be told, and keeps this sign-in until nobody has used it for long. If somebody else "
            "may have it, end it on the relay's machine: pocketcoder-relay sessions, then revoke",
            err=True,
        )
    return True


def _end_at_relay(store: TokenStore) -> bool:
    try:
        tokens = store.tokens()
    except VaultUnusable:
        return False
    return tokens is not None and asyncio.run(revoke(tokens))


def _show_address(url: str) -> None:
    typer.echo("Open this address in a browser on this machine to sign in:", err=True)
    typer.echo(url)


def _show_code(code: DeviceAuthorizeResponse) -> None:
    if sys.stderr.isatty():
        import segno  # noqa: PLC0415 - for a terminal only

        segno.make(code.verification_uri_complete, micro=False).terminal(sys.stderr, compact=True)
    typer.echo(f"On your phone, or in any browser, open {code.verification_uri}", err=True)
    typer.echo(f"and confirm the code {code.user_code} within {code.expires_in_s // 60} minutes.", err=True)
