"""Asks a daemon's control plane without end, and prints a line for each answer: path, when it was asked, ms."""

import sys
import time
from typing import Final

from host.control_plane.client import ControlClient, ControlError
from host.core.home import find_paths

_INTERVAL_S: Final = 0.25


def main() -> None:
    control = ControlClient(find_paths({"POCKETCODER_HOME": sys.argv[1]}), int(sys.argv[2]))
    while True:
        for path in ("/health", "/status"):
            began_s = time.monotonic()
            try:
                control.request("GET", path)
                took_ms = (time.monotonic() - began_s) * 1000
            except ControlError:
                # None at all is the slowest.
                took_ms = float("inf")
            print(path, began_s, took_ms, flush=True)
        time.sleep(_INTERVAL_S)


if __name__ == "__main__":
    main()
