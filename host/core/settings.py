"""What the environment says. Imported by ``pocketcoder status``: see host.core.home about imports."""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from host.core.errors import ForPeople

DEFAULT_RELAY_URL = "wss://gateway.pocketcoder.dev"
DEFAULT_CONTROL_PORT = 17333
LOG_LEVELS = ("error", "warning", "info", "debug")

_SCHEMES = {"wss": "wss", "https": "wss", "ws": "ws", "http": "ws"}
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?")


class SettingsError(ForPeople):
    """A setting is wrong. The message is a sentence that names it, and what is allowed."""


class Settings:
    """One process's settings. ``gateway_url`` and ``claude_path`` are None where nothing was set."""

    __slots__ = ("claude_path", "control_port", "gateway_url", "log_level")

    def __init__(
        self,
        *,
        gateway_url: str | None = None,
        log_level: str = "info",
        control_port: int = DEFAULT_CONTROL_PORT,
        claude_path: str | None = None,
    ) -> None:
        self.gateway_url = gateway_url
        self.log_level = log_level
        self.control_port = control_port
        self.claude_path = claude_path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read ``GATEWAY_URL``, ``LOG_LEVEL``, ``POCKETCODER_CONTROL_PORT`` and ``POCKETCODER_CLAUDE``.

        An empty variable counts as unset. Raises SettingsError for the first wrong one.
        """
        gateway_url = environ.get("GATEWAY_URL")
        return cls(
            gateway_url=relay_url(gateway_url, setting="GATEWAY_URL") if gateway_url else None,
            log_level=_log_level(environ.get("LOG_LEVEL") or "info"),
            control_port=_port(environ.get("POCKETCODER_CONTROL_PORT") or str(DEFAULT_CONTROL_PORT)),
            claude_path=environ.get("POCKETCODER_CLAUDE") or None,
        )


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


def _log_level(text: str) -> str:
    level = text.lower()
    if level not in LOG_LEVELS:
        raise SettingsError(f"LOG_LEVEL is {text!r}, but must be one of {', '.join(LOG_LEVELS)}.")
    return level


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    if not 1 <= port <= 65535:
        raise SettingsError(f"POCKETCODER_CONTROL_PORT is {text!r}, but must be a number from 1 to 65535.")
    return port
