"""Looking after a relay's users and sessions; works beside a running relay, which hears of it within a moment."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from relay_stub.administration import Administration
from relay_stub.cli.data_directory import DataDirOption, data_directory
from relay_stub.cli.output import fail, local_time, print_table
from relay_stub.oauth.tokens import SESSION_LIFETIME_S
from relay_stub.store.audit import AuditEntry
from relay_stub.store.data_directory import DirectoryInUse, StoreError
from relay_stub.store.database import Database

_KINDS: Final = {"pocketcoder-host": "host", "pocketcoder-web": "web"}
_TAIL_INTERVAL_S: Final = 0.5


def users(data_dir: DataDirOption = None) -> None:
    """List who has signed in."""
    with _opened(data_dir) as administration:
        rows = [
            (user.login, provider, user.name or "", str(sessions))
            for user, provider, sessions in administration.accounts.users()
        ]
    print_table(("LOGIN", "PROVIDER", "NAME", "SESSIONS"), rows)


def sessions(
    user: Annotated[str | None, typer.Option(help="Only this user's, by login.")] = None,
    data_dir: DataDirOption = None,
) -> None:
    """List what is signed in: where from, since when, and when it was last used."""
    with _opened(data_dir) as administration:
        rows = [
            (
                record.id,
                record.login,
                _KINDS.get(record.client_id, record.client_id),
                record.label or "",
                record.address,
                local_time(record.created_at_s),
                local_time(record.last_used_at_s),
            )
            for record in administration.accounts.sessions(login=user)
            if record.last_used_at_s + SESSION_LIFETIME_S > time.time()
        ]
    print_table(("ID", "USER", "WHAT", "NAME", "ADDRESS", "SINCE", "LAST USED"), rows)


def revoke(
    session: Annotated[str | None, typer.Argument(metavar="[ID]", help="A session's id.")] = None,
    user: Annotated[str | None, typer.Option(help="All sessions of this user, by login.")] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Sign out one session, or all of a user; their connections are closed.

    Example: pocketcoder-relay revoke --user alice
    """
    if (session is None) == (user is None):
        raise typer.BadParameter("Name either one session by its id, or a user with --user.")
    with _opened(data_dir) as administration:
        if session is not None and not administration.revoke_session(session):
            fail(f"There is no session {session!r}. List them with: pocketcoder-relay sessions")
        revoked = administration.revoke_user(user) if user is not None else 1
    if not revoked:
        fail(f"{user!r} has no sessions. List them with: pocketcoder-relay sessions")
    typer.echo(f"Revoked {revoked} session(s).")


def passcode(
    reset: Annotated[bool, typer.Option("--reset", help="Make a new one, and end the sessions of the old.")] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Say whether there is a passcode, or make a new one and show it.

    Example: pocketcoder-relay passcode --reset
    """
    directory = data_directory(data_dir)
    if reset:
        _make_database(directory)
    with _opened(directory) as administration:
        if not reset:
            exists = administration.has_passcode()
            typer.echo(
                "There is a passcode; only its hash is kept. Make a new one with --reset."
                if exists
                else "There is no passcode yet. Make one with --reset."
            )
            return
        typer.echo(f"The new passcode, shown only now: {administration.make_passcode()}")


def rotate_keys(data_dir: DataDirOption = None) -> None:
    """Sign access tokens with a new key; nobody has to sign in again."""
    with _opened(data_dir) as administration:
        administration.rotate_keys()
    typer.echo("A new key signs access tokens. The old one is void when the last of its tokens has expired.")


def audit(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="So many of the newest.")] = 50,
    tail: Annotated[bool, typer.Option("--tail", help="Go on with what happens from now on, until Ctrl-C.")] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Print sign-ins, refusals and revocations, the newest last."""
    with _opened(data_dir) as administration:
        entries = administration.audit.last(lines)
        _print_entries(entries)
        last_id = entries[-1].id if entries else 0
        try:
            while tail:
                time.sleep(_TAIL_INTERVAL_S)
                entries = administration.audit.since(last_id)
                _print_entries(entries)
                last_id = entries[-1].id if entries else last_id
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


@contextmanager
def _opened(data_dir: Path | None) -> Iterator[Administration]:
    try:
        database = Database.open_beside(data_directory(data_dir))
    except StoreError as exc:
        fail(str(exc))
    try:
        yield Administration(database)
    finally:
        database.close()


def _make_database(directory: Path) -> None:
    """Before the first start there is none."""
    try:
        with suppress(DirectoryInUse):
            Database.open(directory).close()
    except StoreError as exc:
        fail(str(exc))


def _print_entries(entries: list[AuditEntry]) -> None:
    for entry in entries:
        typer.echo(
            "  ".join(filter(None, (local_time(entry.at_s), entry.event, entry.who, entry.address, entry.detail)))
        )
