"""Random trees with links: every way of opening does what a model of the look-up says."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from host.paths.door import Door, OpenBeneath
from host.paths.openat2 import is_supported, open_by_openat2
from host.paths.relative import parse_path
from host.paths.walk import MAX_LINKS, open_by_walk
from host.protocol.errors import FileNotFound, InvalidRequest, OutsideProjectRoot

_ADAPTERS: tuple[OpenBeneath, ...] = (open_by_openat2, open_by_walk) if is_supported() else (open_by_walk,)
_NAMES = ("a", "b", "c")

Node = dict[str, "Node"] | str | bytes  # a directory, a link's target, a file's content

_components = st.sampled_from((*_NAMES, "..", ".", "..", ""))
_targets = st.lists(_components, min_size=1, max_size=5).map("/".join).filter(bool)
_links = st.one_of(_targets, st.sampled_from(["/", "/a", "../outside", "../outside/secret", "a/../../outside"]))
_trees = st.recursive(
    st.one_of(st.just(b"inside"), _links),
    lambda node: st.dictionaries(st.sampled_from(_NAMES), node, max_size=3),
    max_leaves=12,
)
_roots = st.dictionaries(st.sampled_from(_NAMES), _trees, max_size=3)
_paths = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=5).map("/".join)


def build(directory: Path, tree: dict[str, Node]) -> None:
    for name, node in tree.items():
        place = directory / name
        if isinstance(node, dict):
            place.mkdir()
            build(place, node)
        elif isinstance(node, str):
            os.symlink(node, place)
        else:
            place.write_bytes(node)


def expected(root: dict[str, Node], path: str) -> str:
    """What opening the path comes to: dir, file, missing, outside or circle."""
    stack: list[dict[str, Node]] = [root]
    ahead = path.split("/")
    links = 0
    while ahead:
        name = ahead.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            if len(stack) == 1:
                return "outside"
            stack.pop()
            continue
        node = stack[-1].get(name)
        if node is None:
            return "missing"
        if isinstance(node, dict):
            stack.append(node)
        elif isinstance(node, bytes):
            return "missing" if ahead else "file"
        else:
            links += 1
            if links > MAX_LINKS:
                return "circle"
            if node.startswith("/"):
                return "outside"
            ahead = node.split("/") + ahead
    return "dir"


def outcome(door: Door, path: str) -> str:
    try:
        with door.file(parse_path(path)) as file:
            assert os.read(file.descriptor, 100) == b"inside"
            return "file"
    except FileNotFound:
        return "missing"
    except OutsideProjectRoot:
        return "outside"
    except InvalidRequest as exc:
        return "circle" if "circle" in exc.message else "dir"


def inodes(root: Path) -> set[int]:
    return {os.stat(directory).st_ino for directory, _, _ in os.walk(root)}


@settings(max_examples=150)
@given(_roots, st.lists(_paths, min_size=1, max_size=5))
def test_every_way_of_opening_does_what_the_model_says(tree: dict[str, Node], paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "project"
        root.mkdir()
        (root.parent / "outside").mkdir()
        (root.parent / "outside" / "secret").write_bytes(b"outside")
        build(root, tree)
        for adapter in _ADAPTERS:
            with Door(root, adapter) as door:
                assert [outcome(door, path) for path in paths] == [expected(tree, path) for path in paths]


@settings(max_examples=100)
@given(_roots, _paths)
def test_every_place_lies_inside_and_is_no_link(tree: dict[str, Node], path: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "project"
        root.mkdir()
        build(root, tree)
        try:
            with Door(root) as door, door.place(parse_path(path)) as place:
                assert os.fstat(place.parent).st_ino in inodes(root)
                assert place.name not in {b"..", b""}
                assert b"/" not in place.name
                status = place.status()
                kind = "missing" if status is None else "dir" if os.path.isdir(root / path) else "file"
        except (FileNotFound, InvalidRequest, OutsideProjectRoot) as exc:
            kind = {OutsideProjectRoot: "outside", InvalidRequest: "circle"}.get(type(exc), "missing")
        assert kind == expected(tree, path)
