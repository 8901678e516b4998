"""Looking whether a project's repository changed."""

from pathlib import Path

from host.watch.git_state import Repository, Signature, find_repository, is_state, signature_of
from host.watch.project import Project


class GitLook:
    """Tells the project when its repository is found changed, at ``begin`` or where it is hinted at. A Companion."""

    def __init__(self, project: Project) -> None:
        self.repository: Repository | None = None
        self._project = project
        self._signature: Signature | None = None

    def begin(self) -> None:
        self.repository = find_repository(self._project.root)
        signature = signature_of(self.repository) if self.repository else ()
        if self._signature not in {None, signature}:
            self._project.git_changed()
        self._signature = signature

    def end(self) -> None:
        # What it was then is kept: another root at the same path may have another repository.
        self.repository = None

    def hinted(self, path: Path) -> None:
        """Something about that path, of whatever project, may have changed."""
        git_entry = self._project.root / ".git"
        if path == git_entry / "info" / "exclude":
            self._project.look_soon()
        elif path == git_entry or self._is_state(path) or (self.repository is None and path.parent == git_entry):
            self.begin()

    def _is_state(self, path: Path) -> bool:
        if self.repository is None:
            return False
        tops = (self.repository.git_dir, self.repository.common_dir)
        return any(
            path.is_relative_to(top) and path != top and is_state(path.relative_to(top).parts[0]) for top in tops
        )
