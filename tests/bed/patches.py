# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must be different in Nova and its libraries so that a whole cloud fits into one process.

Each function changes one thing and says why. They are applied once, before Nova is imported further
than :mod:`nova.conf`, and none of them touches how Nova decides anything.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import functools
import threading
import time
import typing as t
import weakref

from bed import life

# Requests of Nova itself must not be counted as requests of a user of the cloud.
INTERNAL_AGENT = "bed-internal"

_database_locks: dict[str, threading.RLock] = collections.defaultdict(threading.RLock)
_uncapped = threading.local()


class Clock:
    """How far Nova's wall clock is ahead of the real one."""

    offset = 0.0


class Haste:
    """Whether a scene is being set, so that what Nova would do for nothing may be left out."""

    on = False


def apply(max_microversion: str | None) -> None:
    _lock_sqlite_writers()
    _pool_sqlite_connections()
    _wake_listeners_by_message()
    _name_resource_lock_by_host()
    _carry_life_along()
    _let_the_dead_fall_silent()
    _make_clock_movable()
    _mark_own_requests()
    allow_haste(lambda: Haste.on)
    if max_microversion:
        _cap_microversion(max_microversion)


def database_lock(url: str) -> threading.RLock:
    """The one writer's lock of an SQLite database."""
    return _database_locks[url]


@contextlib.contextmanager
def uncapped() -> t.Iterator[None]:
    """Requests of the bed itself may use any microversion."""
    _uncapped.on = True
    try:
        yield
    finally:
        _uncapped.on = False


def _lock_sqlite_writers() -> None:
    """One writer at a time per SQLite file, as nova.tests.fixtures.DatabaseWriteLock does; a dead one never."""
    from oslo_db.sqlalchemy import enginefacade

    manager = enginefacade._TransactionContextManager
    original = manager._transaction_scope

    @contextlib.contextmanager
    def scope(self: t.Any, context: t.Any) -> t.Iterator[t.Any]:
        if self._mode is not enginefacade._WRITER:
            with original(self, context) as resource:
                yield resource
            return
        with database_lock(str(self.reader.get_engine().url)):
            life.check()
            with original(self, context) as resource:
                yield resource

    manager._transaction_scope = scope


def _pool_sqlite_connections() -> None:
    """oslo.db opens a connection per transaction for SQLite, which is a third of all the work here."""
    import sqlalchemy
    from oslo_db.sqlalchemy import engines

    original = engines._create_engine

    def with_pool(url: t.Any, **arguments: t.Any) -> t.Any:
        arguments.update(poolclass=sqlalchemy.pool.QueuePool, pool_size=30, max_overflow=-1)
        engine, target = original(url, **arguments)

        @sqlalchemy.event.listens_for(target, "checkin")
        def forget_transaction(_connection: t.Any, record: t.Any) -> None:
            # oslo.db marks a begun transaction there, and counts on the connection being closed after it
            record.info.pop("in_transaction", None)

        return engine, target

    # thread_checkin yields to other threads after each transaction, here with the writer's lock in hand
    engines.create_engine = functools.partial(engines.create_engine, _engine_target=with_pool, thread_checkin=False)


def allow_haste(on: t.Callable[[], bool]) -> None:
    """For each claim Nova reads the allocations of every guest of the host, one by one, and uses them only
    when a driver changes its providers. Three hundred guests on one host are then 45,000 requests.
    """
    from nova.scheduler.client import report

    client = report.SchedulerReportClient
    original = client.get_allocations_for_provider_tree

    def get_allocations(self: t.Any, context: t.Any, nodename: str) -> t.Any:
        return {} if on() else original(self, context, nodename)

    client.get_allocations_for_provider_tree = get_allocations


def _wake_listeners_by_message() -> None:
    """fake:// looks for messages every 50 ms per listener: slow, and a fifth of a core with 8 services."""
    from oslo_messaging._drivers import base, impl_fake

    listeners: weakref.WeakSet[t.Any] = weakref.WeakSet()
    listener = impl_fake.FakeListener
    initialize, deliver, stop = listener.__init__, impl_fake.FakeExchange.deliver_message, listener.stop

    def __init__(self: t.Any, exchanges: t.Any, targets: t.Any, pool: t.Any = None) -> None:
        initialize(self, exchanges, targets, pool)
        self.wake, self.life = threading.Event(), life.current()
        listeners.add(self)

    def deliver_message(self: t.Any, topic: str, *args: t.Any, server: t.Any = None, **kwargs: t.Any) -> None:
        deliver(self, topic, *args, server=server, **kwargs)
        for one in list(listeners):
            if one._targets[0].topic == topic and server in (None, one._targets[0].server):
                one.wake.set()

    @base.batch_poll_helper
    def poll(self: t.Any, timeout: float | None = None) -> t.Any:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._stopped.is_set() and (self.life is None or self.life.alive):
            self.wake.clear()
            message = _next_message(self, impl_fake)
            if message is not None:
                return message
            pause = 5.0 if deadline is None else min(5.0, deadline - time.monotonic())
            if pause <= 0:
                return None
            self.wake.wait(pause)
        return None

    def stop_listening(self: t.Any) -> None:
        stop(self)
        self.wake.set()

    listener.__init__, listener.poll, listener.stop = __init__, poll, stop_listening
    impl_fake.FakeExchange.deliver_message = deliver_message


