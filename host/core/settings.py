"""What can be set. Imported by ``pocketcoder status``: see host.core.home about imports."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from host.core.errors import ForPeople

DEFAULT_RELAY_URL = "wss://gateway.pocketcoder.dev"
DEFAULT_CONTROL_PORT = 17333
LOG_LEVELS = ("error", "warning", "info", "debug")
LOG_FORMATS = ("text", "json")

_SCHEMES = {"wss": "wss", "https": "wss", "ws": "ws", "http": "ws"}
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?")


class SettingsError(ForPeople):
    """A setting is wrong. The message is a sentence that names it, and what is allowed."""


class Settings:
    """One process's settings; None where nothing was set and there is no default of ours."""

    __slots__ = (
        "agent_days",
        "agents_at_once",
        "allows_bypass_permissions",
        "allows_mcp_config",
        "claude_path",
        "command_days",
        "commands_at_once",
        "control_port",
        "gateway_url",
        "ignored",
        "log_format",
        "log_level",
    )

    def __init__(
        self,
        *,
        gateway_url: str | None = None,
        log_level: str = "info",
        log_format: str = "text",
        control_port: int = DEFAULT_CONTROL_PORT,
        claude_path: str | None = None,
        commands_at_once: int = 8,
        agents_at_once: int = 8,
        command_days: int = 7,
        agent_days: int = 30,
        ignored: str = "",
        allows_bypass_permissions: bool = False,
        allows_mcp_config: bool = False,
    ) -> None:
        self.gateway_url = gateway_url
        self.log_level = log_level
        self.log_format = log_format
        self.control_port = control_port
        self.claude_path = claude_path
        self.commands_at_once = commands_at_once
        self.agents_at_once = agents_at_once
        self.command_days = command_days
        self.agent_days = agent_days
        self.ignored = ignored
        self.allows_bypass_permissions = allows_bypass_permissions
        self.allows_mcp_config = allows_mcp_config

    @classmethod
    def load(cls, environ: Mapping[str, str], config_file: Path) -> "Settings":
        """What the environment says, else ``config.toml``, else the defaults.

        The variables are ``GATEWAY_URL``, ``LOG_LEVEL``, ``POCKETCODER_CONTROL_PORT`` and ``POCKETCODER_CLAUDE``;
        an empty one counts as unset. Raises SettingsError or ConfigError for the first wrong setting; OSError.
        """
        values = {}
        # A link that leads nowhere is somebody's, too, and must not pass for no file.
        if config_file.is_symlink() or config_file.exists():
            from host.core.config_file import read_config  # noqa: PLC0415 - only where there is one

            values = read_config(config_file)
        if url := environ.get("GATEWAY_URL"):
            values["gateway_url"] = relay_url(url, setting="GATEWAY_URL")
        elif "gateway_url" in values:
            values["gateway_url"] = relay_url(values["gateway_url"], setting=f"relay.url in {config_file}")
        if level := environ.get("LOG_LEVEL"):
            values["log_level"] = _one_of(level, LOG_LEVELS, "LOG_LEVEL")
        elif "log_level" in values:
            values["log_level"] = _one_of(values["log_level"], LOG_LEVELS, f"log.level in {config_file}")
        if "log_format" in values:
            values["log_format"] = _one_of(values["log_format"], LOG_FORMATS, f"log.format in {config_file}")
        if port := environ.get("POCKETCODER_CONTROL_PORT"):
            values["control_port"] = _port(port)
        if path := environ.get("POCKETCODER_CLAUDE"):
            values["claude_path"] = path
        return cls(**values)


def relay_url(text: str, *, setting: str = "The relay's address", insecure: bool = False) -> str:
    """A relay's base URL as ``wss://host[:port]`` or, to this machine only unless ``insecure``, ``ws://host[:port]``.

    Takes https and http for wss and ws, and one trailing slash. ``setting`` begins the message
    of the SettingsError that is raised for anything else. The message never holds a password.
    """
    parts = _split(text, setting)
    if parts.username is not None or parts.password is not None or "?" in text or "#" in text:
        raise SettingsError(f"{setting} may hold no user name, password, query or fragment. Write it as wss://host.")
    scheme = _SCHEMES.get(parts.scheme)
    host = parts.hostname or ""
    if scheme is None or parts.path not in ("", "/") or not (_HOST_NAME.fullmatch(host) or _is_ipv6(host)):
        raise SettingsError(f"{setting} is {text!r}, but must be written as wss://host or wss://host:port.")
    if scheme == "ws" and not insecure and not is_loopback(host):
        raise SettingsError(
            f"{setting} is {text!r}, but an unencrypted connection is only allowed to this machine, "
            f"because others on the way could read your files and tokens. Use wss://{parts.netloc}."
        )
    place = f"[{host}]" if ":" in host else host
    return f"{scheme}://{place}" + (f":{parts.port}" if parts.port is not None else "")


def _split(text: str, setting: str) -> SplitResult:
    """Raises SettingsError for what no URL parser should be asked about, and for a port that is none."""
    try:
        parts = urlsplit(text)
        port_is_valid = parts.port != 0 and not parts.netloc.endswith(":")
    except ValueError as exc:
        raise _not_a_url(setting) from exc
    # urlsplit drops tabs and newlines without a word.
    if not port_is_valid or not text.isascii() or not text.isprintable() or " " in text:
        raise _not_a_url(setting)
    return parts


def _not_a_url(setting: str) -> SettingsError:
    return SettingsError(f"{setting} is not a valid URL. Write it as wss://host or wss://host:port.")


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether that name or address is this machine."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback


def _one_of(text: str, allowed: tuple[str, ...], setting: str) -> str:
    if text.lower() not in allowed:
        raise SettingsError(f"{setting} is {text!r}, but must be one of {', '.join(allowed)}.")
    return text.lower()


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    if not 1 <= port <= 65535:
        raise SettingsError(f"POCKETCODER_CONTROL_PORT is {text!r}, but must be a number from 1 to 65535.")
    return port
