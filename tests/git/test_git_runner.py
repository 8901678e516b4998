"""Running git: within limits, and with nothing left running."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]
import pytest

from host.git.cat_file import IDLE_S, MAX_KEPT, ObjectReader
from host.git.configuration import Entry, judge, parse_configuration
from host.git.environment import read_environment, write_environment
from host.git.finished import Finished
from host.git.reader import MAX_MEMORY_BYTES, Reader
from host.git.reads import GitReads
from host.git.repository import Repositories
from host.git.runner import Git, find_git
from host.git.version import version_warning
from host.processes.login_shell import UserEnvironment
from host.processes.runner import ProcessRunner
from host.protocol.errors import GitFailed, ProjectRootGone, Unsupported
from host.protocol.limits import KIB, MAX_GIT_STDERR_BYTES
from tests.support.git_reading import reading
from tests.support.git_remotes import Checkout, git_environment, user_home
from tests.support.host import eventually
from tests.support.processes import is_alive


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout.init(tmp_path / "repository", user_home(tmp_path))


@pytest.fixture
async def reads(checkout: Checkout) -> AsyncIterator[GitReads]:
    async with reading(checkout.home) as reads:
        yield reads


def below(process_id: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(process_id).children(recursive=True) if "git" in child.name()]


def stand_in(directory: Path, script: str) -> str:
    """A PATH whose git is this shell script."""
    directory.mkdir()
    program = directory / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


def git_with(environment: dict[str, str]) -> Git:
    known: asyncio.Future[UserEnvironment] = asyncio.get_running_loop().create_future()
    known.set_result(UserEnvironment(environment))
    return Git(ProcessRunner(), known)


# What reads


@pytest.mark.slow
async def test_a_read_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    path = stand_in(tmp_path / "bin", f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    git = git_with({"PATH": path})
    with pytest.raises(GitFailed, match="took longer"):
        await git.read(lambda reader: reader.run(tmp_path, "status"), timeout_s=2)
    left = int((tmp_path / "pid").read_text())
    await eventually(lambda: not is_alive(left))
    git.close()


async def test_a_read_that_is_cancelled_is_killed(tmp_path: Path) -> None:
    path = stand_in(tmp_path / "bin", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    git = git_with({"PATH": path})
    task = asyncio.create_task(git.read(lambda reader: reader.run(tmp_path, "status")))
    await eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip() != "")
    process_id = int((tmp_path / "pid").read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: not psutil.pid_exists(process_id))
    git.close()


async def test_what_is_started_after_the_end_is_killed_at_once(tmp_path: Path) -> None:
    reader = Reader(find_git(stand_in(tmp_path / "bin", "exec sleep 600")), {"PATH": os.environ["PATH"]})
    reader.end()
    start_s = time.monotonic()
    assert reader.run(tmp_path, "status").exit_code is None
    assert time.monotonic() - start_s < 30


async def test_output_without_end_is_cut_and_its_writer_ended(tmp_path: Path) -> None:
    git = git_with({"PATH": stand_in(tmp_path / "bin", "yes >&2 & exec yes")})
    answer = await git.read(lambda reader: reader.run(tmp_path, "log", max_bytes=1000))
    assert answer.is_cut
    assert answer.output() == b"y\n" * 500
    assert len(answer.stderr) <= 128 * 1024
    git.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux limits a process from outside.")
async def test_a_read_has_so_much_memory_and_no_more(tmp_path: Path) -> None:
    limit = MAX_MEMORY_BYTES // KIB
    script = f'until [ "$(ulimit -d)" = {limit} ]; do :; done; echo limited'
    git = git_with({"PATH": stand_in(tmp_path / "bin", script)})
    answer = await git.read(lambda reader: reader.run(tmp_path, "status"))
    assert answer.output() == b"limited\n"
    git.close()


async def test_what_a_peer_is_told_of_a_failure_is_bounded_and_without_credentials() -> None:
    stderr = b"x" * 10_000 + b"\nfatal: https://ada:s3cret@example.com/x and https://token@example.com/y\n"
    failure = Finished("push", 128, b"", stderr).failure()
    assert len(failure.details["stderr"]) == MAX_GIT_STDERR_BYTES
    assert "example.com/y" in failure.details["stderr"]
    assert "s3cret" not in failure.details["stderr"]
    assert "token" not in failure.details["stderr"]
    assert failure.details["exitCode"] == 128


async def test_without_git_it_says_so(tmp_path: Path) -> None:
    git = git_with({"PATH": f"{tmp_path}:."})
    with pytest.raises(Unsupported, match="Install"):
        await git.read(lambda reader: reader.run(tmp_path, "status"))
    git.close()


async def test_an_old_git_is_warned_of(tmp_path: Path) -> None:
    git = git_with({"PATH": stand_in(tmp_path / "bin", "echo git version 2.34.1")})
    (warning,) = await GitReads(git, Repositories()).warnings()
    assert warning.startswith("git version 2.34.1 is too old")
    await git.read(lambda reader: reader.run(tmp_path, "status"))
    git.close()


async def test_a_git_that_takes_none_of_our_configuration_is_not_used(tmp_path: Path) -> None:
    git = git_with({"PATH": stand_in(tmp_path / "bin", "echo git version 2.30.2")})
    with pytest.raises(Unsupported, match="too old"):
        await git.read(lambda reader: reader.run(tmp_path, "status"))
    assert await GitReads(git, Repositories()).warnings() != ()
    git.close()


@pytest.mark.parametrize(
    "said", [b"git version 2.38.0\n", b"git version 2.40.1 (Apple Git-1)\n", b"git version 3.0\n", b"?"]
)
def test_a_newer_one_is_not(said: bytes) -> None:
    assert version_warning(said) is None


# What writes


async def test_a_write_gets_its_input_and_says_what_it_has_to(checkout: Checkout, reads: GitReads) -> None:
    said: list[bytes] = []
    content = b"x" * 1_000_000
    done = await reads.git.write(checkout.path, "hash-object", "--stdin", content=content)
    assert done.output().decode().strip() == hashlib.sha1(b"blob 1000000\0" + content).hexdigest()
    refused = await reads.git.write(checkout.path, "switch", "nothing", on_stderr=said.append)
    assert refused.exit_code == 128
    assert b"".join(said) == refused.stderr
    assert refused.says(b"invalid reference")


async def test_the_paths_of_a_write_are_literal(checkout: Checkout, reads: GitReads) -> None:
    for name in ("*.txt", "a.txt", "-n", "new\nline"):
        checkout.write(name)
    done = await reads.git.write(checkout.path, "add", paths=[b"*.txt", b"-n", b"new\nline"])
    assert done.is_success
    assert checkout.git("ls-files", "-z").split("\0")[:-1] == ["*.txt", "-n", "new\nline"]


async def test_a_write_runs_hooks_which_have_patterns_and_no_terminal(checkout: Checkout, reads: GitReads) -> None:
    checkout.write("a.txt")
    checkout.git("add", "a.txt")
    checkout.hook("pre-commit", "git ls-files '*.txt' > listed; [ -t 0 ] && exit 1; exit 0")
    done = await reads.git.write(checkout.path, "commit", "--message=One")
    assert done.is_success, done.stderr
    assert (checkout.path / "listed").read_text() == "a.txt\n"


async def test_a_write_that_takes_too_long_leaves_nothing_running(checkout: Checkout, reads: GitReads) -> None:
    checkout.hook("pre-commit", "setsid sleep 600 & sleep 600")
    with pytest.raises(TimeoutError):
        await reads.git.write(checkout.path, "commit", "--allow-empty", "--message=x", timeout_s=1)
    assert {"git", "sleep"} & set(names_below_us()) == set()


def names_below_us() -> Iterator[str]:
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            yield child.name()


async def test_a_write_in_a_project_that_is_gone_is_refused(tmp_path: Path, reads: GitReads) -> None:
    with pytest.raises(ProjectRootGone):
        await reads.git.write(tmp_path / "nothing", "status")


# Processes that are kept


async def test_few_processes_are_kept_and_only_for_a_while(checkout: Checkout) -> None:
    checkout.commit("file", "one\n")
    now_s = [1000.0]
    objects = ObjectReader(monotonic_s=lambda: now_s[0])
    environment = git_environment(checkout.home)
    reader = Reader(find_git(environment["PATH"]), environment)
    others = [Checkout.init(checkout.path.parent / f"other-{number}", checkout.home) for number in range(MAX_KEPT)]
    repositories = [Repositories().find(reader, other.path) for other in (checkout, *others)]
    for repository in repositories:
        objects.read(reader, repository, b"HEAD:file")
    assert len(below(os.getpid())) == MAX_KEPT
    now_s[0] += IDLE_S / 2
    assert objects.read(reader, repositories[0], b"HEAD:file") is not None
    now_s[0] += IDLE_S / 2
    objects.end_idle()
    assert len(below(os.getpid())) == 1
    objects.close()
    assert below(os.getpid()) == []


async def test_a_kept_process_that_was_killed_is_replaced(checkout: Checkout, reads: GitReads) -> None:
    checkout.commit("file", "one\n")
    assert (await reads.file_base(checkout.path, "file", "HEAD")).exists
    (kept,) = below(os.getpid())
    kept.kill()
    kept.wait(10)
    assert (await reads.file_base(checkout.path, "file", "HEAD")).exists


async def test_a_process_that_never_answers_is_given_up(tmp_path: Path, checkout: Checkout) -> None:
    checkout.commit("file", "one\n")
    real = find_git(os.environ["PATH"])
    path = stand_in(tmp_path / "bin", f'[ "$1" = cat-file ] && exec sleep 600; exec {real} "$@"')
    git = git_with({**git_environment(checkout.home), "PATH": path})
    objects, repositories = ObjectReader(), Repositories()
    repository = await git.read(lambda reader: repositories.find(reader, checkout.path))
    with pytest.raises(GitFailed, match="took longer"):
        await git.read(lambda reader: objects.read(reader, repository, b"HEAD:file"), timeout_s=0.5)
    await eventually(lambda: psutil.Process().children() == [])
    git.close()


_READS_ONE_FILE: Final = """
    import asyncio, os, sys
    from pathlib import Path
    from host.processes.login_shell import UserEnvironment
    from tests.support.git_reading import reading

    async def main():
        async with reading(Path(sys.argv[2])) as reads:
            await reads.file_base(Path(sys.argv[1]), "file", "HEAD")
            print("ready", flush=True)
            await asyncio.sleep(600)

    asyncio.run(main())
