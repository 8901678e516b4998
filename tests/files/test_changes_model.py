"""Random sequences of the six operations on random trees with links, against a model of what they mean."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from host.files.creating import create_directory
from host.files.deleting import delete
from host.files.listing import list_directory
from host.files.moving import move
from host.files.reading import read_file
from host.files.temporary import temporary_name
from host.files.writing import FileWriter
from host.paths.door import Door, OpenBeneath
from host.paths.git_names import is_git_name
from host.paths.openat2 import is_supported, open_by_openat2
from host.paths.relative import parse_path
from host.paths.walk import MAX_LINKS, open_by_walk
from host.protocol.errors import ErrorCode, ProtocolError

_ADAPTERS: tuple[OpenBeneath, ...] = (open_by_openat2, open_by_walk) if is_supported() else (open_by_walk,)
_NAMES = ("a", "b", "c")
_WRITER = FileWriter()

Directory = dict[str, "Node"]
Node = Directory | str | bytes  # a directory, a link's target, a file's content
Step = tuple[str, str, str, bool]  # operation, path, second path, overwrite, recursive, createDirs or "must not exist"

_targets = st.lists(st.sampled_from((*_NAMES, "..", ".", "", ".git")), min_size=1, max_size=4).map("/".join)
_links = st.one_of(_targets.filter(bool), st.sampled_from(["/", "/a", "../outside", "a/../../outside", "a", "b", "c"]))
_names = st.sampled_from((*_NAMES, *_NAMES, ".git"))
_trees = st.recursive(
    st.one_of(st.just(b"old"), _links), lambda node: st.dictionaries(_names, node, max_size=3), max_leaves=10
)
_roots = st.dictionaries(_names, _trees, max_size=3)
_paths = st.lists(_names, max_size=4).map("/".join)
_operations = st.sampled_from(["list", "read", "write", "create", "create_dir", "move", "delete"])
_steps = st.tuples(_operations, _paths, _paths, st.booleans())


class Refused(Exception):
    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code)
        self.code = code


INVALID = ErrorCode.INVALID_REQUEST
MISSING = ErrorCode.FILE_NOT_FOUND
CONFLICT = ErrorCode.CONFLICT


@dataclass
class Way:
    """Where a path leads: the directories entered, and the names ahead; none for the last directory itself."""

    entered: list[tuple[str, Directory]]
    ahead: list[str] = field(default_factory=list)
    refusal: ErrorCode | None = None

    @property
    def directory(self) -> Directory:
        return self.entered[-1][1]

    @property
    def node(self) -> Node | None:
        return self.directory.get(self.ahead[0]) if self.ahead else self.directory

    def is_in_git(self) -> bool:
        return any(is_git_name(name.encode()) for name in (*(name for name, _ in self.entered), *self.ahead))


def way_of(root: Directory, path: str, *, follows_last: bool = True) -> Way:
    way = Way([("", root)], path.split("/") if path else [])
    links = 0
    while way.ahead:
        name, rest = way.ahead[0], way.ahead[1:]
        if name in ("", "."):
            way.ahead = rest
        elif name == "..":
            if len(way.entered) == 1:
                raise Refused(ErrorCode.OUTSIDE_PROJECT_ROOT)
            way.entered.pop()
            way.ahead = rest
        elif isinstance(node := way.node, str) and (rest or follows_last):
            links += 1
            if links > MAX_LINKS:
                way.refusal = INVALID
                return way
            if node.startswith("/"):
                raise Refused(ErrorCode.OUTSIDE_PROJECT_ROOT)
            way.ahead = [*(f"{node}." if node.endswith("/") else node).split("/"), *rest]
        elif not rest or node is None:
            return way
        elif isinstance(node, dict):
            way.entered.append((name, node))
            way.ahead = rest
        else:
            way.refusal = MISSING
            return way
    return way


class Model:
    def __init__(self, root: Directory) -> None:
        self.root = root

    def run(self, step: Step) -> object:
        operation, path, other, flag = step
        if operation == "list":
            return self.listed(path)
        if operation == "read":
            return self.read(path)
        if operation == "move":
            self.move(path, other, overwrite=flag)
        elif operation == "create_dir":
            self.create_dir(path)
        elif operation == "delete":
            self.delete(path, recursive=flag)
        else:
            self.write(path, create_dirs=flag, must_be_free=operation == "create")
        return None

    def listed(self, path: str) -> object:
        node = self._existing(path)
        if not isinstance(node, dict):
            raise Refused(INVALID)
        return {name: {dict: "dir", str: "symlink", bytes: "file"}[type(entry)] for name, entry in node.items()}

    def read(self, path: str) -> object:
        node = self._existing(path)
        if not isinstance(node, bytes):
            raise Refused(INVALID)
        return node

    def write(self, path: str, *, create_dirs: bool, must_be_free: bool) -> None:
        way = self._writable(path)
        if len(way.ahead) > 1:
            if not create_dirs:
                raise Refused(MISSING)
            self._make(way, len(way.ahead) - 1)
        if isinstance(way.node, dict):
            raise Refused(INVALID)
        if must_be_free and way.node is not None:
            raise Refused(CONFLICT)
        way.directory[way.ahead[0]] = b"new"

    def create_dir(self, path: str) -> None:
        way = self._writable(path)
        if isinstance(way.node, bytes) and len(way.ahead) == 1:
            raise Refused(CONFLICT)
        if way.ahead and way.node is None:
            self._make(way, len(way.ahead))

    def delete(self, path: str, *, recursive: bool) -> None:
        (way,) = self._entries(path)
        if len(way.ahead) > 1 or way.node is None:
            raise Refused(MISSING)
        if isinstance(way.node, dict) and way.node and not recursive:
            raise Refused(CONFLICT)
        del way.directory[way.ahead[0]]

    def move(self, source: str, to: str, *, overwrite: bool) -> None:
        old, new = self._entries(source, to)
        if len(old.ahead) > 1 or len(new.ahead) > 1 or old.node is None:
            raise Refused(MISSING)
        node, taken = old.node, new.node
        if any(directory is node for _, directory in new.entered):
            raise Refused(INVALID)
        is_same = old.directory is new.directory and old.ahead == new.ahead
        if taken is not None and not overwrite:
            raise Refused(CONFLICT)
        if taken is not None and not is_same:
            if isinstance(node, dict) != isinstance(taken, dict):
                raise Refused(INVALID)
            if isinstance(taken, dict) and taken:
                raise Refused(CONFLICT)
        del old.directory[old.ahead[0]]
        new.directory[new.ahead[0]] = node

    def _existing(self, path: str) -> Node:
        way = way_of(self.root, path)
        if way.refusal is not None:
            raise Refused(way.refusal)
        if len(way.ahead) > 1 or way.node is None:
            raise Refused(MISSING)
        return way.node

    def _writable(self, path: str) -> Way:
        way = way_of(self.root, path)
        self._refuse([way], [path])
        return way

    def _entries(self, *paths: str) -> list[Way]:
        if "" in paths:
            raise Refused(INVALID)
        ways = [way_of(self.root, path, follows_last=False) for path in paths]
        self._refuse(ways, paths)
        return ways

    def _refuse(self, ways: list[Way], paths: Sequence[str]) -> None:
        if any(way.is_in_git() for way in ways) or any(".git" in path.split("/") for path in paths):
            raise Refused(INVALID)
        for way in ways:
            if way.refusal is not None:
                raise Refused(way.refusal)

    def _make(self, way: Way, count: int) -> None:
        if not {"", ".", ".."}.isdisjoint(way.ahead):
            raise Refused(MISSING)
        for _ in range(count):
            made: Directory = {}
            name = way.ahead.pop(0)
            way.directory[name] = made
            way.entered.append((name, made))


def run_really(door: Door, step: Step) -> object:
    operation, path, other, flag = step
    parsed = parse_path(path)
    if operation == "list":
        return {entry.name: entry.kind for entry in list_directory(door, parsed, depth=1).children}
    if operation == "read":
        response = read_file(door, parsed, offset=None, length=None, stat_etags=_WRITER.stat_etags)
        return msgspec.json.decode(response.content, type=str).encode()
    if operation in {"write", "create"}:
        if_match = None if operation == "create" else UNSET
        temporary = temporary_name("user", "request")
        _WRITER.write(door, parsed, b"new", temporary=temporary, if_match=if_match, create_dirs=flag)
    elif operation == "create_dir":
        create_directory(door, parsed, umask=0o022)
    elif operation == "move":
        move(door, parsed, parse_path(other), overwrite=flag, locks=_WRITER.locks)
    else:
        delete(door, parsed, recursive=flag, locks=_WRITER.locks)
    return None


def build(directory: Path, tree: Directory) -> None:
    for name, node in tree.items():
        if isinstance(node, dict):
            (directory / name).mkdir()
            build(directory / name, node)
        elif isinstance(node, str):
            (directory / name).symlink_to(node)
        else:
            (directory / name).write_bytes(node)


def found(directory: Path) -> Directory:
    tree: Directory = {}
    for entry in directory.iterdir():
        if entry.is_symlink():
            tree[entry.name] = os.readlink(entry)
        else:
            tree[entry.name] = found(entry) if entry.is_dir() else entry.read_bytes()
    return tree


def copied(tree: Directory) -> Directory:
    return {name: copied(node) if isinstance(node, dict) else node for name, node in tree.items()}


@settings(max_examples=200)
@given(_roots, st.lists(_steps, min_size=1, max_size=12), st.sampled_from(_ADAPTERS))
def test_every_operation_does_what_the_model_says(tree: Directory, steps: list[Step], adapter: OpenBeneath) -> None:
    model = Model(copied(tree))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "project"
        root.mkdir()
        (root.parent / "outside").mkdir()
        build(root, tree)
        for step in steps:
            expected: object
            outcome: object
            try:
                expected = model.run(step)
            except Refused as exc:
                expected = exc.code
            try:
                with Door(root, adapter) as door:
                    outcome = run_really(door, step)
            except ProtocolError as exc:
                outcome = exc.code
            assert outcome == expected, step
            assert found(root) == model.root, step
        assert os.listdir(root.parent / "outside") == []
