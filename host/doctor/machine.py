"""Is the machine fit: programs, limits, disk, our own files, the keyring."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from host.agents.claude.executable import find_executable
from host.auth.keyring_vault import KeyringVault, VaultMissing, VaultUnusable
from host.core.home import PRIVATE_DIRECTORY, PRIVATE_FILE
from host.doctor.finding import Finding, Patient, ok
from host.protocol.errors import AgentUnavailable

_PROGRAM_TIMEOUT_S: Final = 10.0
_NEEDED_PYTHON: Final = (3, 11)
_NEEDED_GIT: Final = (2, 38)
_ENOUGH_BYTES: Final = 200 * 1024 * 1024
_LITTLE_BYTES: Final = 1024 * 1024 * 1024
_ENOUGH_WATCHES: Final = 65_536
_WATCH_LIMIT: Final = Path("/proc/sys/fs/inotify/max_user_watches")


def python(_: Patient) -> Finding:
    version = platform.python_version()
    if sys.version_info >= _NEEDED_PYTHON:
        return ok(f"Python {version}")
    return Finding("broken", f"Python {version} is too old.", "Install Python 3.11 or newer, and PocketCoder with it.")


def git(patient: Patient) -> Finding:
    program = shutil.which("git", path=patient.environ.get("PATH"))
    said = _output([program, "version"]) if program else None
    if said is None:
        return Finding("warning", "git was not found, or does not run.", "Install git to work with repositories.")
    found = re.match(r"git version (\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) >= _NEEDED_GIT:
        return ok(said.strip())
    needed = ".".join(map(str, _NEEDED_GIT))
    return Finding(
        "warning", f"{said.strip()} is not safe in strangers' repositories.", f"Install git {needed} or newer."
    )


def agent(patient: Patient) -> Finding:
    mend = "Install it as https://claude.com/claude-code says, or set agent.claude in config.toml to its path."
    try:
        path = find_executable(patient.settings.claude_path, patient.environ)
    except AgentUnavailable:
        if patient.settings.claude_path is None:
            return Finding("warning", "Claude Code was not found on this machine.", mend)
        return Finding(
            "warning",
            f"No program that may be run is at {patient.settings.claude_path}.",
            "Correct POCKETCODER_CLAUDE, or agent.claude in config.toml, or unset it to have claude looked for.",
        )
    said = _output([path, "--version"])
    if said is None:
        return Finding("warning", f"Claude Code does not run at {path}.", mend)
    if '"loggedIn":true' not in (_output([path, "auth", "status"]) or "").replace(" ", ""):
        return Finding("warning", f"Claude Code {said.strip()} is not signed in.", "Run claude, and there: /login")
    return ok(f"Claude Code {said.strip()}, signed in")


def watches(_: Patient) -> Finding:
    try:
        limit = int(_WATCH_LIMIT.read_text())
    except (OSError, ValueError):
        return ok("This system has no limit of watched directories that PocketCoder knows of.")
    if limit >= _ENOUGH_WATCHES:
        return ok(f"{limit:,} directories may be watched.")
    setting = "fs.inotify.max_user_watches=524288"
    return Finding(
        "warning",
        f"Only {limit:,} directories may be watched, for all programs together.",
        f"sudo sysctl {setting} && echo {setting} | sudo tee /etc/sysctl.d/60-pocketcoder.conf",
    )


def disk(patient: Patient) -> Finding:
    home = patient.paths.home
    free_bytes = shutil.disk_usage(home).free
    message = f"{free_bytes // 1024**2:,} MB are free for {home}."
    if free_bytes >= _LITTLE_BYTES:
        return ok(message)
    return Finding("broken" if free_bytes < _ENOUGH_BYTES else "warning", message, "Free some space on that disk.")


def files(patient: Patient) -> Finding:
    """Private, and ours: others could read tokens, or put a database under us."""
    home = patient.paths.home
    for path in (home, *home.iterdir()):
        try:
            # Where a link leads counts, as for config.toml from a collection of such files.
            found = path.stat()
        except FileNotFoundError:
            continue  # gone since, or a link that leads nowhere
        if path == patient.paths.config_file and not found.st_mode & 0o022:
            continue  # The user's own, written by any editor; it holds no secret.
        wanted = PRIVATE_DIRECTORY if path.is_dir() else PRIVATE_FILE
        if found.st_uid != os.geteuid():
            return Finding("broken", f"{path} belongs to another user.", f"sudo chown -R {os.geteuid()} {home}")
        if found.st_mode & 0o077:
            return Finding("broken", f"Other users may reach {path}.", f"chmod {wanted:o} {path}")
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            mend = "Mount that disk to be written to, or set POCKETCODER_HOME to a directory on another one."
            return Finding("broken", f"The disk of {path} can only be read.", mend)
        if not os.access(path, os.R_OK | os.W_OK):
            return Finding("broken", f"{path} can't be read and written.", f"chmod {wanted:o} {path}")
    return ok(f"Only you may reach {home}.")


def keyring(patient: Patient) -> Finding:
    try:
        KeyringVault().load("doctor")
    except VaultMissing:
        return ok(f"There is no keyring, so the sign-in is kept in {patient.paths.auth_file}, which only you may read.")
    except VaultUnusable as exc:
        return Finding("warning", str(exc), "Unlock the keyring, then run this again.")
    return ok("The system's keyring answers.")


def _output(argv: list[str]) -> str | None:
    """What a program prints; None when it fails or takes more than 10 s."""
    try:
        done = subprocess.run(  # noqa: S603 - programs of the user's own PATH and settings
            argv, capture_output=True, text=True, timeout=_PROGRAM_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
