from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.processes import Bench, RelayProcess, bench_in


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_in(tmp_path) as bench:
        yield bench


@pytest.fixture
def relay(bench: Bench) -> RelayProcess:
    return bench.relay()


@pytest.fixture
async def proxy(relay: RelayProcess) -> AsyncIterator[FaultProxy]:
    """Between machines and the relay. Phones go to the relay itself."""
    async with fault_proxy(relay.port) as proxy:
        yield proxy
