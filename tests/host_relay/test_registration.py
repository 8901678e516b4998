import os
from pathlib import Path

import pytest

from host.core.settings import Settings
from host.db.projects import Project
from host.protocol.limits import MAX_PATH_BYTES, PROTOCOL_VERSION
from host.relay.registration import find_capabilities, registered
from tests.support.host import registration_with


def program(directory: Path, name: str) -> Path:
    path = directory / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_registration_says_what_the_contract_asks_for() -> None:
    registration = registration_with("access-1", label="desk").model_dump(by_alias=True, exclude_none=True)

    assert registration["protocolVersion"] == PROTOCOL_VERSION
    assert registration["token"] == "access-1"
    assert registration["machine"]["label"] == "desk"
    assert set(registration["machine"]) == {"label", "hostname", "platform", "arch", "daemonVersion"}
    assert set(registration["capabilities"]) == {"hasGit", "hasClaude", "claudeStoreFound", "warnings"}


def test_the_longest_path_of_names_that_are_not_utf_8_can_be_registered() -> None:
    path = Path(os.fsdecode(b"/".ljust(MAX_PATH_BYTES, b"\xff")))
    project = Project("proj_1", "name", path, "2026-02-12T10:00:00.000Z", "2026-02-12T10:00:00.000Z")

    assert registered(project, watcher_running=True, last_fs_seq=7).path == "/" + "%FF" * (MAX_PATH_BYTES - 1)


def test_what_is_installed_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    nothing = find_capabilities(Settings())
    assert (nothing.has_git, nothing.has_claude, nothing.claude_store_found) == (False, False, False)
    assert nothing.warnings == ("git was not found. Install it to see and make changes from the phone.",)
    program(tmp_path, "git")
    program(tmp_path, "claude")
    (tmp_path / ".claude" / "projects").mkdir(parents=True)

    found = find_capabilities(Settings())
    assert (found.has_git, found.has_claude, found.claude_store_found) == (True, True, True)
    assert found.warnings == ()


def test_programs_are_looked_for_where_the_login_shell_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    program(tmp_path, "git")
    program(tmp_path, "claude")
    found = find_capabilities(Settings(), search_path=str(tmp_path))
    assert (found.has_git, found.has_claude, found.warnings) == (True, True, ())


def test_a_user_without_a_home_directory_has_no_agents_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)

    assert not find_capabilities(Settings()).claude_store_found


def test_the_agents_program_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    elsewhere = program(tmp_path, "another-claude")

    assert find_capabilities(Settings(claude_path=str(elsewhere))).has_claude
    assert not find_capabilities(Settings(claude_path=str(tmp_path / "missing"))).has_claude


def test_warnings_of_any_length_and_number_never_keep_the_machine_from_registering() -> None:
    long = f"The directory /{'x' * 4000} had mode 0755; it was changed to 0700."

    capabilities = find_capabilities(Settings(), (long,) * 100)

    assert capabilities.warnings[0].startswith("The directory /xxx")
    assert capabilities.warnings[0].endswith("…")