"""


async def test_kept_processes_end_with_a_daemon_that_is_killed(checkout: Checkout) -> None:
    checkout.commit("file", "one\n")
    script = textwrap.dedent(_READS_ONE_FILE)
    daemon = subprocess.Popen(
        [sys.executable, "-c", script, str(checkout.path), str(checkout.home)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert daemon.stdout is not None
    with daemon, daemon.stdout:
        assert await asyncio.to_thread(daemon.stdout.readline) == b"ready\n"
        (kept,) = below(daemon.pid)
        daemon.send_signal(signal.SIGKILL)
    await eventually(lambda: not kept.is_running() or kept.status() == psutil.STATUS_ZOMBIE)


# What it runs under


def test_nothing_of_the_environment_is_gits_but_what_is_set_here() -> None:
    user = {"PATH": "/bin", "GIT_SSH": "x", "GIT_EXEC_PATH": "y", "SSH_ASKPASS": "z", "SSH_AUTH_SOCK": "s"}
    for environment in (read_environment(user, {}), write_environment(user, None, takes_paths=False)):
        assert not {"GIT_SSH", "GIT_EXEC_PATH", "SSH_ASKPASS"} & set(environment)
        assert environment["SSH_AUTH_SOCK"] == "s"
        assert environment["GIT_TERMINAL_PROMPT"] == "0"
        assert environment["GIT_ASKPASS"] == ""
    assert write_environment(user, None, takes_paths=False)["GIT_SSH_COMMAND"] == "ssh -o BatchMode=yes"
    assert write_environment(user, "ssh -i k", takes_paths=False)["GIT_SSH_COMMAND"] == "ssh -i k -o BatchMode=yes"


def test_a_configuration_is_judged_by_who_wrote_it() -> None:
    listing = (
        b"system\0core.sshcommand\nssh -4\0global\0filter.lfs.clean\ngit-lfs clean\0global\0filter.lfs.required\ntrue\0"
        b"local\0filter.lfs.clean\nevil\nand more\0local\0filter.a.b.process\nevil\0local\0filter.a.b.required\0"
        b"worktree\0core.sshcommand\nssh -6\0"
    )
    entries = parse_configuration(listing)
    assert entries[3] == Entry("local", "filter.lfs.clean", "evil\nand more")
    configuration = judge(entries)
    assert configuration.overrides == {
        "filter.lfs.clean": "git-lfs clean",
        "filter.a.b.process": "",
        "filter.a.b.required": "false",
    }
    assert configuration.ssh_command == "ssh -6"
    assert not configuration.is_settled
    assert judge([Entry("global", "include.path", "x"), Entry("local", "core.bare", "false")]).is_settled
    assert not judge([Entry("local", "includeif.gitdir:/x.path", "x")]).is_settled
