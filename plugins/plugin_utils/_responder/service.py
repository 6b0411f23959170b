# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The responder as one process: puts its parts together, starts and ends them. PRIVATE: may change at any time.

The event loop serves HTTP and listens to heartbeats; one thread decides, one reads the configuration, one writes
signals to the journal, and each run has one of its own. On SIGTERM nothing new is taken or begun, and runs are given
some time; those that have not ended are cancelled and left open, for another responder or for the next process.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import threading
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _cloud, _configuration
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.options import DEFAULT_URL
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.notify import Notifier as Systemd
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import config as configs
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import loop as loops
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import site as sites
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.config import Config
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import Credentials, read_keys
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.ears import Ears
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.health import Health
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.hearing import Hearing
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake import serve
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.app import create_app
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Deps, Limits
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.writer import Writer
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.metrics import Metrics
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify import Channel, Notifier
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify_bus import Bus
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify_mail import Mail
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify_webhook import Webhook
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.owners import Owners
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.runs import Runs
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.sources import Sources

Json = dict[str, t.Any]

_log = logging.getLogger("openstack_ha.responder")

GRACE = 20.0  # seconds that runs are given on SIGTERM
_FEED_EVERY = 1.0


class Service:
    """One responder.

    :param path: Of responder.yml. :param clock: Monotonic.
    """

    def __init__(self, path: str, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self.config = configs.load(path)
        self.credentials = _credentials(self.config)
        self.journal = open_journal(self.config.journal_url)
        self.cloud = _cloud.connect(_connection(self.config))
        self.health = Health(clock)
        self.metrics = Metrics(self.health.age)
        self.hearing = Hearing(self.config.heartbeat.networks, self.config.heartbeat.silence, clock())
        self.keeper = self._keeper()
        self.notifier = Notifier(_channels(self.config), self.journal, self.cloud.region, say)
        self.owners = Owners(self.notifier, self.cloud, self.journal, spawn, say)
        self.loop = loops.Loop(self._parts())
        self.runs = Runs(self.config, self.config.journal_url or DEFAULT_URL, say, self.loop.ended)
        self.loop.runs = self.runs
        self.writer = Writer(self._accept, self._accepted, self.config.intake.queue)
        self.systemd = Systemd()
        self._tls = None if self.config.intake.plain_http else _tls(self.config)
        self._ears: Ears | None = None
        self._stopped = threading.Event()

    # -- putting together ----------------------------------------------------------------------------------------

    def _keeper(self) -> sites.Keeper:
        return sites.Keeper(
            self.config.segments_file, self.config.policy_file, self.cloud, self._clock, self._told, say
        )

    def _parts(self) -> loops.Parts:
        return loops.Parts(
            scope=self.cloud.region,
            name=self.config.name,
            responders=self.config.responders,
            me=loops.me(),
            journal=self.journal,
            keeper=self.keeper,
            hearing=self.hearing,
            sources=Sources(self.cloud, self._clock, self.config.probe_timeout),
            metrics=self.metrics,
            health=self.health,
            tell=self.owners.tell,
            say=say,
            clock=self._clock,
            lease=self.config.runs["lease"],
            keep_days=self.config.runs["keep_days"],
            look=self.config.look,
            spawn=spawn,
        )

    def _deps(self) -> Deps:
        intake = self.config.intake
        return Deps(
            scope=self.cloud.region,
            name=self.config.name,
            credentials=self.credentials,
            accept=self.writer.accept,
            topology=self._topology,
            policy=self._policy,
            journal=self.journal,
            health=self._health,
            registry=self.metrics.registry,
            limits=Limits(body=intake.body_limit, rate=intake.per_host_rate, burst=intake.per_host_burst),
            metrics_public=self.config.metrics_public,
        )

    def _health(self) -> Json:
        """For ``/healthz``: also whom it hears, on each network."""
        site = self.keeper.current()
        return {**self.health.told(), **self.hearing.look().view(site.hosts() if site else [])}

    def _topology(self) -> Json | None:
        site = self.keeper.current()
        return site.topology if site else None

    def _policy(self) -> Json:
        site = self.keeper.current()
        return site.policy if site else defaults()

    def _accept(self, rows: list[Json]) -> list[str]:
        return self.journal.accept_signals(self.cloud.region, self.config.name, rows)

    def _accepted(self, rows: list[Json], outcomes: list[str]) -> None:
        self.metrics.accepted(rows, outcomes)
        if "new" in outcomes:
            self.loop.wake()

    def _told(self, wrong: str | None) -> None:
        """What became of a changed configuration."""
        self.metrics.configuration(wrong is not None)
        if wrong is not None:
            _log.error("a changed configuration is refused, and what held before goes on to hold: %s", wrong)

    def _host_of(self, address: str) -> str | None:
        site = self.keeper.current()
        return site.addresses.get(address) if site else None

    # -- running ---------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Until SIGTERM or SIGINT."""
        running = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, stop.set)
        running.add_signal_handler(signal.SIGHUP, self._reload)
        server = serve.server(create_app(self._deps()), self._tls)
        t.cast(t.Any, server).capture_signals = contextlib.nullcontext  # ours are handled above
        sockets = serve.listen(self.config.values["intake"]["listen"])
        self._ears = Ears(
            self.hearing, self.credentials, self.loop.changed, self.metrics.heartbeat, self._host_of, self._clock
        )
        self._ears.listen(self.config.heartbeat.networks, self.config.kdump)
        self.writer.start()
        self.notifier.start()
        threads = self._start_threads()
        tasks = [
            asyncio.create_task(it) for it in (server.serve(sockets), self._ears.tick_until(stop), self._feed(stop))
        ]
        self.systemd.ready()
        say(f"responder {self.config.name} listens at {', '.join(self.config.values['intake']['listen'])}")
        await asyncio.wait([*tasks, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        self.systemd.stopping()
        say("ending: nothing new is taken; runs are given some time")
        server.should_exit = True
        results = await asyncio.gather(*tasks, return_exceptions=True)
        self._ears.close()
        await running.run_in_executor(None, self._end, threads)
        _raise_first(results)

    def _start_threads(self) -> list[threading.Thread]:
        works = {
            "configuration": functools.partial(self.keeper.run, self._stopped, self.loop.wake),
            "decisions": functools.partial(self.loop.run, self._stopped),
        }
        threads = [threading.Thread(target=work, name=name, daemon=True) for name, work in works.items()]
        for thread in threads:
            thread.start()
        return threads

    async def _feed(self, stop: asyncio.Event) -> None:
        """Feed systemd's watchdog while looks end, and not because something still lives."""
        while not stop.is_set():
            if not self.health.hangs():
                self.systemd.alive()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), _FEED_EVERY)

    def _end(self, threads: t.Sequence[threading.Thread]) -> None:
        self.writer.close()
        self.runs.stop(GRACE)
        self._stopped.set()
        self.loop.wake()
        for thread in threads:
            thread.join(10)
        self.notifier.stop()
        self.loop.parts.sources.close()
        self.journal.close()

    def _reload(self) -> None:
        """Read responder.yml, keys and certificate again; what is wrong leaves all as it was."""
        try:
            found = configs.load(self._path)
            renewed = _credentials(found)
            if self._tls and found.intake.certificate and found.intake.key:
                self._tls.load_cert_chain(found.intake.certificate, found.intake.key)
        except (RecoveryError, OSError) as error:
            self._told(str(error))
            return
        self.credentials.renew(renewed)
        if self._ears:
            self._ears.renew(self.credentials)
        self.loop.parts.responders = found.responders
        self.metrics.configuration(False)
        self.keeper.soon()
        different = sorted(key for key, it in found.values.items() if it != self.config.values[key])
        late = [key for key in different if key not in ("responders", "reporters")]
        say("configuration read again" + (f"; after a restart holds: {', '.join(late)}" if late else ""))


