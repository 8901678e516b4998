"""``config.toml`` in the home: what can be set besides the environment, which wins.

Loaded only where the file exists; ``pocketcoder status`` shall not wait for a parser.
"""

import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from host.core.errors import ForPeople

MAX_CONFIG_BYTES: Final = 64 * 1024


class ConfigError(ForPeople):
    """The file can't be used. The message names the setting, and what to write instead."""


class _Wrong(Exception):
    """What a value must be, to be put behind "must be"."""


Check = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _Wrong("a text")
    return value


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _number(lowest: int, highest: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise _Wrong(f"a whole number from {lowest} to {highest}")
        return value

    return check


def _patterns(value: Any) -> str:
    """As .gitignore has them: a line each."""
    if not isinstance(value, list) or not all(isinstance(one, str) and one.isprintable() and one for one in value):
        raise _Wrong('a list of texts, each a pattern as in .gitignore, such as ["*.log", "vendor/"]')
    return "\n".join(value)


# Each setting by its name in the file: the attribute of Settings, and what it may be.
SETTINGS: Final[Mapping[str, tuple[str, Check]]] = {
    "relay.url": ("gateway_url", _text),
    "log.level": ("log_level", _text),
    "log.format": ("log_format", _text),
    "control.port": ("control_port", _number(1, 65535)),
    "limits.commands_at_once": ("commands_at_once", _number(1, 64)),
    "limits.agents_at_once": ("agents_at_once", _number(1, 64)),
    "retention.command_days": ("command_days", _number(1, 3650)),
    "retention.agent_days": ("agent_days", _number(1, 3650)),
    "files.ignore": ("ignored", _patterns),
    "agent.claude": ("claude_path", _text),
    "agent.allow_bypass_permissions": ("allows_bypass_permissions", _yes_or_no),
    "agent.allow_mcp_config": ("allows_mcp_config", _yes_or_no),
}


def read_config(path: Path) -> dict[str, Any]:
    """The settings in the file by their attributes, checked for their types. Raises ConfigError; OSError."""
    with path.open("rb") as file:
        raw = file.read(MAX_CONFIG_BYTES + 1)
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_CONFIG_BYTES // 1024} KB. Remove what does not belong there.")
    try:
        content = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as exc:
        # Not TOML, not UTF-8, or a number that Python takes for an attack.
        place = f": {exc}" if isinstance(exc, tomllib.TOMLDecodeError) else ""
        raise ConfigError(f"{path} is not valid TOML{place}. Mend it, or move it away.") from exc
    return dict(_checked(path, name, value) for name, value in _flat(content).items())


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """``section.name`` to value. What is deeper or not in a section keeps a name that no setting has."""
    found: dict[str, Any] = {}
    for section, values in content.items():
        if isinstance(values, dict) and values:
            found |= {f"{section}.{name}": value for name, value in values.items()}
        elif not isinstance(values, dict):
            found[section] = values
    return found


def _checked(path: Path, name: str, value: Any) -> tuple[str, Any]:
    if name not in SETTINGS:
        close = difflib.get_close_matches(name, SETTINGS, n=1) or [
            known for known in SETTINGS if known.endswith(f".{name}")
        ]
        advice = f"Did you mean {close[0]}?" if close else f"What can be set: {', '.join(SETTINGS)}."
        raise ConfigError(f"{path} sets {name}, which is no setting. {advice}")
    attribute, check = SETTINGS[name]
    try:
        return attribute, check(value)
    except _Wrong as exc:
        raise ConfigError(f"In {path}, {name} must be {exc}.") from exc
