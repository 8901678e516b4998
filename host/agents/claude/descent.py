"""The lines of a transcript in the order in which they follow one another. Pure.

A session begins with lines that the CLI keeps back for a moment: an answer that comes within milliseconds is written
before them. Sorting by time would not do, because lines that stand where they belong may be older than the one before.
"""

from collections.abc import Sequence

import msgspec


class _Link(msgspec.Struct, rename="camel"):
    uuid: str | None = None
    parent_uuid: str | None = None


def in_order(lines: Sequence[bytes]) -> list[bytes]:
    """The same lines, where one whose parent comes later stands behind that, and all others where they were."""
    links = [_link(line) for line in lines]
    to_come = {link.uuid for link in links}
    held: dict[str, list[int]] = {}
    ordered: list[int] = []
    for place, link in enumerate(links):
        parent = link.parent_uuid
        if parent is not None and parent != link.uuid and parent in to_come:
            held.setdefault(parent, []).append(place)
            continue
        freed = [place]
        while freed:
            ordered.append(freed.pop())
            name = links[ordered[-1]].uuid
            to_come.discard(name)
            if name is not None:
                freed += reversed(held.pop(name, []))
    # Of lines that follow each other in a circle none is the first.
    ordered += sorted(place for places in held.values() for place in places)
    return [lines[place] for place in ordered]


def _link(line: bytes) -> _Link:
    """Of a line that can't be read none."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Link()


_decoder = msgspec.json.Decoder(_Link)
