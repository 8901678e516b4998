"""The CLI's arguments."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from host.agents.claude.command_line import NOTHING_MORE, Allowances, require_supported, turn_arguments
from host.agents.port import TurnOrder
from host.protocol.errors import InvalidRequest, Unsupported
from host.protocol.messages.agents import AgentOptions

SESSION: Final = "3f7a1d5e-0b1c-4e57-9d39-6a2f5c8e1b04"
LONGEST_ARGUMENT: Final = 131_071
BYPASSING: Final[dict[str, Any]] = {"permission_mode": "bypassPermissions", "mcp_config": {"mcpServers": {}}}


def arguments(
    *, allowed: tuple[str, ...] = (), goes_on: bool = True, allows: Allowances = NOTHING_MORE, **options: Any
) -> tuple[str, ...]:
    order = TurnOrder(SESSION, SESSION, "--help", AgentOptions(**options), False, Path("/"), allowed)
    return turn_arguments(order, goes_on=goes_on, allows=allows)


def test_a_session_is_made_or_gone_on_with() -> None:
    assert f"--session-id={SESSION}" in arguments(goes_on=False)
    assert f"--resume={SESSION}" in arguments(goes_on=True)


def test_the_message_is_no_argument() -> None:
    assert "--help" not in arguments()


def test_every_option_is_passed_on() -> None:
    given = arguments(
        model="opus",
        permission_mode="plan",
        allowed_tools=["Read", "Bash(git log *)"],
        disallowed_tools=["WebFetch"],
        append_system_prompt="Be short.\nAlways.",
        add_dirs=["/home/alice/a b"],
        max_turns=5,
        fallback_model="sonnet",
    )
    assert given[-10:-1] == (
        "--model=opus",
        "--permission-mode=plan",
        "--append-system-prompt=Be short.\nAlways.",
        "--max-turns=5",
        "--fallback-model=sonnet",
        "--allowed-tools=Read",
        "--allowed-tools=Bash(git log *)",
        "--disallowed-tools=WebFetch",
        "--add-dir=/home/alice/a b",
    )


def test_no_value_can_be_taken_for_an_option() -> None:
    assert all(argument.startswith("--") for argument in arguments(model="--resume", allowed_tools=["-x"]))


def test_what_is_always_allowed_is_passed_as_settings() -> None:
    *_, settings = arguments(allowed=("Bash(npm test *)", "WebSearch", "WebSearch"))
    assert json.loads(settings.removeprefix("--settings="))["permissions"]["allow"] == ["Bash(npm test *)", "WebSearch"]


def test_of_too_many_rules_the_newest_are_passed_on() -> None:
    rules = tuple(f"Bash({number:06d} {'é' * 500})" for number in range(1000))
    *_, settings = arguments(allowed=rules)
    assert len(settings.encode()) < LONGEST_ARGUMENT
    passed = json.loads(settings.removeprefix("--settings="))["permissions"]["allow"]
    assert passed == list(rules[-len(passed) :])
    *_, settings = arguments(allowed=("x" * LONGEST_ARGUMENT,))
    assert json.loads(settings.removeprefix("--settings="))["permissions"]["allow"] == []


@pytest.mark.parametrize("options", [{"permission_mode": "bypassPermissions"}, {"mcp_config": {}}])
def test_what_a_host_must_allow_is_unsupported(options: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        require_supported(AgentOptions(**options))


def test_what_the_host_allows_is_taken_and_passed_on() -> None:
    allows = Allowances(bypass_permissions=True, mcp_config=True)
    require_supported(AgentOptions(**BYPASSING), allows)
    passed = arguments(allows=allows, **BYPASSING)
    assert "--permission-mode=bypassPermissions" in passed
    assert '--mcp-config={"mcpServers":{}}' in passed
    assert "disableBypassPermissionsMode" not in passed[-1]


def test_what_the_host_allows_no_more_has_no_effect() -> None:
    passed = " ".join(arguments(**BYPASSING))
    assert "--permission-mode" not in passed
    assert "--mcp-config" not in passed
    assert '"disableBypassPermissionsMode":"disable"' in passed


def test_a_configuration_that_no_argument_can_hold_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="larger than"):
        require_supported(AgentOptions(mcp_config={"mcpServers": "x" * LONGEST_ARGUMENT}), Allowances(mcp_config=True))


@pytest.mark.parametrize("options", [{"model": ""}, {"model": "a\0b"}, {"allowed_tools": ["Read", " "]}])
def test_values_that_say_nothing_or_end_early_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        require_supported(AgentOptions(**options))


def test_everything_else_is_taken() -> None:
    require_supported(AgentOptions())
    require_supported(AgentOptions(permission_mode="dontAsk", max_turns=1, add_dirs=["a"], append_system_prompt="x"))
