"""Which watcher this system has."""

import sys

from host.watch.port import Watcher

# The library of the other one is not installed on Linux.
if sys.platform == "linux":
    from host.watch.inotify_watcher import InotifyWatcher as SystemWatcher
else:
    from host.watch.watchfiles_watcher import WatchfilesWatcher as SystemWatcher


def open_watcher(ignored: str = "") -> Watcher:
    """Of this system; one serves all projects, in each of which the patterns of ``ignored``, a line each, hold."""
    return SystemWatcher(ignored=ignored)
