"""``pocketcoder status``: one question to the control plane, one page. Imports next to nothing."""

import json
import os
import sys

from host.cli.exit_codes import DONE, FAILED, NOT_RUNNING, NOT_SIGNED_IN
from host.control_plane.client import ControlClient, DaemonNotRunning, OtherVersion, understood
from host.control_plane.words import work_of
from host.core.errors import ForPeople, system_refusal
from host.core.home import find_paths
from host.core.settings import Settings

_LARGE_BYTES = 1024**3
_MIB = 1024**2


def show_status(*, as_json: bool) -> int:
    """Print the daemon's status and return the exit code: 3 when it doesn't run, 4 when nobody is signed in."""
    try:
        paths = find_paths(os.environ)
        settings = Settings.load(os.environ, paths.config_file)
        answer = ControlClient(paths, settings.control_port).request("GET", "/status")
    except DaemonNotRunning as exc:
        return _failed("DAEMON_NOT_RUNNING", str(exc), NOT_RUNNING, as_json=as_json)
    except (ForPeople, OSError) as exc:
        message = system_refusal(exc) if isinstance(exc, OSError) else str(exc)
        return _failed("DAEMON_NOT_REACHABLE", message, FAILED, as_json=as_json)
    status = json.loads(answer.body)
    if answer.status != 200:
        return _failed(status["error"]["code"], status["error"]["message"], FAILED, as_json=as_json)
    try:
        with understood():
            page = json.dumps(status, indent=2) if as_json else _page(status)
    except OtherVersion as exc:
        return _failed("DAEMON_NOT_REACHABLE", str(exc), FAILED, as_json=as_json)
    print(page)
    return DONE if status["loggedIn"] else NOT_SIGNED_IN


def _failed(code: str, message: str, exit_code: int, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": {"code": code, "message": message}}))
    else:
        print(message, file=sys.stderr)
    return exit_code


def _page(status: dict) -> str:  # type: ignore[type-arg]  # JSON; typing.Any would cost its import
    user = f"as {status['user']['login']}" if status["loggedIn"] else "no; sign in with: pocketcoder login"
    rows = [
        ("PocketCoder", f"{status['version']}, running since {status['startedAt']} (process {status['pid']})"),
        ("Machine", f"{status['machineLabel']} ({status['machineKey']})"),
        ("Signed in", user),
        ("Relay", f"{status['relay']['url']}, {status['relay']['state']}"),
    ]
    if "lastError" in status["relay"]:
        rows.append(("", status["relay"]["lastError"]))
    if "nextTryAt" in status["relay"]:
        rows.append(("", f"Next try at {status['relay']['nextTryAt']}."))
    rows += [("Agent", _agent(agent)) for agent in status["agents"]]
    if "autostart" in status:  # not yet, right after the start
        rows.append(("Autostart", _autostart(status["autostart"])))
    rows += _unusual(status)
    if not status["projects"]:
        rows.append(("Projects", "none; add one with: pocketcoder add PATH"))
    width = max((len(project["name"]) for project in status["projects"]), default=0)
    for number, project in enumerate(status["projects"]):
        watched = "" if project["watcherRunning"] else "  (changes are not seen)"
        rows.append(("" if number else "Projects", f"{project['name']:{width}}  {project['path']}{watched}"))
    rows += [("Warning", warning) for warning in status["capabilities"]["warnings"]]
    return "\n".join(f"{name:12} {text}" for name, text in rows)


def _unusual(status: dict) -> list[tuple[str, str]]:  # type: ignore[type-arg]
    """Rows for what is mostly not so."""
    activity, work = status["activity"], work_of(status)
    database_bytes = status["storage"]["databaseBytes"]
    rows = []
    if status["stopping"]:
        rows.append(("Stopping", f"waits for {work}" if work else "in a moment"))
    elif work:
        rows.append(("At work", work))
    if activity["waitingSessions"]:
        rows.append(("Waiting", f"for a free agent: {activity['waitingSessions']} more"))
    if activity["outboxBytes"] > _MIB:
        rows.append(("Sending", f"{activity['outboxBytes'] // _MIB} MB wait to be sent"))
    if database_bytes > _LARGE_BYTES:
        rows.append(("Disk", f"the database takes {database_bytes // _MIB:,} MB"))
    return rows


def _autostart(autostart: dict) -> str:  # type: ignore[type-arg]
    if "problem" in autostart:
        return str(autostart["problem"])
    return "on" if autostart["enabled"] else "off; turn it on with: pocketcoder enable-autostart"


def _agent(agent: dict) -> str:  # type: ignore[type-arg]
    if "version" not in agent:
        return f"{agent['name']}: {agent.get('problem', 'not looked at yet')}"
    parts = [f"{agent['name']} {agent['version']}"]
    if "signedIn" in agent:
        parts.append("signed in" if agent["signedIn"] else "not signed in; run claude, then /login")
    if agent["running"]:
        parts.append(f"{agent['running']} running")
    if agent["waiting"]:
        parts.append(f"{agent['waiting']} waiting for an answer")
    return ", ".join(parts)
