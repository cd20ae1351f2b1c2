"""The tree as data: its order, its slots, and what the actors make of their neighbours' news."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors.app import InForce, Parts, tree
from actors.config.messages import Config, GetSettings, Reload
from actors.migrator.messages import Migrator, Operate
from actors.provisioner.actor import release
from actors.provisioner.messages import ReleaseChanged
from actors.root import Identity, Root
from bibd.admin.methods import MigrateParams
from bibd.admin.server import AdminServer, Call, Peer
from bibd.config.load import Loaded, load
from bibd.config.model import Settings
from bibd.errors import BibdError, ConfigError
from bibd.migrations.plan import MigrationState
from bibd.migrations.user import UserMigrations
from bibd.process.notify import Notifier
from bibd.storage import Check, Link, Probed, Release, Serving
from bibd.supervision import Actor, ActorSystem, Answer, ChildSpec, Graph, State, events
from bibd.supervision.reasons import root_error
from bibd.supervision.testkit import EventLog, Journal, ManualClock, settle


@dataclass
class SlowStorage:
    """A database whose start takes until ``may_start``, and whose health is what the test says. Too slow to be real."""

    may_start: threading.Event = field(default_factory=threading.Event)
    ok: bool = True
    ensured: int = 0
    mends: bool = True
    failure: BibdError | None = None
    migrations_defect: Exception | None = None
    defect: Exception | None = None
    release_defect: Exception | None = None
    released: list[Release] = field(default_factory=list[Release])

    def ensure(self, cancel: threading.Event, progress: Callable[[str], None]) -> Serving:
        del progress
        while not self.may_start.wait(0.005):
            if cancel.is_set():
                raise BibdError("cancelled")
        if self.failure is not None:
            raise self.failure
        if self.defect is not None:
            raise self.defect
        self.ensured += 1
        if self.ensured > 1 and self.mends:
            self.ok = True
        return Serving("PostgreSQL 18", "postgresql://bibd@127.0.0.1/bibd", "embedded")

    def probe(self, timeout: float) -> Probed:
        del timeout
        return Probed(datetime.now(UTC), (Check("query", ok=self.ok, detail="" if self.ok else "dead", seconds=0.0),))

    def migrate(self, cancel: threading.Event) -> MigrationState:
        del cancel
        return MigrationState("clean", 1, 0)

    def user_migrations(self) -> AbstractContextManager[UserMigrations]:
        raise self.migrations_defect or ConfigError("no migrations are configured")

    def link(self) -> Link:
        return Link("postgresql://", "bibd", "")

    def release(self, how: Release) -> str:
        if self.release_defect is not None:
            raise self.release_defect
        self.released.append(how)
        return "released"


class Idle(Actor[object]):
    def receive(self, msg: object) -> Answer:
        raise AssertionError(f"nobody sends here: {msg}")


@dataclass
class Node:
    system: ActorSystem
    root: Root
    storage: SlowStorage
    events: EventLog
    clock: ManualClock
    sources: list[Loaded | BibdError]


NodeMaker = Callable[..., Node]


@pytest.fixture
def make_node(tmp_path: Path, request: pytest.FixtureRequest) -> NodeMaker:
    """A whole tree on a manual clock and a fake database, with a real admin socket."""

    def make(
        storage: SlowStorage, settings: dict[str, object] | None = None, slots: tuple[ChildSpec, ...] = ()
    ) -> Node:
        loaded = load(None, {}, settings or {})
        sources: list[Loaded | BibdError] = [loaded]

        def read() -> Loaded:
            if isinstance(sources[-1], BibdError):
                raise sources[-1]
            return sources[-1]

        clock = ManualClock()
        root = Root(Identity(None, "full", "postgres", 1), clock.now, Notifier({}), lambda: None)
        parts = Parts(
            load=read,
            in_force=InForce(loaded.settings, lambda _: None),
            storage=storage,
            serve=lambda handle: AdminServer(tmp_path / "s", handle, allowed_uids=frozenset({0}), audit=lambda _: None),
            methods={},
            root=root,
            forced=threading.Event(),
        )
        specs = tree(parts, slots)
        system = ActorSystem(specs, clock=clock)
        log = EventLog()
        system.subscribe(log.add)
        root.watch(system, frozenset(f"root/{spec.id}" for spec in specs))
        request.addfinalizer(system.stop)
        system.start()
        return Node(system, root, storage, log, clock, sources)

    return make


def started(storage: SlowStorage) -> SlowStorage:
    storage.may_start.set()
    return storage


def test_start_order_follows_the_graph_and_admin_is_up_first_and_down_last(make_node: NodeMaker) -> None:
    node = make_node(started(SlowStorage()))
    node.system.wait_ready(5)
    assert node.events.order(events.ChildUp) == ["config", "admin", "provisioner", "health", "migrator"]
    report = node.system.stop()
    assert not report.abandoned
    assert node.events.order(events.ChildDown) == ["migrator", "health", "provisioner", "admin", "config"]


def test_p2p_and_cluster_slots_do_not_wait_for_postgresql(make_node: NodeMaker) -> None:
    slots = tuple(ChildSpec(name, lambda _: Idle(), after=("admin",)) for name in ("p2p", "cluster"))
    node = make_node(SlowStorage(), slots=slots)
    for name in ("p2p", "cluster"):
        node.events.expect(events.ChildUp, lambda event, name=name: event.path == f"root/{name}")  # type: ignore[misc]
    states = {child.id: child.state for child in node.root.status().children}
    assert states["provisioner"] == "starting"
    assert states["p2p"] == states["cluster"] == "up"
    assert node.root.status().state == "starting"
    node.storage.may_start.set()
    node.system.wait_ready(5)
    assert node.root.status().state == "ready"


def test_ready_is_the_whole_chain_and_status_says_when(make_node: NodeMaker) -> None:
    node = make_node(started(SlowStorage()))
    node.system.wait_ready(5)
    status = node.root.status()
    assert (status.state, status.database.state, status.migrations.version) == ("ready", "up", 1)
    assert status.ready_at is not None
    assert all(child.ready_at is not None for child in status.children)


def test_stop_while_the_database_still_starts_is_not_lost(make_node: NodeMaker) -> None:
    node = make_node(SlowStorage())
    node.events.expect(events.ChildStarting, lambda event: event.path == "root/provisioner")
    report = node.system.stop()
    assert report.abandoned == ()
    assert [child.state for child in report.tree.children] == [State.STOPPED] * 5


def test_failed_first_start_is_the_nodes_failure_with_its_own_error(make_node: NodeMaker) -> None:
    failure = ConfigError("port 5432 is already in use", hint="set another")
    node = make_node(started(SlowStorage(failure=failure)))
    reason = node.system.wait(5)
    assert root_error(reason) is failure
    assert node.events.order(events.ChildDown) == ["provisioner", "admin", "config"]


def lose(node: Node) -> None:
    """The database goes away; the next regular probe finds out."""
    node.storage.ok = False
    settle(node.system)
    node.clock.advance(5)
    settle(node.system)


def test_lost_database_degrades_the_node_and_is_restored_at_once(make_node: NodeMaker) -> None:
    node = make_node(started(SlowStorage()))
    node.system.wait_ready(5)
    lose(node)
    assert node.root.status().state == "degraded"
    node.clock.advance(0)
    settle(node.system)
    assert node.storage.ensured == 2
    assert node.root.status().state == "ready"


def test_attempts_beyond_the_limit_are_not_made_and_a_hand_made_repair_is_noticed(make_node: NodeMaker) -> None:
    node = make_node(started(SlowStorage(mends=False)), {"database.postgres.health.max_retries": 2})
    node.system.wait_ready(5)
    lose(node)
    for _ in range(10):
        node.clock.advance(10)
        settle(node.system)
    assert node.storage.ensured == 3  # the start, and two attempts
    assert node.root.status().state == "degraded"
    node.storage.ok = True
    node.clock.advance(5)
    settle(node.system)
    assert node.root.status().state == "ready"


def test_database_that_came_back_by_itself_is_noticed_after_a_failed_attempt(make_node: NodeMaker) -> None:
    storage = started(SlowStorage(mends=False))
    node = make_node(storage)
    node.system.wait_ready(5)
    storage.failure = BibdError("cannot look")
    lose(node)
    storage.ok = True
    node.clock.advance(0)  # the first attempt, which fails
    settle(node.system)
    assert node.root.status().state == "ready"


def test_provisioner_that_falls_over_an_attempt_does_not_blind_the_health_checker(make_node: NodeMaker) -> None:
    storage = started(SlowStorage())
    node = make_node(storage)
    node.system.wait_ready(5)
    storage.defect = RuntimeError("a defect of ours")
    lose(node)
    node.clock.advance(0)
    node.events.expect(events.ChildDown, lambda event: event.path == "root/provisioner")
    storage.defect = None
    settle(node.system)
    for _ in range(10):  # the supervisor's backoff, then the probe
        node.clock.advance(5)
        settle(node.system)
    assert node.root.status().state == "ready"


def test_action_shutdown_asks_for_the_end_and_counts_as_a_failure(make_node: NodeMaker) -> None:
    node = make_node(started(SlowStorage()), {"database.postgres.health.action": "shutdown"})
    node.system.wait_ready(5)
    lose(node)
    assert node.root.failure is not None
    assert node.root.shutdown_wish is not None
    assert node.storage.ensured == 1


def test_bad_configuration_is_an_answer_and_changes_nothing(make_node: NodeMaker) -> None:
    node = make_node(started(SlowStorage()))
    node.system.wait_ready(5)
    config = node.system.ref("config", Config)
    before = config.ask(GetSettings(), timeout=2)
    node.sources.append(ConfigError("nonsense"))
    assert isinstance(config.ask(Reload(), timeout=2), ConfigError)
    assert config.ask(GetSettings(), timeout=2) == before
    assert node.system.status().find("config").restarts == 0


def test_reload_takes_over_what_is_live_and_names_the_rest(make_node: NodeMaker) -> None:
    node = make_node(started(SlowStorage()))
    node.system.wait_ready(5)
    new = load(None, {}, {"database.postgres.stop_on_shutdown": True, "database.postgres.max_connections": 50})
    node.sources.append(new)
    config = node.system.ref("config", Config)
    report = config.ask(Reload(), timeout=2)
    assert not isinstance(report, BibdError)
    assert report.changed == ("database.postgres.stop_on_shutdown",)
    assert report.restart_required == ("database.postgres.max_connections",)
    in_force = config.ask(GetSettings(), timeout=2)
    assert in_force.database.postgres.stop_on_shutdown
    assert in_force.database.postgres.max_connections == Settings().database.postgres.max_connections
    settle(node.system)
    node.system.stop()
    assert [how.stop for how in node.storage.released] == [True]


def test_default_shutdown_timeout_lets_a_probe_end_and_leaves_the_server_the_larger_part() -> None:
    """Of a hung server: the probe takes its whole timeout, and a child that overruns its share fails the stop."""
    loaded = load(None, {}, {})
    root = Root(Identity(None, "full", "postgres", 1), lambda: datetime.now(UTC), Notifier({}), lambda: None)
    parts = Parts(
        lambda: loaded, InForce(loaded.settings, lambda _: None), SlowStorage(), _no_server, {}, root, threading.Event()
    )
    graph, whole = Graph(tree(parts)), loaded.settings.server.shutdown_timeout
    part = {name: spec.stop_timeout / graph.stop_chain[name] for name, spec in graph.specs.items()}
    probe = loaded.settings.database.postgres.health.timeout + 0.3
    for name in ("migrator", "health"):
        assert part[name] * whole > probe
    assert part["provisioner"] * (whole - probe) > whole / 2


@pytest.mark.parametrize("seconds", [0.3, 3.0, 18.0, 300.0])
def test_server_that_does_not_stop_politely_is_ended_within_what_is_left(seconds: float) -> None:
    how = release(ReleaseChanged(stop_on_shutdown=True, checkpoint_on_shutdown=True), forced=False, seconds=seconds)
    assert how.timeout < seconds
    # After SIGQUIT the postmaster takes 5 s to kill backends that do not listen.
    assert seconds - how.timeout > 5 or how.timeout <= seconds * 0.67


@pytest.mark.parametrize("error", [RuntimeError("cannot let go"), BibdError("cannot let go")])
def test_child_that_falls_while_it_lets_go_makes_the_end_a_failure(make_node: NodeMaker, error: Exception) -> None:
    storage = started(SlowStorage(release_defect=error))
    node = make_node(storage)
    node.system.wait_ready(5)
    node.root.drain()
    node.system.stop()
    assert "cannot let go" in (node.root.failure or "")


def test_escalation_asks_for_the_end_so_that_it_gets_its_deadline(make_node: NodeMaker) -> None:
    node = make_node(started(SlowStorage(failure=ConfigError("no"))))
    node.system.wait(5)
    assert node.root.shutdown_wish is not None


def _no_server(_handle: object) -> AdminServer:
    raise AssertionError("not started in this test")


class Answers:
    """A client of the admin socket that waits."""

    def __init__(self) -> None:
        self.journal = Journal()

    def result(self, value: object) -> None:
        self.journal.add(value)

    def error(self, error: BibdError) -> None:
        self.journal.add(error)

    def progress(self, value: Mapping[str, object]) -> None:
        pass


def test_fall_of_the_migrator_answers_its_client_and_leaves_no_operation(make_node: NodeMaker) -> None:
    storage = started(SlowStorage())
    node = make_node(storage)
    node.system.wait_ready(5)
    storage.migrations_defect = ZeroDivisionError("a defect of ours")
    call = Call("migrate.run", MigrateParams(), Peer(1, 0, 0))
    answers = Answers()
    assert node.system.ref("migrator", Migrator).ask(Operate(call, answers), timeout=2) is None
    assert "interrupted" in answers.journal.expect(BibdError).message
    assert node.root.operations() == ()


def test_hung_child_keeps_the_watchdog_silent(make_node: NodeMaker) -> None:
    """``unresponsive`` is what decides about WATCHDOG=1."""
    release = threading.Event()

    class Hung(Idle):
        def on_start(self) -> None:
            release.wait(10)

    node = make_node(started(SlowStorage()), slots=(ChildSpec("p2p", lambda _: Hung(), after=("admin",)),))
    node.events.expect(events.ChildUp, lambda event: event.path == "root/migrator")
    assert node.system.unresponsive(0.5) == ("root/p2p",)
    release.set()
    node.system.wait_ready(5)
    assert node.system.unresponsive(5) == ()
