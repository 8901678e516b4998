"""The repository that a project's root lies in."""

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from threading import Lock
from typing import Final

from host.git.configuration import Configuration, judge, parse_configuration
from host.git.finished import Finished
from host.git.paths import unescaped_path
from host.git.reader import MAX_OUTPUT_BYTES, Reader
from host.paths.door import Door
from host.paths.relative import ROOT, RelativePath, shown
from host.protocol.errors import GitFailed, GitNotInitialized
from host.protocol.limits import MAX_PROJECTS

_FACTS: Final = ("--show-toplevel", "--absolute-git-dir", "--git-common-dir", "--show-prefix")
_Mark = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Repository:
    """``root`` is the project's, ``top`` the working tree's; ``prefix`` leads to it from there.

    ``prefix`` is empty or ends in ``/``. ``git_dir`` is this working tree's own, ``common_dir`` what all working trees
    of the repository share. Once anything of this has changed, ``watched`` has another ``identity``.
    """

    root: Path
    top: Path
    prefix: bytes
    git_dir: Path
    common_dir: Path
    configuration: Configuration
    watched: tuple[str, ...]
    identity: tuple[_Mark, ...]

    def run(
        self, git: Reader, *arguments: str | bytes, max_bytes: int = MAX_OUTPUT_BYTES, index: Path | None = None
    ) -> Finished:
        """Run git, as a read, in the project's root, with another ``index`` than the repository's if one is given."""
        settings = self.configuration.overrides
        return git.run(self.root, *arguments, settings=settings, max_bytes=max_bytes, index=index)

    @property
    def is_as_it_was(self) -> bool:
        """Whether it is still where it was found, with the same configuration. Touches the file system."""
        # Without a HEAD it is no repository, and git would look for another around it; each checkout writes a new one.
        return os.path.lexists(f"{self.git_dir}/HEAD") and _identity(self.watched) == self.identity

    @property
    def is_whole(self) -> bool:
        """Whether the project is all of the working tree."""
        return not self.prefix

    def has(self, git: Reader, revision: str | bytes) -> bool:
        """Whether ``revision`` names an object."""
        return self.run(git, "rev-parse", "--verify", "--quiet", "--end-of-options", revision).is_success

    def pathspecs(self, git: Reader, path: RelativePath) -> tuple[str | bytes, ...]:
        """What to give to git behind ``--`` so that it keeps to ``path``, and always to the project."""
        if path == ROOT:
            return () if self.is_whole else (".",)
        return (self.find_path(git, path),)

    def find_path(self, git: Reader, path: RelativePath) -> bytes:
        """The name, from the project's root, by which git knows what the wire calls ``path``."""
        literal, other = b"/".join(path.parts), unescaped_path(path)
        if other is None or self.run(git, "ls-files", "-z", "--cached", "--others", "--", literal).output():
            return literal
        return other


class Repositories:
    """Finds repositories, and keeps what it found as long as nothing of it has changed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[Path, Repository] = {}

    def find(self, git: Reader, root: Path) -> Repository:
        """The repository around a project's ``root``, a real path. Touches the file system.

        Raises ProjectRootGone, GitNotInitialized where there is none, and GitFailed, which says why, for one that git
        refuses, or that has no working tree here.
        """
        with self._lock:
            known = self._known.get(root)
        if known is not None and known.is_as_it_was:
            return known
        with Door(root):
            pass
        found = _find(git, root)
        with self._lock:
            self._known.pop(root, None)
            if found.configuration.is_settled and not _has_nearer(found):
                self._known[root] = found
            # Projects that were removed; they are found again if not.
            while len(self._known) > MAX_PROJECTS:
                del self._known[next(iter(self._known))]
        return found


def _find(git: Reader, root: Path) -> Repository:
    top, git_dir, common_dir, prefix = _facts(git, root)
    places = (Path(os.fsdecode(top)), root / os.fsdecode(git_dir), root / os.fsdecode(common_dir))
    watched = _watched(root, *places)
    # Before the configuration is read: a change in between makes another identity.
    identity = _identity(watched)
    listing = git.run(root, "config", "--list", "--show-scope", "-z").output()
    return Repository(root, places[0], prefix, *places[1:], judge(parse_configuration(listing)), watched, identity)


def _facts(git: Reader, root: Path) -> list[bytes]:
    answer = git.run(root, "rev-parse", *_FACTS)
    if not answer.is_success:
        raise _refusal(answer, root)
    lines = answer.stdout.split(b"\n")[:-1]
    if len(lines) != len(_FACTS):
        # A directory's name holds a newline.
        lines = [git.run(root, "rev-parse", fact).output()[:-1] for fact in _FACTS]
    top, _, _, prefix = lines
    if not _is_same(root, Path(os.fsdecode(top + b"/" + prefix))):
        raise answer.failure(
            f"The repository's working tree is {shown(os.fsdecode(top))}, where this project does not lie. "
            "Correct core.worktree in its configuration, or add that directory as a project."
        )
    return lines


def _refusal(answer: Finished, root: Path) -> GitNotInitialized | GitFailed:
    name = shown(str(root))
    if answer.says(b"dubious ownership"):
        return answer.failure(
            f"git refuses the repository around {name} because it belongs to another user. If you trust it, run the "
            "command in the details on the machine, as the user that the daemon runs as."
        )
    if answer.says(b"cannot use bare repository") or answer.says(b"must be run in a work tree"):
        return answer.failure(
            f"{name} lies in a bare repository, or in a repository's own directory, where there are no files to work "
            "on. Add a working tree of it as a project."
        )
    if answer.says(b"not a git repository"):
        return GitNotInitialized(f"{name} is not in a git repository. Run git init there to begin one.")
    return answer.failure()


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return os.path.samefile(one, other)
    return False


def _watched(root: Path, top: Path, git_dir: Path, common_dir: Path) -> tuple[str, ...]:
    paths = [directory / ".git" for directory in _up_to(root, top)]
    paths += [git_dir, git_dir / "config.worktree", git_dir / "commondir"]
    paths += [common_dir / "config", common_dir / "objects", common_dir / "refs"]
    return tuple(str(path) for path in paths)


def _identity(watched: Iterable[str]) -> tuple[_Mark, ...]:
    return tuple(map(_mark, watched))


def _has_nearer(repository: Repository) -> bool:
    """Whether git passed over a ``.git`` on its way up, as over one that ``git init`` has just begun."""
    below = itertools.takewhile(lambda path: path != repository.top, _up_to(repository.root, repository.top))
    return any(os.path.lexists(directory / ".git") for directory in below)


def _up_to(root: Path, top: Path) -> Iterator[Path]:
    for directory in (root, *root.parents):
        yield directory
        if directory == top:
            return


def _mark(path: str) -> _Mark:
    """Tells a directory from another one, and a file from what it was before."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    same = (status.st_dev, status.st_ino)
    return same if S_ISDIR(status.st_mode) else (*same, status.st_mtime_ns, status.st_size)
