"""The CLI's arguments for a turn. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from host.agents.port import TurnOrder
from host.protocol.errors import InvalidRequest, Unsupported
from host.protocol.limits import KIB
from host.protocol.messages.agents import AgentOptions

# A process a turn, spoken with in lines of JSON: prompts can be answered, and nothing of a message is taken for an
# option or is too long for one.
STREAMED: Final = (
    "--print",
    "--input-format=stream-json",
    "--output-format=stream-json",
    "--verbose",
    "--permission-prompt-tool=stdio",
)
# Of what is remembered the newest is passed on; an argument can't be longer than 128 KiB.
_MAX_RULES_BYTES: Final = 100 * KIB
_MAX_MCP_BYTES: Final = 100 * KIB


@dataclass(frozen=True)
class Allowances:
    """What the host's owner lets a phone decide."""

    bypass_permissions: bool = False
    mcp_config: bool = False


NOTHING_MORE: Final = Allowances()


def turn_arguments(order: TurnOrder, *, goes_on: bool, allows: Allowances = NOTHING_MORE) -> tuple[str, ...]:
    """``goes_on``: with a session that is there; else it is made. What is not allowed any more has no effect.

    A value is always in one argument with its option, because some options take all that follows them.
    """
    session = "--resume" if goes_on else "--session-id"
    return (
        *STREAMED,
        "--include-partial-messages",
        "--replay-user-messages",
        f"{session}={order.agent_session_id}",
        *_options(order.options, allows),
        _settings(order.allowed, may_bypass=allows.bypass_permissions),
    )


def require_supported(options: AgentOptions, allows: Allowances = NOTHING_MORE) -> None:
    """Raises InvalidRequest and Unsupported, see host.agents.port.Agent."""
    if options.permission_mode == "bypassPermissions" and not allows.bypass_permissions:
        raise Unsupported(
            "This host does not let an agent run without asking. Choose another permission mode, or allow what you "
            "are asked about for good. Its owner can allow it: agent.allow_bypass_permissions in config.toml."
        )
    if options.mcp_config is not None and not allows.mcp_config:
        raise Unsupported(
            "This host does not take MCP servers from a phone. Add them on the machine with: claude mcp add. "
            "Its owner can allow it: agent.allow_mcp_config in config.toml."
        )
    if options.mcp_config is not None and len(msgspec.json.encode(options.mcp_config)) > _MAX_MCP_BYTES:
        raise InvalidRequest.of_field("options.mcpConfig", f"It is larger than {_MAX_MCP_BYTES // KIB} KB.")
    for name, value in options.model_dump(by_alias=True, exclude_none=True).items():
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and ("\0" in text or not text.strip()) for text in texts):
            raise InvalidRequest.of_field(f"options.{name}", "It is empty, or holds a zero byte.")


def _options(options: AgentOptions, allows: Allowances) -> Iterator[str]:
    bypasses = options.permission_mode == "bypassPermissions"
    mcp_config = options.mcp_config if allows.mcp_config else None
    single = {
        "--model": options.model,
        "--permission-mode": None if bypasses and not allows.bypass_permissions else options.permission_mode,
        "--mcp-config": None if mcp_config is None else msgspec.json.encode(mcp_config).decode(),
        "--append-system-prompt": options.append_system_prompt,
        "--max-turns": options.max_turns,
        "--fallback-model": options.fallback_model,
    }
    several = {
        "--allowed-tools": options.allowed_tools,
        "--disallowed-tools": options.disallowed_tools,
        "--add-dir": options.add_dirs,
    }
    yield from (f"{name}={value}" for name, value in single.items() if value is not None)
    yield from (f"{name}={value}" for name, values in several.items() for value in values or ())


def _settings(allowed: Sequence[str], *, may_bypass: bool) -> str:
    """Of this process alone, and stronger than those of the directory.

    Rules that the directory has itself are ignored unless somebody has called it trusted; the permission mode that
    it chooses is not, and would let a project that was cloned run everything unasked.
    """
    rules = list(dict.fromkeys(allowed))
    while len(msgspec.json.encode(rules)) > _MAX_RULES_BYTES:
        del rules[: len(rules) // 2 + 1]
    permissions: dict[str, object] = {"allow": rules}
    if not may_bypass:
        permissions["disableBypassPermissionsMode"] = "disable"
    return f"--settings={msgspec.json.encode({'permissions': permissions}).decode()}"
