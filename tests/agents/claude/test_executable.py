"""Finding the CLI."""

from pathlib import Path

import pytest

from host.agents.claude.executable import find_executable
from host.protocol.errors import AgentUnavailable


def program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_setting_counts_before_the_path(tmp_path: Path) -> None:
    chosen = program(tmp_path / "mine" / "claude-beta")
    program(tmp_path / "bin" / "claude")
    assert find_executable(chosen, {"PATH": str(tmp_path / "bin")}) == chosen


def test_it_is_looked_for_where_the_users_shell_would(tmp_path: Path) -> None:
    found = program(tmp_path / "bin" / "claude")
    assert find_executable(None, {"PATH": f"/nowhere:{tmp_path / 'bin'}"}) == found


def test_it_is_found_where_its_installer_put_it(tmp_path: Path) -> None:
    found = program(tmp_path / ".local" / "bin" / "claude")
    assert find_executable(None, {"PATH": "/nowhere", "HOME": str(tmp_path)}) == found


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "claude")
    with pytest.raises(AgentUnavailable, match="POCKETCODER_CLAUDE"):
        find_executable(str(tmp_path), {"PATH": str(tmp_path / "bin")})


def test_without_one_the_user_learns_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AgentUnavailable, match=r"Install it .* or set POCKETCODER_CLAUDE"):
        find_executable(None, {"PATH": "/nowhere", "HOME": str(tmp_path)})
