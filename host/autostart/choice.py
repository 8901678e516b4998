"""Which way of starting by itself this system has, and what would be started."""

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from host.autostart.port import KEPT_VARIABLES, Autostart, AutostartFailed, Start, missing_program


def autostart(platform: str = sys.platform) -> Autostart:
    """Raises AutostartFailed for a system that PocketCoder knows no way for."""
    if platform == "linux":
        from host.autostart.systemd import Systemd  # noqa: PLC0415 - each system needs one

        return Systemd.of_user()
    if platform == "darwin":
        from host.autostart.launchd import Launchd  # noqa: PLC0415

        return Launchd.of_user()
    if platform == "win32":
        from host.autostart.windows import WindowsTask  # noqa: PLC0415

        return WindowsTask()
    raise AutostartFailed("PocketCoder knows no way to be started by this system. Start it with: pocketcoder start")


def start_of(environ: Mapping[str, str] = os.environ, *, scripts: str | None = None) -> Start:
    """This installation's ``pocketcoder``, with what of ``environ`` it would miss. Raises AutostartFailed."""
    directory = Path(scripts or sysconfig.get_path("scripts"))
    program = directory / ("pocketcoder.exe" if sys.platform == "win32" else "pocketcoder")
    if missing_program(str(program)) is not None:
        raise AutostartFailed(
            f"{program} is not there, or the Python it runs by is not. Install PocketCoder with pip or pipx, then try "
            "again."
        )
    return Start(program, variables={name: environ[name] for name in KEPT_VARIABLES if environ.get(name)})
