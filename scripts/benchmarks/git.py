"""Git: our reads over the bare commands, in a repository of 50,000 files with 2,000 commits and branches."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from host.git.reads import GitReads
from host.git.repository import Repositories
from host.git.runner import Git
from host.processes.login_shell import UserEnvironment
from host.processes.runner import ProcessRunner
from host.protocol.messages.base import Response, encode_payload
from scripts.benchmarks.measure import Effort, Figure, Report, Samples, Target, awaited_ms, figure_of_medians, timed_ms

_FILES: Final = 50_000
_FILES_A_DIRECTORY: Final = 100
_COMMITS: Final = 2_000
# So many of the branches have an upstream.
_FOLLOWING: Final = 100
_QUICK_ROUNDS: Final = 5
# A phone that opens a project asks for much at once.
_IN_A_ROW: Final = 5
# What has no daemon to answer it, the user types: with no locks, as editors ask.
_STATUS: Final = ("--no-optional-locks", "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all")
_FORMAT: Final = (
    "%(HEAD)%00%(refname)%00%(objectname)%00%(upstream)%00%(upstream:track)%00%(committerdate:unix)"
    "%00%(contents:subject)"
)
_BRANCHES: Final = ("for-each-ref", f"--format={_FORMAT}", "refs/heads", "refs/remotes")
_LOG: Final = ("log", "-z", "--format=%H%x00%P%x00%an%x00%at%x00%s%x00%b", "--max-count=51")
_CHANGED: Final = "directory-0/file-0.txt"
_SHOW: Final = ("show", f"HEAD:{_CHANGED}")


async def measure(effort: Effort) -> Report:
    # The daemon runs on plain asyncio.
    return await asyncio.to_thread(asyncio.run, _measure(effort))


async def _measure(effort: Effort) -> Report:
    scale = 10 if effort.rounds <= _QUICK_ROUNDS else 1
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "repository"
        await asyncio.to_thread(_make_repository, root, _FILES // scale, _COMMITS // scale)
        environment: asyncio.Future[UserEnvironment] = asyncio.get_running_loop().create_future()
        environment.set_result(UserEnvironment(dict(os.environ)))
        runner = ProcessRunner()
        reads = GitReads(Git(runner, environment), Repositories())
        try:
            return Report(await _figures(reads, root, effort.rounds))
        finally:
            reads.close()
            await runner.close()


async def _figures(reads: GitReads, root: Path, rounds: int) -> list[Figure]:
    async def compare(
        what: str, ask: Callable[[], Awaitable[Response]], bare: tuple[str, ...], times: int, target: Target
    ) -> Figure:
        ours: Samples = []
        floor: Samples = []
        await _answer(ask)
        for _ in range(max(times // _IN_A_ROW, 1)):
            floor += [timed_ms(lambda: _git(root, *bare)) for _ in range(_IN_A_ROW)]
            ours += [await awaited_ms(lambda: _answer(ask)) for _ in range(_IN_A_ROW)]
        return figure_of_medians(what, ours, floor, f"git {next(word for word in bare if word[0] != '-')}", target)

    same, kept = Target(1.1), Target(0.15)
    return [
        await compare("git_status", lambda: reads.status(root), _STATUS, rounds // 2, same),
        await compare("git_branches", lambda: reads.branches(root), _BRANCHES, rounds // 2, same),
        await compare(
            "git_log", lambda: reads.log(root, ref=None, path=None, limit=50, skip=0), _LOG, 5 * rounds, same
        ),
        await compare("git_file_base", lambda: reads.file_base(root, _CHANGED, "HEAD"), _SHOW, 5 * rounds, kept),
    ]


async def _answer(ask: Callable[[], Awaitable[Response]]) -> bytes:
    """Up to the payload as it is sent."""
    return bytes(encode_payload(await ask()))


def _git(root: Path, *arguments: str, content: bytes | None = None) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=root, input=content, stdout=subprocess.PIPE, check=True)
    return done.stdout


def _make_repository(root: Path, files: int, commits: int) -> None:
    """Some files differ, some are new; each commit has a branch."""
    root.mkdir()
    _git(root, "init", "--quiet", "--initial-branch=main")
    _git(root, "fast-import", "--quiet", content=_history(files, commits))
    _git(root, "reset", "--quiet", "--hard", "main")
    # What was checked out within the same second as the index would be compared byte by byte for ever.
    _git(root, "update-index", "--refresh", "--really-refresh")
    config = "".join(
        f'[branch "branch-{number}"]\n\tremote = .\n\tmerge = refs/heads/main\n' for number in range(_FOLLOWING)
    )
    with (root / ".git" / "config").open("a") as file:
        file.write(config)
    for number in range(20):
        (root / f"directory-{number}" / "file-0.txt").write_text("changed\n")
        (root / f"directory-{number}" / "new.txt").write_text("new\n")


def _history(files: int, commits: int) -> bytes:
    person = "Ada <ada@example.com>"
    names = [
        f"directory-{number // _FILES_A_DIRECTORY}/file-{number % _FILES_A_DIRECTORY}.txt" for number in range(files)
    ]
    lines = [f"commit refs/heads/main\ncommitter {person} 1770000000 +0000\ndata 4\nBase\n"]
    lines += [f"M 100644 inline {name}\ndata {len(name) + 1}\n{name}\n\n" for name in names]
    for number in range(commits):
        subject = f"Commit {number}"
        head = (
            f"commit refs/heads/main\ncommitter {person} {1770000000 + number} +0000\ndata {len(subject)}\n{subject}\n"
        )
        lines.append(f"{head}M 100644 inline counter.txt\ndata {len(str(number))}\n{number}\n\n")
        lines.append(f"reset refs/heads/branch-{number}\nfrom refs/heads/main\n\n")
    return "".join(lines).encode()