def run(path: str) -> int:
    """Serve until told to end; the exit code of the process."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    _log.setLevel(logging.INFO)
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # that the journal is away is told in our words
    try:
        service = Service(path)
        asyncio.run(service.serve())
    except RecoveryError as error:
        _log.error("%s", error.message)  # the message says it all
        return 1
    return 0


def check(path: str) -> list[str]:
    """What is wrong with responder.yml and the files that it names, as far as it can be told without the cloud.

    :raises ConfigError: Naming the path of every key that is wrong, a line each.
    """
    found = configs.load(path)
    _credentials(found)
    if not found.intake.plain_http:
        _tls(found)
    given, _policy = _configuration.load(found.segments_file, found.policy_file)
    return list(given.policy.warnings)


def say(text: str) -> None:
    """A line of the log."""
    _log.info("%s", text)


def spawn(name: str, work: t.Callable[[], None]) -> None:
    """Do something in a thread of its own."""
    threading.Thread(target=work, name=name, daemon=True).start()


def _credentials(config: Config) -> Credentials:
    return Credentials(read_keys(config.key_file), config.reporters)


def _channels(config: Config) -> list[Channel]:
    """All ways to tell."""
    return [
        *(Webhook(it) for it in config.webhooks),
        *(Mail(it, say) for it in config.mail),
        *(Bus(it) for it in config.bus),
    ]


def _connection(config: Config) -> Json:
    return config.cloud or sites.connection(config.segments_file)


def _tls(config: Config) -> t.Any:
    intake = config.intake
    return serve.context(str(intake.certificate), str(intake.key), intake.client_ca)


def _raise_first(results: t.Sequence[t.Any]) -> None:
    for result in results:
        if isinstance(result, BaseException):
            raise result
