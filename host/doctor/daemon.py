"""Does the daemon run, is it signed in and registered, and do messages go to the relay and back."""

import json
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from host.auth.keyring_vault import VaultUnusable
from host.auth.token_store import TokenStore
from host.autostart.choice import autostart
from host.autostart.port import AutostartFailed
from host.control_plane.client import ControlError, DaemonNotRunning, ForeignListener, checked
from host.core.instance_lock import holder
from host.doctor.finding import Finding, Patient, ok

ROUND_TRIP_TIMEOUT_S: Final = 10.0
_LOOK_INTERVAL_S: Final = 0.02
_NO_ANSWER: Final = Finding("unknown", "The daemon does not run, or could not be asked.")


def signed_in(patient: Patient) -> Finding:
    store = TokenStore(patient.paths.auth_file)
    mend = f"pocketcoder login --relay {patient.relay_url}"
    try:
        who, tokens = store.signed_in(), store.tokens()
    except VaultUnusable as exc:
        return Finding("broken", str(exc), f"Unlock the keyring, or: {mend}")
    if who is None or tokens is None:
        return Finding("broken", "Nobody is signed in.", mend)
    if who.relay_url != patient.relay_url:
        return Finding("broken", f"The sign-in is for {who.relay_url}, not for {patient.relay_url}.", mend)
    status = patient.status()
    if status is not None and not status["loggedIn"]:
        return Finding("broken", f"The relay ended the sign-in of {who.login}.", mend)
    return ok(f"Signed in as {who.login} at {who.relay_url}.")


def running(patient: Patient) -> Finding:
    pid = holder(patient.paths.pid_file)
    if pid is None:
        return Finding("broken", "The daemon does not run.", "pocketcoder start")
    try:
        status = json.loads(checked(patient.control().request("GET", "/status", timeout_s=5)).body)
    except DaemonNotRunning:
        return Finding("broken", "The daemon has just ended.", "pocketcoder start")
    except ForeignListener as exc:
        return Finding("broken", str(exc), "End that program, or set POCKETCODER_CONTROL_PORT to another port.")
    except ControlError as exc:
        return Finding(
            "broken", str(exc), f"pocketcoder start; if that gets no answer either: kill -9 {pid}, and again"
        )
    if status["version"] != (installed := version("pocketcoder")):
        message = f"The daemon (process {pid}) is of version {status['version']}, but {installed} is installed."
        return Finding("warning", message, "pocketcoder stop && pocketcoder start")
    if status["stopping"]:
        message = f"The daemon (process {pid}) is stopping; it refuses what the phone asks for."
        return Finding("warning", message, "pocketcoder stop, which waits for it; then: pocketcoder start")
    return ok(f"The daemon runs (process {pid}).")


def registered(patient: Patient) -> Finding:
    status = patient.status()
    if status is None:
        return _NO_ANSWER
    relay = status["relay"]
    if not status["loggedIn"]:
        return Finding("unknown", "Nobody is signed in.")
    if relay["connected"]:
        return ok(f"Connected since {relay['lastConnectedAt']}.")
    return Finding("broken", f"Not connected: {relay.get('lastError', relay['state'])}", "pocketcoder start")


def round_trip(patient: Patient, *, sleep: Callable[[float], None] = time.sleep) -> Finding:
    """Have the daemon register again, and wait for the relay's bytes."""
    before = patient.status()
    if before is None or not before["relay"]["connected"]:
        return Finding("unknown", "There is no connection to send anything on.")
    began_s = time.monotonic()
    patient.control().request("POST", "/re-register")
    while time.monotonic() - began_s < ROUND_TRIP_TIMEOUT_S:
        now = patient.status()
        # Not "later": the clock may have been set back since.
        if now is not None and now["relay"]["lastHeartbeatAt"] != before["relay"]["lastHeartbeatAt"]:
            return ok(f"The relay answered within {(time.monotonic() - began_s) * 1000:.0f} ms.")
        sleep(_LOOK_INTERVAL_S)
    return Finding(
        "broken",
        f"The relay did not answer the daemon within {ROUND_TRIP_TIMEOUT_S:g} s.",
        "pocketcoder stop && pocketcoder start; if that does not help, look at the relay's log",
    )


def warnings(patient: Patient) -> Finding:
    """What the daemon itself has noticed, of projects that can't be watched too."""
    status = patient.status()
    if status is None:
        return _NO_ANSWER
    noticed = status["capabilities"]["warnings"]
    if not noticed:
        return ok("The daemon has noticed nothing that is wrong.")
    return Finding("warning", " ".join(noticed), "pocketcoder status")


def projects(patient: Patient) -> Finding:
    status = patient.status()
    if status is None:
        return _NO_ANSWER
    if not status["projects"]:
        return Finding("warning", "There are no projects, so the phone has nothing to show.", "pocketcoder add PATH")
    count = len(status["projects"])
    return ok(f"{count} project{'' if count == 1 else 's'}.")


def autostarted(_: Patient) -> Finding:
    try:
        state = autostart().state()
    except AutostartFailed as exc:
        return ok(str(exc))
    if state.problem is not None:
        return Finding("broken", state.problem, "pocketcoder enable-autostart")
    if state.enabled:
        return ok("The system starts PocketCoder.")
    return ok("The system does not start PocketCoder; pocketcoder enable-autostart would change that.")
