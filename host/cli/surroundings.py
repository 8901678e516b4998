"""Where a command runs: our files, what is set, and the daemon's control plane."""

import os

import typer

from host.control_plane.client import ControlClient
from host.core.home import HostPaths, find_paths, prepare_home
from host.core.settings import Settings


def surroundings() -> tuple[HostPaths, Settings]:
    """The home is prepared, and what had to be mended told."""
    paths = find_paths(os.environ)
    settings = Settings.load(os.environ, paths.config_file)
    for warning in prepare_home(paths):
        typer.echo(warning, err=True)
    return paths, settings


def control() -> tuple[HostPaths, ControlClient]:
    paths, settings = surroundings()
    return paths, ControlClient(paths, settings.control_port)
