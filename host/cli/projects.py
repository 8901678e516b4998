"""The projects, through the running daemon or, when none runs, in the database itself."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from host.control_plane.client import Answer, ControlClient, DaemonNotRunning, Refused, checked, understood
from host.control_plane.statuses import ProjectsResponse, ProjectStatus
from host.core.home import HostPaths
from host.projects.naming import shown_path


class Projects:
    """Each call asks the daemon, or works under its lock if there is none. Raises what either raises."""

    def __init__(self, paths: HostPaths, control: ControlClient) -> None:
        self._paths = paths
        self._control = control

    def all(self) -> list[ProjectStatus]:
        if (answer := self._ask("GET", "/projects")) is not None:
            with understood():
                return msgspec.json.decode(answer.body, type=ProjectsResponse).projects
        from host.cli import offline  # noqa: PLC0415 - the database, which a running daemon spares us

        return offline.all_projects(self._paths)

    def add(self, path: Path, name: str | None, *, force: bool) -> ProjectStatus:
        body = {"path": os.fspath(path), "name": name, "force": force}
        if (answer := self._ask("POST", "/projects", body)) is not None:
            with understood():
                return msgspec.json.decode(answer.body, type=ProjectStatus)
        from host.cli import offline  # noqa: PLC0415 - as above

        return offline.add_project(self._paths, path, name, force=force)

    def remove(self, project_id: str) -> None:
        if self._ask("DELETE", f"/projects/{quote(project_id, safe='')}") is None:
            from host.cli import offline  # noqa: PLC0415 - as above

            offline.remove_project(self._paths, project_id)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer | None:
        """The daemon's answer; None when no daemon runs."""
        try:
            return checked(self._control.request(method, path, body))
        except DaemonNotRunning:
            return None


def find_project(projects: list[ProjectStatus], reference: str) -> ProjectStatus:
    """By id, by path, or by name. Raises Refused when there is none, or several have the name."""
    path = _shown_place(reference)
    for matches in (
        [project for project in projects if project.project_id == reference],
        [project for project in projects if project.path in (reference, path)],
        [project for project in projects if project.name == reference],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            ids = ", ".join(project.project_id for project in matches)
            raise Refused(f"Several projects are called {reference}. Name one by its id: {ids}")
    raise Refused(f"There is no project {reference}. List them with: pocketcoder projects")


def _shown_place(reference: str) -> str | None:
    """Where it leads, if it is taken for a path; an empty one leads nowhere."""
    if not reference:
        return None
    try:
        return shown_path(Path(os.path.realpath(os.path.expanduser(reference))))
    except OSError:
        return None  # The directory that it would be relative to is gone.
