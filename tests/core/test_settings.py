from pathlib import Path

import pytest

from host.core.errors import ForPeople, system_refusal
from host.core.settings import DEFAULT_RELAY_URL, Settings, SettingsError, relay_url

NOWHERE = Path("/nonexistent/config.toml")


def loaded(environ: dict[str, str], config_file: Path = NOWHERE) -> Settings:
    return Settings.load(environ, config_file)


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = loaded({"GATEWAY_URL": "", "LOG_LEVEL": "", "POCKETCODER_CLAUDE": ""})

    assert settings.gateway_url is None
    assert settings.claude_path is None
    assert settings.log_level == "info"
    assert settings.control_port == 17333


def test_every_variable_is_read() -> None:
    environ = {
        "GATEWAY_URL": "https://relay.example/",
        "LOG_LEVEL": "DEBUG",
        "POCKETCODER_CONTROL_PORT": "65535",
        "POCKETCODER_CLAUDE": "/opt/claude",
    }

    settings = loaded(environ)

    assert settings.gateway_url == "wss://relay.example"
    assert settings.log_level == "debug"
    assert settings.control_port == 65535
    assert settings.claude_path == "/opt/claude"


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("LOG_LEVEL", "loud", "error, warning, info, debug"),
        ("POCKETCODER_CONTROL_PORT", "0", "from 1 to 65535"),
        ("POCKETCODER_CONTROL_PORT", "65536", "from 1 to 65535"),
        ("POCKETCODER_CONTROL_PORT", "-1", "from 1 to 65535"),
        ("POCKETCODER_CONTROL_PORT", "²", "from 1 to 65535"),
        ("POCKETCODER_CONTROL_PORT", "9" * 5000, "from 1 to 65535"),
        ("GATEWAY_URL", "ftp://relay.example", "wss://host"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable_and_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as failure:
        loaded({variable: value})

    message = str(failure.value)
    assert message.startswith(f"{variable} is {value!r}")
    assert allowed in message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (DEFAULT_RELAY_URL, DEFAULT_RELAY_URL),
        ("https://Relay.Example/", "wss://relay.example"),
        ("wss://relay.example:8443", "wss://relay.example:8443"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080"),
        ("ws://localhost:1", "ws://localhost:1"),
        ("ws://127.9.9.9", "ws://127.9.9.9"),
        ("ws://[::1]:80/", "ws://[::1]:80"),
        ("wss://[2001:db8::1]", "wss://[2001:db8::1]"),
        ("wss://10.0.0.5:9000", "wss://10.0.0.5:9000"),
    ],
)
def test_a_relays_address_is_normalised(written: str, meant: str) -> None:
    assert relay_url(written) == meant
    assert relay_url(meant) == meant


@pytest.mark.parametrize(
    "host",
    ["relay.example", "10.0.0.5", "0.0.0.0", "localhost.example", "127.0.0.1.example", "[2001:db8::1]", "2130706433"],
)
def test_an_unencrypted_address_is_only_allowed_to_this_machine(host: str) -> None:
    with pytest.raises(SettingsError, match="unencrypted connection is only allowed to this machine, because"):
        relay_url(f"ws://{host}:8080")


@pytest.mark.parametrize("text", ["wss://user:hunter2@relay.example", "wss://relay.example?token=hunter2"])
def test_an_address_with_secrets_is_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(SettingsError) as failure:
        relay_url(text)

    assert "hunter2" not in str(failure.value)


@pytest.mark.parametrize(
    "text",
    [
        "", "relay.example", "wss://", "wss:///path", "wss://relay.example/ws/daemon", "wss://relay.example//",
        "wss://relay.example#x", "wss://relay.example?", "wss://@relay.example", "wss://relay.example:0",
        "wss://relay.example:", "wss://relay.example:65536", "wss://relay.example:port", "wss://[::1", "wss://a b",
        "wss://relay\n.example", " wss://relay.example", "wss://rélay.example", "wss://relay..%2f", "wss://-relay",
    ],
)  # fmt: skip
def test_what_is_no_relays_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        relay_url(text)


def config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return file


def test_the_file_sets_what_the_environment_leaves_open(tmp_path: Path) -> None:
    file = config(
        tmp_path,
        """
        relay.url = "https://relay.example"
        log = { level = "debug", format = "json" }
        [control]
        port = 1234
        [agent]
        claude = "/opt/claude"
        allow_bypass_permissions = true
        [retention]
        command_days = 3
        [files]
        ignore = ["*.log", "/build output/"]
        """,
    )
    settings = loaded({"POCKETCODER_CONTROL_PORT": "4321"}, file)

    assert settings.gateway_url == "wss://relay.example"
    assert (settings.log_level, settings.log_format) == ("debug", "json")
    assert settings.control_port == 4321
    assert settings.claude_path == "/opt/claude"
    assert settings.allows_bypass_permissions
    assert not settings.allows_mcp_config
    assert settings.command_days == 3
    assert settings.ignored == "*.log\n/build output/"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[relay]\nulr = "wss://relay.example"', "Did you mean relay.url?"),
        ('[relai]\nurl = "wss://relay.example"', "Did you mean relay.url?"),
        ('url = "wss://relay.example"', "Did you mean relay.url?"),
        ("[zzz]\nqqq = 1", "What can be set: relay.url, log.level"),
        ("[control]\nport = 0", "control.port must be a whole number from 1 to 65535"),
        ('[control]\nport = "17333"', "control.port must be a whole number"),
        ("[control]\nport = true", "control.port must be a whole number"),
        ("[agent]\nallow_mcp_config = 1", "agent.allow_mcp_config must be true or false"),
        ('[files]\nignore = "*.log"', "files.ignore must be a list of texts"),
        ('[files]\nignore = ["a\\nb"]', "files.ignore must be a list of texts"),
        ('[files]\nignores = ["a"]', "Did you mean files.ignore?"),
        ('[log]\nlevel = "loud"', "must be one of error, warning, info, debug"),
        ('[relay]\nurl = "ws://relay.example"', "an unencrypted connection is only allowed to this machine"),
        ("[relay", "is not valid TOML"),
        ("[log]\nlevel = info", "line 2"),
        ("\ufeff[log]", "is not valid TOML"),
        (f"[control]\nport = {'1' * 5000}", "is not valid TOML"),
        ("a = " + "[" * 30_000, "is not valid TOML"),
        ("x" * 70_000, "larger than 64 KB"),
    ],
)
def test_a_wrong_file_is_told_with_what_to_write_instead(tmp_path: Path, text: str, said: str) -> None:
    file = config(tmp_path, text)
    with pytest.raises(ForPeople) as failure:
        loaded({}, file)
    assert said in str(failure.value)
    assert str(file) in str(failure.value)


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xff\xfe[\x00")
    with pytest.raises(ForPeople, match="is not valid TOML"):
        loaded({}, file)


def test_a_directory_or_a_link_that_leads_nowhere_is_no_absent_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="No such file") as refused:
        loaded({}, file)
    assert "remove the link" in system_refusal(refused.value)

    file.unlink()
    file.mkdir()
    with pytest.raises(OSError, match="directory") as refused:
        loaded({}, file)
    assert str(file) in system_refusal(refused.value)
    assert "move the directory away" in system_refusal(refused.value)
