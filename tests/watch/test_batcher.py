"""What of a burst is told, and when."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.protocol.messages.watching import FsChange
from host.watch.batcher import Batch, Batcher
from host.watch.port import Change, ChangeKind

FILE: Final = False
DIRECTORY: Final = True


def create(path: str, is_dir: bool = FILE) -> Change:
    return Change("create", path, is_dir)


def modify(path: str) -> Change:
    return Change("modify", path, FILE)


def delete(path: str, is_dir: bool = FILE) -> Change:
    return Change("delete", path, is_dir)


def batch_of(*changes: Change) -> Batch | None:
    batcher = Batcher()
    for change in changes:
        batcher.add(0.0, change)
    return batcher.take()


def net_of(*changes: Change) -> list[tuple[str, str]]:
    batch = batch_of(*changes)
    assert batch is None or not batch.truncated
    return [(change.kind, change.path) for change in batch.changes] if batch else []


def test_a_burst_is_due_when_nothing_changed_for_250_ms() -> None:
    batcher = Batcher()
    assert batcher.due_s is None
    for now_s in (10.0, 10.2, 10.4):
        batcher.add(now_s, modify("a"))
    assert batcher.due_s == 10.65


def test_a_burst_that_does_not_end_is_due_two_seconds_after_its_first_change() -> None:
    batcher = Batcher()
    for step in range(100):
        batcher.add(10.0 + step / 10, modify("a"))
    assert batcher.due_s == 12.0


def test_a_taken_batch_is_followed_by_a_new_one() -> None:
    batcher = Batcher()
    batcher.add(10.0, modify("a"))
    assert batcher.take() is not None
    assert batcher.due_s is None
    assert batcher.take() is None
    batcher.add(20.0, modify("b"))
    assert batcher.due_s == 20.25


@pytest.mark.parametrize(
    ("kinds", "net"),
    [
        (["create", "modify", "modify"], "create"),
        (["create", "delete"], None),
        (["create", "delete", "create"], "create"),
        (["modify", "modify"], "modify"),
        (["modify", "delete"], "delete"),
        (["delete", "create"], "modify"),
        (["delete", "create", "modify", "delete"], "delete"),
    ],
)
def test_a_file_comes_once_with_its_net_change(kinds: list[ChangeKind], net: str | None) -> None:
    assert net_of(*(Change(kind, "src/a.py", FILE) for kind in kinds)) == ([(net, "src/a.py")] if net else [])


def test_a_deleted_directory_is_one_change() -> None:
    raw = [delete("a/b/c"), modify("a/d"), delete("a/b", DIRECTORY), delete("a", DIRECTORY)]
    assert net_of(*raw) == [("delete", "a")]


def test_a_directory_that_was_new_and_is_gone_leaves_nothing() -> None:
    raw = [create("a", DIRECTORY), create("a/b"), delete("a", DIRECTORY)]
    assert net_of(*raw) == []


def test_a_new_directory_comes_with_its_contents() -> None:
    raw = [create("a", DIRECTORY), create("a/b"), modify("a/b")]
    assert net_of(*raw) == [("create", "a"), ("create", "a/b")]


def test_a_directory_that_was_made_anew_replaces_the_old_one_and_is_never_a_modification() -> None:
    raw = [
        modify("a/old"),
        delete("a", DIRECTORY),
        create("a", DIRECTORY),
        create("a/new"),
    ]
    assert net_of(*raw) == [("create", "a"), ("create", "a/new")]


@pytest.mark.parametrize("before", [FILE, DIRECTORY])
def test_a_path_that_is_of_another_kind_now_is_a_creation(before: bool) -> None:
    assert net_of(delete("a", before), create("a", not before)) == [("create", "a")]


def test_changes_come_in_the_order_of_their_paths_bytes() -> None:
    names = ["b", "a", "a/b", "a-b", "ä", "Z", "\N{GRINNING FACE}", "\uffee", "a/B/c"]
    told = [path for _, path in net_of(*(modify(name) for name in names))]
    assert told == sorted(names, key=str.encode)


@pytest.mark.parametrize(("count", "truncated"), [(500, False), (501, True), (20_000, True)])
def test_only_the_first_500_are_told_and_that_there_are_more(count: int, truncated: bool) -> None:
    batch = batch_of(*(create(f"{number:05}") for number in range(count)))
    assert batch is not None
    assert [change.path for change in batch.changes] == [f"{number:05}" for number in range(500)]
    assert batch.truncated is truncated


def test_a_large_burst_that_shrinks_to_little_is_told_whole() -> None:
    raw = [change(f"build/{number}") for number in range(5_000) for change in (create, delete)]
    assert net_of(*raw, modify("a")) == [("modify", "a")]


def test_only_so_many_paths_are_known_and_past_them_the_batch_is_truncated() -> None:
    batcher = Batcher(max_known_paths=3)
    for path in ("a/b/c", "a/b/d"):
        batcher.add(0.0, create(path))
    batch = batcher.take()
    assert batch is not None
    assert [change.path for change in batch.changes] == ["a/b/c"]
    assert batch.truncated
    # The next one is whole again.
    batcher.add(0.0, create("a/b/d"))
    assert batcher.take() == Batch([FsChange("create", "a/b/d")], truncated=False)


def test_lost_changes_leave_an_empty_truncated_batch() -> None:
    batcher = Batcher()
    batcher.add(0.0, create("a"))
    batcher.lose(0.1)
    batcher.add(0.2, create("b"))
    assert batcher.due_s == pytest.approx(0.45)
    assert batcher.take() == Batch([], truncated=True)
    assert batcher.take() is None


# Names of which one begins like another, and one that sorts before "/".
names: Final = st.sampled_from(("a", "b", "a-", "ä"))
paths: Final = st.lists(names, min_size=1, max_size=3).map("/".join)


class Tree:
    """What a client knows: paths, each with whether it is a directory; applies changes as it is told to."""

    def __init__(self, known: dict[str, bool]) -> None:
        self.known = dict(known)

    def remove(self, path: str) -> None:
        self.known = {known: is_dir for known, is_dir in self.known.items() if not f"{known}/".startswith(f"{path}/")}

    def apply(self, change: FsChange, *, is_dir: bool) -> None:
        """``is_dir``: what stands at the path now, as a client learns it by listing."""
        if change.kind == "modify":
            assert self.known[change.path] is FILE
            return
        if change.kind == "delete":
            assert change.path in self.known
        self.remove(change.path)
        if change.kind == "create":
            self.known[change.path] = is_dir


class Disk(Tree):
    """The tree itself; tells each change as the watch does."""

    def __init__(self) -> None:
        super().__init__({})
        self.told: list[Change] = []

    def put(self, path: str, is_dir: bool) -> None:
        """Make a file or directory, and what is missing above; another kind that is in its place goes first."""
        components = path.split("/")
        for depth in range(1, len(components)):
            self._put("/".join(components[:depth]), DIRECTORY)
        self._put(path, is_dir)

    def take_away(self, path: str) -> None:
        if path in self.known:
            below = [known for known in self.known if known.startswith(f"{path}/")]
            for gone in (*sorted(below, reverse=True), path):
                self.told.append(delete(gone, self.known[gone]))
            self.remove(path)

    def _put(self, path: str, is_dir: bool) -> None:
        if self.known.get(path, is_dir) is not is_dir:
            self.take_away(path)
        if path not in self.known:
            self.told.append(create(path, is_dir))
        elif not is_dir:
            self.told.append(modify(path))
        self.known[path] = is_dir


steps: Final = st.lists(st.tuples(st.sampled_from(("file", "directory", "gone", "batch")), paths), max_size=40)


@given(steps)
def test_a_client_that_applies_the_batches_has_the_tree(taken: list[tuple[str, str]]) -> None:
    disk, batcher, client = Disk(), Batcher(), Tree({})
    for step, path in [*taken, ("batch", "")]:
        if step == "batch":
            for change in disk.told:
                batcher.add(0.0, change)
            disk.told.clear()
            apply_batch(client, batcher.take(), disk)
            assert client.known == disk.known
        elif step == "gone":
            disk.take_away(path)
        else:
            disk.put(path, is_dir=step == "directory")


def apply_batch(client: Tree, batch: Batch | None, disk: Disk) -> None:
    if batch is None:
        return
    assert not batch.truncated
    told = [change.path for change in batch.changes]
    assert told == sorted(set(told), key=str.encode)
    for change in batch.changes:
        client.apply(change, is_dir=disk.known.get(change.path, FILE))
