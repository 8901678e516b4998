"""The one way to run git, hardened against what a repository configures (docs/security.md, "Git").

What reads is short and runs nothing of the repository: it runs in a thread, in a group of its own, which is
killed at its limit. What writes may run hooks and talk to remotes: it runs below a shim, which ends whole trees.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from host.git.environment import write_environment
from host.git.finished import Finished
from host.git.reader import Reader
from host.git.version import refuse_too_old
from host.paths.door import Door
from host.paths.relative import ROOT
from host.processes.login_shell import UserEnvironment
from host.processes.runner import Job, ProcessNotStarted, ProcessRunner
from host.processes.running import RunningProcess
from host.protocol.errors import GitFailed, Unsupported
from host.protocol.limits import KIB, MAX_FILE_THREADS, MIB

READ_TIMEOUT_S: Final = 14.0
WRITE_TIMEOUT_S: Final = 55.0
_MAX_VERSION_BYTES: Final = 1 * KIB
_FROM_STDIN: Final = ("--pathspec-from-file=-", "--pathspec-file-nul")

Result = TypeVar("Result")
OnStderr = Callable[[bytes], None]


class Git:
    """Runs git for the features. ``environment`` is the user's, once it is known."""

    def __init__(self, runner: ProcessRunner, environment: "asyncio.Future[UserEnvironment]") -> None:
        self._runner = runner
        self._environment = environment
        self._threads = ThreadPoolExecutor(MAX_FILE_THREADS, thread_name_prefix="git")
        self._is_recent = False

    async def version(self) -> bytes:
        """What it says of its version. Raises as ``read``."""
        return await self._in_thread(_version, READ_TIMEOUT_S)

    async def read(self, work: Callable[[Reader], Result], *, timeout_s: float = READ_TIMEOUT_S) -> Result:
        """Do ``work`` in a thread with a Reader. At the limit, or cancelled, what it runs is killed.

        Raises GitFailed at the limit, Unsupported where there is no git, or one that is too old.
        """

        def checked(reader: Reader) -> Result:
            if not self._is_recent:
                refuse_too_old(_version(reader))
                self._is_recent = True
            return work(reader)

        return await self._in_thread(checked, timeout_s)

    async def write(
        self,
        root: Path,
        *arguments: str | bytes,
        paths: Sequence[bytes] | None = None,
        content: bytes = b"",
        ssh_command: str | None = None,
        timeout_s: float = WRITE_TIMEOUT_S,
        on_stderr: OnStderr | None = None,
    ) -> Finished:
        """Run git in a project's ``root`` with ``content`` as its stdin, below a shim: hooks and all end with it.

        ``paths``, relative to ``root``, are given to it literally, by ``--pathspec-from-file``, instead of ``content``.
        ``on_stderr`` gets what it says as it comes. Of its output the last MiB is kept. Raises TimeoutError at the
        limit, ProjectRootGone, Unsupported where there is no git, and GitFailed where it can't be started.
        """
        user = (await asyncio.shield(self._environment)).variables
        program = find_git(user.get("PATH", os.defpath))
        if paths is not None:
            arguments, content = (*arguments, *_FROM_STDIN), b"\0".join(paths)
        environment = write_environment(user, ssh_command, takes_paths=paths is not None)
        words = tuple(os.fsdecode(argument) for argument in (program, *arguments))
        try:
            async with asyncio.timeout(timeout_s):
                with Door(root) as door, door.directory(ROOT) as directory:
                    process = await self._runner.start(Job(words, environment, directory, wants_stdin=bool(content)))
                async with process:
                    return await _finish(process, words[1], content, on_stderr)
        except ProcessNotStarted as exc:
            raise GitFailed(str(exc), stderr="", exitCode=None) from exc

    def close(self) -> None:
        """No work is taken any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[Reader], Result], timeout_s: float) -> Result:
        user = (await asyncio.shield(self._environment)).variables
        reader = Reader(find_git(user.get("PATH", os.defpath)), user)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, reader)
        except TimeoutError as exc:
            message = (
                f"git took longer than {timeout_s:g} s and was ended. The repository or its disk is slow; try again."
            )
            raise GitFailed(message, stderr="", exitCode=None) from exc
        finally:
            reader.end()


@cache
def find_git(search_path: str) -> str:
    """The absolute path of git in a PATH. Raises Unsupported if there is none."""
    # A relative entry would find a program in the repository.
    entries = [entry for entry in search_path.split(os.pathsep) if os.path.isabs(entry)]
    program = shutil.which("git", path=os.pathsep.join(entries)) if entries else None
    if program is None:
        raise Unsupported("git was not found on the machine. Install it there, then restart the daemon.")
    return program


def _version(reader: Reader) -> bytes:
    return reader.run(Path("/"), "version", max_bytes=_MAX_VERSION_BYTES).output()


async def _finish(process: RunningProcess, command: str, content: bytes, on_stderr: OnStderr | None) -> Finished:
    feeding = asyncio.create_task(_feed(process, content))
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    try:
        while (piece := await process.read()) is not None:
            name, data = piece
            kept[name] += data
            del kept[name][: -1 * MIB]
            if name == "stderr" and on_stderr is not None:
                on_stderr(data)
        ended = await process.wait()
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        # Also when it is cut off: a git that is asked to end removes its locks, one that is killed does not.
        await process.end()
    return Finished(command, ended.exit_code, bytes(kept["stdout"]), bytes(kept["stderr"]))


async def _feed(process: RunningProcess, content: bytes) -> None:
    if process.stdin is not None:
        # It may end without reading all, and says why.
        with suppress(BrokenPipeError):
            await process.stdin.write(content)
        process.stdin.close()
