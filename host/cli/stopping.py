"""Waiting for a daemon that was asked to stop, and saying what it waits for itself."""

import json
import time
from contextlib import suppress
from typing import Final

import typer

from host.cli.output import fail
from host.control_plane.client import ControlClient, ControlError, understood
from host.control_plane.words import work_of
from host.core.home import HostPaths
from host.core.instance_lock import holder

# The daemon gives what runs 30 s, and ends it then, which may take as long again.
TIMEOUT_S: Final = 60.0
_LOOK_INTERVAL_S: Final = 0.05
_ASK_INTERVAL_S: Final = 1.0


def wait_for_end(paths: HostPaths, control: ControlClient, *, is_forced: bool) -> None:
    """Ends the command when the daemon does not end. What is ended by force is not waited for, so it is not told."""
    began_s = time.monotonic()
    ask_s, told = began_s, ""
    while (pid := holder(paths.pid_file)) is not None:
        now_s = time.monotonic()
        if now_s - began_s > TIMEOUT_S:
            what_helps = f"kill -9 {pid}" if is_forced else "pocketcoder stop --force"
            fail(f"The daemon (process {pid}) has not stopped within {TIMEOUT_S:g} s. End it now with: {what_helps}")
        if now_s >= ask_s and not is_forced:
            ask_s = now_s + _ASK_INTERVAL_S
            work = _work(control)
            if work and work != told:
                told = work
                typer.echo(f"Waiting up to 30 s for {work}. To end that now: pocketcoder stop --force", err=True)
        time.sleep(_LOOK_INTERVAL_S)


def _work(control: ControlClient) -> str:
    """What the daemon waits for, in words; nothing once it does not answer any more."""
    with suppress(ControlError), understood():
        answer = control.request("GET", "/status")
        if answer.status == 200:
            return work_of(json.loads(answer.body))
    return ""
