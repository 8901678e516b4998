"""What commands see of the daemon's environment, and what of a request's."""

import pytest

from host.processes.environment import combined, command_environment, started_with, without_ours
from host.protocol.errors import InvalidRequest

USERS = {"HOME": "/home/ada", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "SSH_AUTH_SOCK": "/tmp/agent"}


def bare(environ: dict[str, str]) -> dict[str, str]:
    return started_with(environ, prefix="/usr", base_prefix="/usr")


@pytest.mark.parametrize(
    "name",
    [
        "POCKETCODER_HOME",
        "POCKETCODER_CONTROL_PORT",
        "POCKETCODER_CLAUDE",
        "GATEWAY_URL",
        "LOG_LEVEL",
        "GIT_DIR",
        "GIT_ASKPASS",
        "GIT_CONFIG_COUNT",
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_SSE_PORT",
        "CURSOR_AGENT",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ],
)
def test_nothing_of_ours_and_no_mark_of_an_agent_is_passed_on(name: str) -> None:
    assert bare({**USERS, name: "x"}) == USERS


def test_the_users_own_log_level_stays_when_the_login_shell_sets_it() -> None:
    assert without_ours({**USERS, "LOG_LEVEL": "warn"})["LOG_LEVEL"] == "warn"


def test_settings_of_an_agent_stay_unless_the_daemon_was_started_by_one() -> None:
    users = {**USERS, "CLAUDE_CODE_USE_BEDROCK": "1", "ANTHROPIC_API_KEY": "key"}
    assert bare(users) == users
    assert bare({**users, "CLAUDECODE": "1"}) == {**USERS, "ANTHROPIC_API_KEY": "key"}


def test_the_daemons_own_virtual_environment_is_not_passed_on() -> None:
    environ = {**USERS, "PATH": "/v/bin:/usr/bin", "VIRTUAL_ENV": "/v", "VIRTUAL_ENV_PROMPT": "v"}
    assert started_with(environ, prefix="/v", base_prefix="/usr") == {**USERS, "PATH": "/usr/bin"}


def test_another_virtual_environment_is_passed_on() -> None:
    environ = {**USERS, "PATH": "/w/bin:/usr/bin", "VIRTUAL_ENV": "/w"}
    assert started_with(environ, prefix="/v", base_prefix="/usr") == environ
    assert bare(environ) == environ


def test_what_the_daemon_was_started_with_comes_on_top() -> None:
    assert combined({"A": "login", "B": "login"}, {"B": "started", "C": "started"}) == {
        "A": "login",
        "B": "started",
        "C": "started",
    }


@pytest.mark.parametrize(
    ("login", "started", "path"),
    [
        ("/nvm/bin:/usr/bin:/bin", "/usr/bin:/bin", "/nvm/bin:/usr/bin:/bin"),
        ("/usr/bin:/bin", "/tool/bin:/usr/bin:/bin", "/tool/bin:/usr/bin:/bin"),
        ("/nvm/bin:/usr/bin", "/tool/bin:/usr/bin", "/tool/bin:/nvm/bin:/usr/bin"),
    ],
)
def test_paths_are_joined(login: str, started: str, path: str) -> None:
    assert combined({"PATH": login}, {"PATH": started})["PATH"] == path


def test_one_path_is_enough() -> None:
    assert combined({"PATH": "/bin"}, {}) == combined({}, {"PATH": "/bin"}) == {"PATH": "/bin"}


def test_a_request_may_set_whatever_it_likes() -> None:
    extra = {"PATH": "/x", "LD_PRELOAD": "/x.so", "POCKETCODER_HOME": "/y", "GIT_DIR": "", "EMOJI": "👋"}
    assert command_environment(USERS, extra) == {**USERS, **extra}


@pytest.mark.parametrize("extra", [{"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "\0"}, {"A": "\ud800"}, {"\udcff": ""}])
def test_what_no_environment_can_hold_is_refused(extra: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        command_environment(USERS, extra)
    assert refused.value.details["errors"][0]["field"] == "env"