def _next_message(listener: t.Any, impl_fake: t.Any) -> t.Any:
    for target in listener._targets:
        exchange = listener._exchange_manager.get_exchange(target.exchange)
        context, message, reply, requeue = exchange.poll(target, listener._pool)
        if message is not None:
            return impl_fake.FakeIncomingMessage(context, message, reply, requeue)
    return None


def forget_messages(host: str | None = None) -> None:
    """Empty every queue, or those of one host."""
    from oslo_messaging._drivers import impl_fake

    for exchange in list(impl_fake.FakeExchangeManager._exchanges.values()):
        with exchange._queues_lock:
            for (_topic, owner), queue in [*exchange._topic_queues.items(), *exchange._server_queues.items()]:
                if host in (None, owner):
                    queue.clear()


def _name_resource_lock_by_host() -> None:
    """ResourceTracker's lock has one name per process: the computes would claim one after the other."""
    from nova import utils

    real = utils.synchronized

    def synchronized(name: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
        if name != "compute_resources":
            return real(name, *args, **kwargs)

        def decorate(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
            @functools.wraps(function)
            def inner(self: t.Any, *more: t.Any, **named: t.Any) -> t.Any:
                return real(f"{name}-{self.host}", *args, **kwargs)(function)(self, *more, **named)

            return inner

        return decorate

    utils.synchronized = synchronized
    import nova.compute.resource_tracker  # noqa: F401  (decorated while the patch is in)

    utils.synchronized = real


def _carry_life_along() -> None:
    """Work that a service hands to its thread pool or gets by a message belongs to that service's life."""
    import nova.rpc
    import nova.virt.node
    from nova import thread_pool_factory

    spawn_on, get_server = thread_pool_factory.spawn_on, nova.rpc.get_server

    def spawn_inherited(kind: t.Any, function: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
        return spawn_on(kind, life.inherited(function), *args, **kwargs)

    def get_living_server(*args: t.Any, **kwargs: t.Any) -> t.Any:
        server, mine = get_server(*args, **kwargs), life.current()
        if mine is not None:
            server.dispatcher.dispatch = mine.bind(server.dispatcher.dispatch)
        return server

    thread_pool_factory.spawn_on = spawn_inherited
    nova.rpc.get_server = get_living_server
    # every compute of the process would read the same compute_id file; the driver has its own stable uuids
    nova.virt.node.read_local_node_uuid = lambda: "00000000-0000-4000-8000-00000000000f"


def _let_the_dead_fall_silent() -> None:
    """No heartbeat of a dead host; and the first one at once, not after 5 s, which is more than a host's death."""
    from nova.servicegroup import api
    from nova.servicegroup.drivers import db

    report = db.DbDriver._report_state

    def report_while_alive(self: t.Any, service: t.Any) -> None:
        mine = getattr(service, "bed_life", None)
        with mine.lived() if mine else contextlib.nullcontext():
            report(self, service)

    def quietly(self: t.Any, service: t.Any) -> None:
        with contextlib.suppress(life.ProcessIsDead):
            report_while_alive(self, service)

    db.DbDriver._report_state = quietly
    api.INITIAL_REPORTING_DELAY = 0.01


def _make_clock_movable() -> None:
    """Nova's idea of the wall clock, for tests of a clock that jumps; everything else keeps the real one."""
    from oslo_utils import timeutils

    real = timeutils.utcnow

    def utcnow(with_timezone: bool = False) -> datetime.datetime:
        return real(with_timezone) + datetime.timedelta(seconds=Clock.offset)

    utcnow.override_time = None  # type: ignore[attr-defined]  # real() looks for it under this name
    timeutils.utcnow = utcnow


def _mark_own_requests() -> None:
    from keystoneauth1 import session

    session.DEFAULT_USER_AGENT = f"{INTERNAL_AGENT} {session.DEFAULT_USER_AGENT}"


def _cap_microversion(limit: str) -> None:
    """Nova answers as a release that knows nothing newer: in its version document, and 406 to a higher header."""
    from nova.api.openstack import api_version_request

    newest = api_version_request.max_api_version()
    capped = api_version_request.APIVersionRequest(limit)
    api_version_request._MAX_API_VERSION = limit
    api_version_request.max_api_version = lambda: newest if getattr(_uncapped, "on", False) else capped
