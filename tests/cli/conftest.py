from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Bench, MachineProcess, bench_in


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_in(tmp_path) as bench:
        yield bench


@pytest.fixture
def machine(bench: Bench) -> MachineProcess:
    """One on which nothing runs yet."""
    return bench.machine()


@pytest.fixture(scope="module")
def module_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_in(tmp_path_factory.mktemp("cli")) as bench:
        yield bench


@pytest.fixture(scope="module")
def running(module_bench: Bench) -> MachineProcess:
    """One whose daemon runs while nobody is signed in; a module's tests share it."""
    machine = module_bench.machine()
    machine.start()
    return machine
