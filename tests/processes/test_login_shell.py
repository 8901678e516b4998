"""The environment of the user's login shell."""

import os
import pwd
import shutil
import time
from pathlib import Path
from typing import Final

import pytest

from host.processes.login_shell import UserEnvironment, user_environment, user_shell
from tests.support.host import eventually
from tests.support.processes import environment, no_process_left, processes_below

START_UP: Final = {"bash": ".bash_profile", "sh": ".profile", "dash": ".profile", "zsh": ".zprofile"}
FISH_START_UP: Final = ".config/fish/config.fish"


def set_up(home: Path, content: str, *, file: str = ".bash_profile") -> dict[str, str]:
    """A home whose login shell does that, and the environment of a daemon that was started there."""
    (home / file).parent.mkdir(parents=True, exist_ok=True)
    (home / file).write_text(content)
    return environment(home)


@pytest.mark.parametrize("name", START_UP)
async def test_what_a_login_sets_is_found(tmp_path: Path, name: str) -> None:
    shell = shutil.which(name)
    if shell is None:
        pytest.skip(f"{name} is not installed")
    environ = set_up(tmp_path, "export FROM_LOGIN='a\nb=c'; PATH=/login/bin:$PATH", file=START_UP[name])
    told = await user_environment(environ, shell)
    assert told.warnings == ()
    assert told.variables["FROM_LOGIN"] == "a\nb=c"
    assert "/login/bin" in told.variables["PATH"].split(":")


async def test_what_fish_sets_is_found(tmp_path: Path) -> None:
    shell = shutil.which("fish")
    if shell is None:
        pytest.skip("fish is not installed")
    environ = set_up(tmp_path, "echo noise; set -gx FROM_LOGIN fish", file=FISH_START_UP)
    assert (await user_environment(environ, shell)).variables["FROM_LOGIN"] == "fish"


async def test_what_an_interactive_shell_sets_is_found(tmp_path: Path) -> None:
    environ = set_up(tmp_path, "case $- in *i*) export SHOWN=yes;; esac")
    assert (await user_environment(environ, "/bin/bash")).variables["SHOWN"] == "yes"


async def test_noise_and_questions_of_start_up_files_are_passed_over(tmp_path: Path) -> None:
    environ = set_up(
        tmp_path, "echo A=1; printf 'B=2\\0'; echo error >&2; read answer; export TOLD=$answer; trap 'echo bye' EXIT"
    )
    told = await user_environment(environ, "/bin/bash")
    assert told.warnings == ()
    assert told.variables["TOLD"] == ""
    assert "A" not in told.variables
    assert "B" not in told.variables


async def test_values_that_are_no_text_are_kept(tmp_path: Path) -> None:
    environ = set_up(tmp_path, "export RAW=$'caf\\xe9'")
    assert (await user_environment(environ, "/bin/bash")).variables["RAW"] == "caf\udce9"


async def test_what_the_daemon_was_started_with_comes_on_top_and_nothing_of_ours_with_it(tmp_path: Path) -> None:
    environ = set_up(tmp_path, "export BOTH=login POCKETCODER_HOME=/x GIT_PAGER=cat")
    told = await user_environment({**environ, "BOTH": "started", "GATEWAY_URL": "ws://x"}, "/bin/bash")
    assert told.variables["BOTH"] == "started"
    names = set(told.variables)
    assert names.isdisjoint({"POCKETCODER_HOME", "GIT_PAGER", "GATEWAY_URL", "PWD", "OLDPWD", "SHLVL", "_"})


@pytest.mark.parametrize("content", ["sleep 100", "while :; do :; done", "exec 2>&1; exec sleep 100"])
async def test_a_shell_that_hangs_is_given_up(tmp_path: Path, content: str) -> None:
    environ = set_up(tmp_path, content)
    with no_process_left(tmp_path):
        start_s = time.monotonic()
        told = await user_environment(environ, "/bin/bash", timeout_s=0.3)
        assert time.monotonic() - start_s < 5
        await eventually(lambda: processes_below(tmp_path) == {})
    assert_is_fallback(told, environ, "/bin/bash")


@pytest.mark.parametrize("content", ["exit 1", "exec true", "exec >&-", "kill -9 $$"])
async def test_a_shell_that_ends_without_telling_is_warned_of(tmp_path: Path, content: str) -> None:
    environ = set_up(tmp_path, content)
    assert_is_fallback(await user_environment(environ, "/bin/bash"), environ, "/bin/bash")


async def test_a_shell_that_says_too_much_is_given_up(tmp_path: Path) -> None:
    environ = set_up(tmp_path, "yes")
    with no_process_left(tmp_path):
        assert_is_fallback(await user_environment(environ, "/bin/bash"), environ, "/bin/bash")
        await eventually(lambda: processes_below(tmp_path) == {})


async def test_a_shell_that_is_none_is_warned_of(tmp_path: Path) -> None:
    environ = environment(tmp_path)
    for shell in ("/bin/false", str(tmp_path / "missing"), str(tmp_path)):
        assert_is_fallback(await user_environment(environ, shell), environ, shell)


async def test_a_background_process_of_the_start_up_files_holds_nothing_up(tmp_path: Path) -> None:
    environ = set_up(
        tmp_path,
        "cd; sleep 100 & setsid sh -c '>stands; exec sleep 100' & until [ -e stands ]; do :; done; export TOLD=yes",
    )
    before = len(os.listdir("/proc/self/fd"))
    told = await user_environment(environ, "/bin/bash")
    assert told.variables["TOLD"] == "yes"
    assert len(os.listdir("/proc/self/fd")) == before
    # What took itself away from the shell, as an ssh-agent does, was meant to stay.
    await eventually(lambda: len(processes_below(tmp_path)) == 1)
    for pid in processes_below(tmp_path):
        os.kill(pid, 9)


def assert_is_fallback(told: UserEnvironment, environ: dict[str, str], shell: str) -> None:
    assert told.variables == environ
    assert [warning.startswith(f"The shell {shell} did not tell") for warning in told.warnings] == [True]


def test_the_users_shell_is_the_one_that_is_set(tmp_path: Path) -> None:
    shell = tmp_path / "myshell"
    shell.touch(0o700)
    assert user_shell({"SHELL": str(shell)}) == str(shell)


@pytest.mark.parametrize(
    "named", ["", "bash", "/missing/shell", "/usr/sbin/nologin", "/bin/false", "/etc", "/etc/passwd"]
)
def test_what_is_no_shell_is_passed_over(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    account = pwd.getpwuid(os.getuid())
    fields = list(account)
    fields[6] = "/bin/bash"
    monkeypatch.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd(fields))
    assert user_shell({"SHELL": named}) == "/bin/bash"
    fields[6] = named
    assert user_shell({"SHELL": named}) == "/bin/sh"


def test_a_user_without_an_account_gets_the_systems_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> pwd.struct_passwd:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert user_shell({}) == "/bin/sh"
