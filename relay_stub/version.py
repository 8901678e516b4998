"""Which relay this is."""

from functools import cache
from importlib.metadata import version


@cache
def relay_version() -> str:
    return version("pocketcoder")
