"""Benches, on which nothing is left running afterwards: one for each test, or one that a module's tests share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay_stub.client import RelayClient
from tests.end_to_end.chat import AgentServed, Chat, chat_on
from tests.end_to_end.served import Phone, Served
from tests.support.messages_api import MessagesApi
from tests.support.processes import Bench, bench_in


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_in(tmp_path) as bench:
        yield bench


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with bench_in(tmp_path_factory.mktemp("served")) as bench:
        yield Served(bench)


@pytest.fixture
async def phone(served: Served) -> AsyncIterator[Phone]:
    async with RelayClient.sign_in(served.relay.url, "ada") as client:
        yield Phone(client, served.project_id)


@pytest.fixture(scope="module")
def agent_served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentServed]:
    with bench_in(tmp_path_factory.mktemp("agent")) as bench:
        yield AgentServed(bench)


@pytest.fixture
async def api(agent_served: AgentServed) -> AsyncIterator[MessagesApi]:
    """What the agents of ``agent_served`` ask."""
    async with MessagesApi.serve(agent_served.api_port) as api:
        yield api


@pytest.fixture
async def chat(agent_served: AgentServed, api: MessagesApi) -> AsyncIterator[Chat]:
    async with chat_on(agent_served) as chat:
        yield chat
