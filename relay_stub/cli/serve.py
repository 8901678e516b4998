"""``pocketcoder-relay serve``."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from host.core.logging import configure_logging
from relay_stub.app import run_relay
from relay_stub.cli.data_directory import DataDirOption, data_directory
from relay_stub.cli.output import fail
from relay_stub.config import MAX_CONNECTIONS, IdentityName, RelayConfig
from relay_stub.exposure import UnsafeSetup
from relay_stub.oauth.identity.github_settings import GitHubApp, GitHubSettings
from relay_stub.oauth.identity.port import ProviderUnusable
from relay_stub.store.data_directory import StoreError
from relay_stub.store.signing_keys import MAX_ACCESS_LIFETIME_S
from relay_stub.tls import TlsFiles, TlsUnusable

DEFAULT_PORT: Final = 8787
SECRET_VARIABLE: Final = "POCKETCODER_GITHUB_CLIENT_SECRET"  # noqa: S105 - a variable's name
_MAX_SECRET_BYTES: Final = 4096
LogLevel = Literal["debug", "info", "warning", "error"]
# Besides connections: the database, the log, what is accepted and not yet refused.
_OTHER_FILES: Final = 256


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 lets the system choose.")] = DEFAULT_PORT,
    data_dir: DataDirOption = None,
    identity: Annotated[
        IdentityName | None,
        typer.Option(help="Who says who users are. Default: dev on this machine alone, else passcode."),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="The address by which phones and computers know the relay: https://relay.example")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="The certificate with its chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    trust_proxy: Annotated[int, typer.Option(min=0, max=10, help="So many proxies of yours are before the relay.")] = 0,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen without TLS, on a network that is encrypted itself.")
    ] = False,
    github_client_id: Annotated[
        str, typer.Option(envvar="POCKETCODER_GITHUB_CLIENT_ID", help="The OAuth app's id.")
    ] = "",
    github_secret_file: Annotated[
        Path | None, typer.Option(help=f"Holds the OAuth app's secret; else {SECRET_VARIABLE} does.")
    ] = None,
    github_login: Annotated[list[str] | None, typer.Option(help="Who may sign in. May be repeated.")] = None,
    github_organization: Annotated[
        list[str] | None, typer.Option(help="Whose members may sign in. May be repeated.")
    ] = None,
    github_url: Annotated[str, typer.Option(help="Of GitHub Enterprise.")] = GitHubApp.url,
    github_api_url: Annotated[str, typer.Option(help="Of GitHub Enterprise: https://HOST/api/v3")] = GitHubApp.api_url,
    access_lifetime_s: Annotated[
        int, typer.Option(min=1, max=MAX_ACCESS_LIFETIME_S, help="Life of an access token.")
    ] = 900,
    log_level: Annotated[
        LogLevel, typer.Option(help="debug has a line for each request: type, requestId, user, machine.")
    ] = "warning",
) -> None:
    """Run the relay until Ctrl-C.

    Example: pocketcoder-relay serve --port 8787 --data-dir ~/relay
    """
    _configure_logging(log_level)
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("Give both --tls-cert and --tls-key.", param_hint="--tls-cert")
    github = None
    if identity == "github":
        app = GitHubApp(github_client_id, _github_secret(github_secret_file), github_url, github_api_url)
        github = GitHubSettings(app, tuple(github_login or ()), tuple(github_organization or ()))
    config = RelayConfig(
        data_dir=data_directory(data_dir),
        host=host,
        port=port,
        identity=identity,
        github=github,
        public_url=public_url,
        trusted_proxies=trust_proxy,
        tls=TlsFiles(tls_cert, tls_key) if tls_cert and tls_key else None,
        insecure=insecure,
        access_lifetime_s=access_lifetime_s,
    )
    _run(config)


def _configure_logging(level: LogLevel) -> None:
    """To stderr, without secrets. What libraries log in detail may hold what was said, so it is left out."""
    configure_logging(None, "error" if level == "error" else "warning", foreground=True)
    logging.getLogger("relay_stub").setLevel(level.upper())


def _run(config: RelayConfig) -> None:
    _allow_open_files()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(config))
    except (UnsafeSetup, TlsUnusable, StoreError, ProviderUnusable) as exc:
        fail(str(exc))
    except OSError as exc:
        # A name that can't be resolved has a number of its own kind, below 0.
        number = exc.errno or 0
        reason = os.strerror(number) if number > 0 else exc.strerror
        fail(
            f"The relay cannot listen on {config.host} port {config.port}: {reason}. "
            "Choose another with --host or --port; a port below 1024 needs a right of its own."
        )


async def _serve(config: RelayConfig) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with run_relay(config, show_passcode=_show_passcode if sys.stdout.isatty() else None) as url:
        typer.echo(f"Relay listening on {url}")
        sys.stdout.flush()
        await stopped.wait()
    typer.echo("Relay stopped.")


def _show_passcode(passcode: str) -> None:
    typer.echo(f"Your passcode, shown only now: {passcode}")


def _github_secret(file: Path | None) -> str:
    if file is None:
        return os.environ.get(SECRET_VARIABLE, "")
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_SECRET_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError):
        fail(f"The OAuth app's secret cannot be read from {file}. Give the relay's user the right to read it.")


def _allow_open_files() -> None:
    """As many as there may be connections; where the system does not let us, it refuses some of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _OTHER_FILES
    if soft < wanted and soft != resource.RLIM_INFINITY:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it installs: a quarter less time for each message."""
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - does not install everywhere

        return uvloop.new_event_loop
    return None
