"""The daemon put together: the one place that chooses its real parts, starts them in order and stops them."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from msgspec import UNSET

from host.auth.session import Session
from host.auth.token_store import TokenStore
from host.control_plane.server import serve
from host.control_plane.statuses import AgentStatus, HostCapabilities, ProjectStatus, RelayStatus, Status, User
from host.core.clock import rfc3339
from host.core.home import HostPaths, prepare_home
from host.core.instance_lock import InstanceLock
from host.core.memory import keep_freed_memory
from host.core.requests import RouteTable
from host.core.settings import Settings
from host.core.tasks import TaskSet, run_together
from host.db.database import Database
from host.db.projects import Project
from host.db.request_log import RequestLog
from host.features import Features
from host.projects.identity import MachineLabel, machine_key
from host.projects.registry import ProjectRegistry
from host.protocol.errors import InvalidRequest
from host.protocol.messages.system import DaemonRegister, RegisteredProject
from host.relay.connection_state import State
from host.relay.link import Link
from host.relay.outbox import Outbox
from host.relay.publisher import Publisher
from host.relay.registration import MachineFacts, build_registration, find_capabilities, registered
from host.relay.router import RequestRouter

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
        settings: Settings,
        registry: ProjectRegistry,
        label: MachineLabel,
        store: TokenStore,
        log: RequestLog,
        outbox: Outbox,
        features: Features,
        machine_key: str,
        warnings: list[str],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._label = label
        self._store = store
        self._session = Session(store, settings.gateway_url)
        self._features = features
        self._start_warnings = warnings
        self._started_at = rfc3339(time.time())
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        self._background = TaskSet()
        self._parts: list[asyncio.Task[None]] = []
        table = RouteTable()
        features.register(table)
        self._facts = MachineFacts(machine_key, version("pocketcoder"), tuple(table))
        self._outbox = outbox
        self._router = RequestRouter(
            table, projects=registry, log=log, user_id=lambda: self._link.user_id, outbox=outbox
        )
        self._link = Link(self._session, outbox, self._registration, self._router.accept)
        registry.on_change(self._link.changed)
        features.claude.on_new_version(self._link.changed)
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
            settings=settings,
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
        for warning in self._start_warnings:
            logger.warning("%s", warning)
        self._parts = [asyncio.create_task(part) for part in (*self._features.run(), self._link.run())]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)
        logger.info("PocketCoder %s started (process %d)", self._facts.daemon_version, os.getpid())

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
        await self._router.finished()
        await self._features.wind_down()
        await self._outbox.flushed()

    async def _wait_for_force(self) -> None:
        await self._forced.wait()

    # What the control plane asks for

    async def status(self) -> Status:
        link = self._link.status
        user = self._user()
        claude = self._features.claude.seen()
        capabilities = find_capabilities(self._settings, self._warnings(), claude.version)
        return Status(
            version=self._facts.daemon_version,
            machine_key=self._facts.machine_key,
            machine_label=self._label.read(),
            pid=os.getpid(),
            started_at=self._started_at,
            logged_in=user is not None,
            user=user or UNSET,
            relay=RelayStatus(
                url=link.url,
                state=link.state.value,
                connected=link.state is State.CONNECTED,
                last_connected_at=link.last_connected_at,
                last_heartbeat_at=link.last_heartbeat_at,
                next_try_at=link.next_try_at or UNSET,
                last_error=link.last_error or UNSET,
            ),
            capabilities=HostCapabilities(
                has_git=capabilities.has_git,
                has_claude=capabilities.has_claude,
                claude_version=claude.version or UNSET,
                claude_store_found=capabilities.claude_store_found,
                warnings=list(capabilities.warnings),
            ),
            agents=[
                AgentStatus(
                    name="claude",
                    version=claude.version or UNSET,
                    signed_in=UNSET if claude.is_signed_in is None else claude.is_signed_in,
                    problem=claude.problem or UNSET,
                    running=self._features.agents.running_count,
                    waiting=self._features.agents.waiting_count,
                )
            ],
            projects=await self.projects(),
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
        return [self._status_of(project) for project in self._registry.all()]

    async def add_project(self, path: str, name: str | None, *, force: bool) -> ProjectStatus:
        if not os.path.isabs(path):
            raise InvalidRequest.of_field("path", "It must be absolute.")
        return self._status_of(await self._registry.add(Path(path), name, force=force))

    async def remove_project(self, project_id: str) -> None:
        await self._registry.remove(project_id)

    def _status_of(self, project: Project) -> ProjectStatus:
        watch = self._features.watching.status_of(project.project_id)
        return ProjectStatus.of(project, watcher_running=watch.is_running, last_fs_seq=watch.last_seq)

    def _registered(self, project: Project) -> RegisteredProject:
        watch = self._features.watching.status_of(project.project_id)
        return registered(project, watcher_running=watch.is_running, last_fs_seq=watch.last_seq)

    def _warnings(self) -> tuple[str, ...]:
        return (*self._start_warnings, *self._store.warnings, *self._features.warnings)

    def _user(self) -> User | None:
        signed_in = self._session.signed_in()
        return User(signed_in.user_id, signed_in.login) if signed_in else None

    def _signalled(self) -> None:
        # The second Ctrl-C means it.
        self.stop(force=self._stopping.is_set())

    async def _registration(self, token: str) -> DaemonRegister:
        return build_registration(
            self._facts,
            token=token,
            label=self._label.read(),
            capabilities=await asyncio.to_thread(
                find_capabilities, self._settings, self._warnings(), self._features.claude.seen().version
            ),
            projects=[self._registered(project) for project in self._registry.all()],
        )
