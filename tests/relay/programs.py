"""``pocketcoder-relay`` as a process of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.processes import environment
from tests.support.relay import BOUND_S

PROGRAM: Final = (sys.executable, "-c", "from relay_stub.cli import main; main()")


@asynccontextmanager
async def program(
    home: Path, *arguments: str, stdout: int = asyncio.subprocess.PIPE, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program as a process of its own, ended with the block."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        env=environment(home, **variables),
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await asyncio.wait_for(stream.readline(), BOUND_S)).decode().rstrip("\n")
