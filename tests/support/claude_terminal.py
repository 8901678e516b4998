"""The real Claude Code in a terminal, as a person has it, typed to by a test."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from tests.support.claude_cli import claude_environment, claude_executable
from tests.support.processes import eventually

_ROWS_AND_COLUMNS: Final = (40, 120)


class ClaudeTerminal:
    """A running CLI. What it does is seen in its own files rather than in what it draws."""

    def __init__(self, process: "subprocess.Popen[bytes]", keyboard: int, home: Path) -> None:
        self._process = process
        self._keyboard = keyboard
        self._home = home
        self._drawn = bytearray()
        self._drawing = threading.Thread(target=self._watch, daemon=True)
        self._drawing.start()

    @classmethod
    @contextmanager
    def open(cls, root: Path, home: Path, api_url: str, *arguments: str) -> Iterator[Self]:
        """Start it in a directory that its user trusts. It is ended at the end."""
        _answer_first_questions(root, home)
        keyboard, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *_ROWS_AND_COLUMNS, 0, 0))
        process = subprocess.Popen(
            ["setsid", "--ctty", claude_executable(), *arguments],
            cwd=root,
            env=claude_environment(home, api_url, TERM="xterm-256color"),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        claude = cls(process, keyboard, home)
        try:
            yield claude
        finally:
            process.kill()
            process.wait()
            claude._drawing.join()
            os.close(keyboard)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def session_id(self) -> str:
        return str(self._registered().get("sessionId"))

    def say(self, words: str) -> None:
        """Type a prompt."""
        os.write(self._keyboard, words.encode())
        # Keys that come at once are taken for a paste, in which Enter is a line's end.
        threading.Event().wait(0.3)
        self.press("\r")

    def press(self, key: str) -> None:
        os.write(self._keyboard, key.encode())

    def wait_for(self, status: str) -> None:
        """Wait until the CLI registers itself as ``idle``, ``busy`` or ``waiting``."""
        eventually(lambda: self._registered().get("status") == status, what=f"A terminal that is {status}")

    def wait_to_see(self, words: str) -> None:
        """Wait until it has drawn these words, whatever stands between them."""
        wanted = words.encode().split()
        eventually(lambda: all(word in self._drawn for word in wanted), what=f"The words {words!r}")

    def _registered(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            entry: dict[str, Any] = json.loads((self._home / ".claude" / "sessions" / f"{self.pid}.json").read_bytes())
            return entry
        return {}

    def _watch(self) -> None:
        # Reading fails once nobody has the other end.
        with suppress(OSError):
            while drawn := os.read(self._keyboard, 65536):
                self._drawn += drawn


def _answer_first_questions(root: Path, home: Path) -> None:
    """What the CLI asks in a new home, and of a new directory."""
    settings_file = home / ".claude.json"
    settings = json.loads(settings_file.read_bytes()) if settings_file.exists() else {}
    trusted = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    settings |= {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "customApiKeyResponses": {"approved": ["sk-made-up"], "rejected": []},
        "projects": {**settings.get("projects", {}), str(root): trusted},
    }
    settings_file.write_text(json.dumps(settings))
