"""The daemon put together: the one place that chooses its real parts, starts them in order and stops them."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from host.auth.session import Session
from host.auth.token_store import TokenStore
from host.control_plane.server import serve
from host.control_plane.statuses import ProjectStatus, Status
from host.control_plane.words import work_in_words
from host.core.home import HostPaths, prepare_home
from host.core.instance_lock import InstanceLock
from host.core.memory import keep_freed_memory
from host.core.requests import RouteTable
from host.core.settings import Settings
from host.core.tasks import TaskSet, run_together
from host.db.database import Database
from host.db.request_log import RequestLog
from host.features import Features
from host.projects.identity import MachineLabel, machine_key
from host.projects.registry import ProjectRegistry
from host.protocol.errors import InvalidRequest
from host.relay.link import Link
from host.relay.outbox import Outbox
from host.relay.publisher import Publisher
from host.relay.registration import MachineFacts
from host.relay.router import RequestRouter
from host.report import Report

logger = logging.getLogger(__name__)

GRACE_S: Final = 30.0
LAST_WORDS_S: Final = 1.0


async def run_daemon(paths: HostPaths, settings: Settings, *, on_ready: Callable[[], None]) -> None:
    """Run until asked to stop. ``on_ready`` is called once the control plane answers.

    Raises what keeps a daemon from starting, each with a sentence for people: HomeError,
    AlreadyRunning, LockUnavailable, DatabaseError, ControlPortTaken.
    """
    keep_freed_memory()
    async with AsyncExitStack() as stack:
        warnings = prepare_home(paths)
        lock = InstanceLock.acquire(paths.pid_file)
        stack.callback(lock.release)
        database = await Database.open(paths.database)
        stack.push_async_callback(database.close)
        daemon = await Daemon.assemble(paths, settings, database, [*warnings, *database.warnings])
        await stack.enter_async_context(serve(daemon, paths.control_token, settings.control_port))
        stack.push_async_callback(daemon.close)
        daemon.begin()
        on_ready()
        await daemon.stopped()
        logger.info("Stopping")


class Daemon:
    """Everything that runs, and what the control plane may do with it."""

    def __init__(
        self,
        *,
        paths: HostPaths,
        settings: Settings,
        database: Database,
        registry: ProjectRegistry,
        label: MachineLabel,
        store: TokenStore,
        log: RequestLog,
        outbox: Outbox,
        features: Features,
        machine_key: str,
        warnings: list[str],
    ) -> None:
        self._registry = registry
        self._label = label
        self._features = features
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        self._background = TaskSet()
        self._parts: list[asyncio.Task[None]] = []
        table = RouteTable()
        features.register(table)
        session = Session(store, settings.gateway_url)
        facts = MachineFacts(machine_key, version("pocketcoder"), tuple(table))
        self._report = Report(
            paths, settings, database, registry, label, store, session, features, facts, start_warnings=tuple(warnings)
        )
        self._outbox = outbox
        self._router = RequestRouter(
            table, projects=registry, log=log, user_id=lambda: self._link.user_id, outbox=outbox
        )
        self._link = Link(session, outbox, self._report.registration, self._router.accept)
        registry.on_change(self._link.changed)
        features.claude.on_new_version(self._link.changed)
        features.on_search_path(self._link.changed)
        features.watching.on_change(self._link.changed)

    @classmethod
    async def assemble(cls, paths: HostPaths, settings: Settings, database: Database, warnings: list[str]) -> "Daemon":
        log = RequestLog(database)
        registry = await ProjectRegistry.load(database)
        outbox = Outbox()
        features = Features(settings, database, registry, log, Publisher(outbox))
        await features.settle()
        store = TokenStore(paths.auth_file)
        return cls(
            paths=paths,
            settings=settings,
            database=database,
            registry=registry,
            label=MachineLabel(paths.machine_label),
            store=store,
            log=log,
            outbox=outbox,
            features=features,
            machine_key=await machine_key(store, database),
            warnings=warnings,
        )

    def begin(self) -> None:
        """Start what runs beside the control plane."""
        for warning in self._report.start_warnings:
            logger.warning("%s", warning)
        # The first who asks for the status finds it looked at.
        self._report.autostart.seen()
        self._parts = [asyncio.create_task(part) for part in (*self._features.run(), self._link.run())]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        # A terminal that is closed hangs up more than once, by its shell and by the kernel, and means no haste.
        loop.add_signal_handler(signal.SIGHUP, partial(self.stop, force=False))
        logger.info("PocketCoder %s started (process %d)", self._report.facts.daemon_version, os.getpid())

    async def stopped(self) -> None:
        """Wait until somebody asks to stop. Raises what a part raised that must run until then."""
        stopping = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait([stopping, *self._parts], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for part in done & set(self._parts):
            part.result()

    async def close(self) -> None:
        """Let what runs end and its answers go out, at most 30 s, or not at all when forced; then drop the link."""
        self._router.refuse_new()
        if work := self._work():
            logger.info("Waiting up to %.0f s for %s; Ctrl-C or pocketcoder stop --force ends that now", GRACE_S, work)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await run_together(self._finish(), self._wait_for_force())
        await self._router.cancel()
        await self._features.interrupt()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._outbox.flushed()
        for part in self._parts:
            part.cancel()
        await asyncio.gather(*self._parts, return_exceptions=True)
        await self._background.cancel()
        await self._features.close()
        await self._registry.close()

    async def _finish(self) -> None:
        # Beside each other, so that no turn is begun while a command is waited for.
        await asyncio.gather(self._router.finished(), self._features.wind_down())
        await self._outbox.flushed()

    def _work(self) -> str:
        """What a stop waits for, in words."""
        commands, turns = self._features.commands.running_count, self._features.agents.running_count
        return work_in_words(commands=commands, turns=turns, requests=self._router.active)

    async def _wait_for_force(self) -> None:
        await self._forced.wait()

    # What the control plane asks for

    async def status(self) -> Status:
        return self._report.status(
            self._link.status,
            requests=self._router.active,
            outbox_bytes=self._outbox.queued_bytes,
            is_stopping=self._stopping.is_set(),
        )

    def stop(self, *, force: bool) -> None:
        if force:
            self._forced.set()
        self._stopping.set()

    def machine_label(self) -> str:
        return self._label.read()

    async def set_machine_label(self, label: str) -> str:
        stored = await asyncio.to_thread(self._label.write, label)
        self._link.changed()
        return stored

    def re_register(self) -> None:
        self._background.spawn(self._registry.reload())
        self._link.try_now()

    async def projects(self) -> list[ProjectStatus]:
        return self._report.projects()

    async def add_project(self, path: str, name: str | None, *, force: bool) -> ProjectStatus:
        if not os.path.isabs(path):
            raise InvalidRequest.of_field("path", "It must be absolute.")
        return self._report.project(await self._registry.add(Path(path), name, force=force))

    async def remove_project(self, project_id: str) -> None:
        await self._registry.remove(project_id)

    def _signalled(self) -> None:
        # The second Ctrl-C means it.
        self.stop(force=self._stopping.is_set())
