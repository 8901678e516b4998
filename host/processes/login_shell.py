"""The user's shell, and the environment it makes for a login, asked for once at the daemon's start."""

import asyncio
import os
import pwd
import secrets
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from host.processes.environment import combined, started_with, without_ours
from host.processes.output import OutputPipes

TIMEOUT_S: Final = 10.0
_MAX_OUTPUT_BYTES: Final = 4 * 1024 * 1024
# What an account is given that nobody logs in to.
_NO_SHELLS: Final = frozenset({"nologin", "false", "true"})


@dataclass(frozen=True, slots=True)
class UserEnvironment:
    """``warnings`` are sentences: the login shell did not tell its environment."""

    variables: dict[str, str]
    warnings: tuple[str, ...] = ()


def user_shell(environ: Mapping[str, str]) -> str:
    """The absolute path of the user's shell: $SHELL, else the account's, else /bin/sh."""
    return next(shell for shell in _candidates(environ) if _is_shell(shell) or shell == "/bin/sh")


async def user_environment(environ: Mapping[str, str], shell: str, *, timeout_s: float = TIMEOUT_S) -> UserEnvironment:
    """What commands and agents run in: the login shell's environment, the daemon's own (``environ``) on top.

    The shell runs as a login does, and interactive, because that is where people set things; it has no terminal
    and an empty stdin. If it does not tell in time, the daemon's own environment has to do.
    """
    started = started_with(environ)
    try:
        async with asyncio.timeout(timeout_s):
            told = await _ask(shell, started)
    except (OSError, TimeoutError):
        told = None
    if told is None:
        warning = (
            f"The shell {shell} did not tell its environment within {timeout_s:g} s, so commands run in the "
            "daemon's own. Check what its start-up files do without a terminal, then restart the daemon."
        )
        return UserEnvironment(started, (warning,))
    return UserEnvironment(combined(without_ours(told), started))


async def _ask(shell: str, environ: Mapping[str, str]) -> dict[str, str] | None:
    """None when the shell ended without telling. Raises OSError when it can't be run."""
    mark = secrets.token_hex(16)
    # Understood alike by sh, bash, zsh and fish.
    script = f"printf %s {mark}; /usr/bin/env -0; printf %s {mark}"
    readable, writable = os.pipe()
    output = OutputPipes({"stdout": readable})
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                shell,
                *("-l", "-i", "-c", script),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writable,
                stderr=asyncio.subprocess.DEVNULL,
                env=environ,
                cwd=environ.get("HOME", "/"),
                # Without a session of its own an interactive shell would take the daemon's terminal.
                start_new_session=True,
            )
        finally:
            os.close(writable)
        try:
            return _parse(await _read_between(output, mark.encode()))
        finally:
            # Its group alone, not its tree: what start-up files put into sessions of their own (an ssh-agent) is
            # meant to stay, and what they told names it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    finally:
        output.close()


async def _read_between(output: OutputPipes, mark: bytes) -> bytes:
    """What lies between the marks, whatever start-up files print around it. Empty when it does not come whole."""
    received = b""
    while received.count(mark) < 2 and len(received) <= _MAX_OUTPUT_BYTES:
        piece = await output.read()
        if piece is None:
            return b""
        received += piece[1]
    parts = received.split(mark)
    return parts[1] if len(parts) > 2 else b""


def _parse(listing: bytes) -> dict[str, str] | None:
    if not listing:
        return None
    entries = (entry.partition(b"=") for entry in listing.split(b"\0") if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in entries}


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    yield environ.get("SHELL", "")
    with suppress(KeyError):
        yield pwd.getpwuid(os.getuid()).pw_shell
    yield "/bin/sh"


def _is_shell(path: str) -> bool:
    return (
        os.path.isabs(path)
        and os.path.basename(path) not in _NO_SHELLS
        and os.path.isfile(path)
        and os.access(path, os.X_OK)
    )
