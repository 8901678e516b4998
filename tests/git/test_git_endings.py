"""However a git that changes something ends, nothing of it is left running, and nobody else is held up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from host.git.remotes import fetch, push
from host.protocol.messages.git import GitPush
from tests.support.git_changing import Asker, asking, refused
from tests.support.git_remotes import Checkout, bare_remote, clone, user_home
from tests.support.host import eventually

pytestmark = pytest.mark.slow

TIMEOUT_S = 20.0
# In a session of its own, and without a parent: what a group's end would miss.
LINGER = "(setsid sleep 60 &); touch '{marker}'; sleep 60"


@pytest.fixture
def remote(tmp_path: Path) -> Checkout:
    return bare_remote(tmp_path / "remote.git", user_home(tmp_path))


@pytest.fixture
def repository(remote: Checkout, tmp_path: Path) -> Checkout:
    repository = clone(remote, tmp_path / "repository")
    repository.commit("a", "one\n", message="First")
    repository.git("push", "-q", "-u", "origin", "main")
    repository.commit("a", "two\n", message="Second")
    return repository


@pytest.fixture
async def phone(repository: Checkout) -> AsyncIterator[Asker]:
    async with asking(repository) as asker:
        yield asker


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What a hook makes once it runs."""
    return tmp_path / "runs"


def running(home: Path) -> list[str]:
    """The command lines of what lives with this HOME: the gits, and what they started."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


async def nothing_runs(home: Path) -> None:
    await eventually(lambda: not running(home), TIMEOUT_S)


async def test_while_a_push_waits_reads_go_on_and_changes_are_told_to_come_again(
    repository: Checkout, phone: Asker, tmp_path: Path, marker: Path
) -> None:
    go = tmp_path / "go"
    repository.hook("pre-push", f"touch '{marker}'; until [ -e '{go}' ]; do sleep 0.05; done")
    pushing = asyncio.create_task(phone.push())
    await eventually(marker.exists, TIMEOUT_S)
    async with asyncio.timeout(TIMEOUT_S):
        assert (await phone.status()).ahead == 1
    impatient = replace(phone, handlers=replace(phone.handlers, changes=replace(phone.handlers.changes, wait_s=0.05)))
    with refused("DAEMON_BUSY") as raised:
        await impatient.stage("")
    assert "git_push" in raised.value.message
    # Who waits long enough comes after it.
    repository.write("new")
    staging = asyncio.create_task(phone.stage("new"))
    await asyncio.sleep(0.1)
    assert repository.status() == ["?? new"]
    go.touch()
    await asyncio.gather(pushing, staging)
    assert repository.status() == ["A  new"]


async def test_two_working_trees_of_one_repository_take_turns(
    repository: Checkout, phone: Asker, tmp_path: Path, marker: Path
) -> None:
    repository.git("worktree", "add", "-q", "-b", "second", str(tmp_path / "second"))
    go = tmp_path / "go"
    repository.hook("pre-push", f"touch '{marker}'; until [ -e '{go}' ]; do sleep 0.05; done")
    pushing = asyncio.create_task(phone.push())
    await eventually(marker.exists, TIMEOUT_S)
    changes = replace(phone.handlers.changes, wait_s=0.05)
    other = replace(phone, handlers=replace(phone.handlers, changes=changes)).at(tmp_path / "second")
    with refused("DAEMON_BUSY"):
        await other.commit("x")
    go.touch()
    await pushing


@pytest.mark.parametrize("where", ["here", "at the remote"])
async def test_a_push_that_is_cut_off_leaves_nothing(
    repository: Checkout, remote: Checkout, phone: Asker, marker: Path, where: str
) -> None:
    if where == "here":
        repository.hook("pre-push", LINGER.format(marker=marker))
    else:
        remote.hook("pre-receive", LINGER.format(marker=marker))
    pushing = asyncio.create_task(phone.push())
    await eventually(marker.exists, TIMEOUT_S)
    assert running(repository.home)
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing
    await nothing_runs(repository.home)
    (repository.path / ".git" / "hooks" / "pre-push").unlink(missing_ok=True)
    (remote.path / "hooks" / "pre-receive").unlink(missing_ok=True)
    await phone.push()


async def test_at_the_limit_everything_is_ended_and_the_asker_is_told(
    repository: Checkout, phone: Asker, marker: Path
) -> None:
    repository.hook("pre-push", LINGER.format(marker=marker))
    with refused("COMMAND_TIMEOUT") as raised:
        async with phone.handlers.changes.begin(repository.path, "git_push", timeout_s=4.0) as change:
            await push(change, GitPush(), phone.progress.append)
    assert marker.exists()
    assert raised.value.is_outcome
    assert "git_push took longer than 4 s" in raised.value.message
    await nothing_runs(repository.home)


async def test_a_change_that_is_cut_off_leaves_no_lock(repository: Checkout, phone: Asker, marker: Path) -> None:
    repository.git("config", "filter.slow.clean", f"touch '{marker}'; sleep 60")
    repository.write(".gitattributes", "b filter=slow\n")
    repository.write("b")
    staging = asyncio.create_task(phone.stage("b"))
    await eventually(marker.exists, TIMEOUT_S)
    assert (repository.path / ".git" / "index.lock").exists()
    staging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staging
    await nothing_runs(repository.home)
    assert not (repository.path / ".git" / "index.lock").exists()


async def test_what_a_hook_leaves_in_the_background_is_ended(repository: Checkout, phone: Asker, marker: Path) -> None:
    repository.hook("post-commit", f"(setsid sleep 60 >/dev/null 2>&1 &); touch '{marker}'")
    repository.write("b")
    repository.git("add", "b")
    await phone.commit("x")
    assert marker.exists()
    await nothing_runs(repository.home)


async def test_a_remote_that_never_answers_is_cut_off(repository: Checkout, phone: Asker) -> None:
    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        repository.git("remote", "set-url", "origin", f"http://127.0.0.1:{port}/x.git")
        with refused("COMMAND_TIMEOUT"):
            async with phone.handlers.changes.begin(repository.path, "git_fetch", timeout_s=1.0) as change:
                await fetch(change, None, phone.progress.append)
        await nothing_runs(repository.home)
