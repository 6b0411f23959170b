# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real Nova and Placement in this process: databases, cells, control plane, computes."""

from __future__ import annotations

import logging
import sys
import threading
import typing as t

import nova.conf
import nova.context
from nova import availability_zones, objects, service
from nova import config as nova_config
from nova.api.openstack import wsgi_app
from nova.compute import rpcapi as compute_rpc
from nova.conductor import rpcapi as conductor_rpc
from nova.db import migration
from nova.objects import host_mapping
from nova.scheduler import rpcapi as scheduler_rpc
from nova.servicegroup.drivers import db as heartbeat
from oslo_config import cfg
from oslo_log import log
from paste import deploy
from placement import conf as placement_conf
from placement import db_api as placement_db
from placement import deploy as placement_deploy
from placement.db.sqlalchemy import migration as placement_migration

from bed import databases, driver
from bed.config import Options, database_url
from bed.life import Life, ProcessIsDead
from bed.web import App

CONF = nova.conf.CONF
# Nova loads its virt drivers from this package only
sys.modules["nova.virt.bed"] = driver
_CELL1 = "c0000000-0000-4000-8000-000000000001"


class Nova:
    """The services of the cloud."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._plane = Life("control plane")
        self._computes: dict[str, service.Service] = {}
        self._control: list[service.Service] = []
        self._stopping: dict[str, threading.Thread] = {}

    def configure(self) -> None:
        nova_config.parse_args(["bed", "--config-file", str(self._options.directory / "nova.conf")])
        log.setup(CONF, "nova")
        logging.getLogger("placement.requestlog").setLevel(logging.WARNING)
        objects.register_all()
        objects.Service.enable_min_version_cache()

    def prepare_databases(self) -> App:
        """Databases and cells; returns the placement application."""
        conf = cfg.ConfigOpts()
        placement_conf.register_opts(conf)
        conf([], project="placement", default_config_files=[str(self._options.directory / "placement.conf")])
        # without this oslo.db falls back to the global CONF, which is Nova's own [database]
        placement_db.configure(conf)
        databases.prepare(self._options, _migrate)
        self._map_cells()
        application: App = placement_deploy.loadapp(conf)
        return application

    def _map_cells(self) -> None:
        context = nova.context.get_admin_context()
        folder = self._options.directory
        cells = (
            (objects.CellMapping.CELL0_UUID, "cell0", "none:///"),
            (_CELL1, "cell1", "fake://"),
        )
        for uuid, name, transport in cells:
            objects.CellMapping(
                context=context,
                uuid=uuid,
                name=name,
                transport_url=transport,
                database_connection=database_url(folder, name),
            ).create()

    def start_control_plane(self) -> App:
        """Conductor and scheduler; returns the compute API application."""
        for binary, topic in (("nova-conductor", conductor_rpc.RPC_TOPIC), ("nova-scheduler", scheduler_rpc.RPC_TOPIC)):
            self._control.append(_start(self._plane, binary=binary, topic=topic))
        wsgi_app._setup_service(CONF.host, "osapi_compute")
        application: App = deploy.loadapp(f"config:{CONF.wsgi.api_paste_config}", name="osapi_compute")
        return application

    def start_compute(self, host: str, life: Life) -> None:
        """Start nova-compute, once what is left of an earlier one is gone."""
        leftover = self._stopping.pop(host, None)
        if leftover:
            leftover.join()
        try:
            self._computes[host] = _start(
                life,
                host=host,
                binary="nova-compute",
                topic=compute_rpc.RPC_TOPIC,
                topic_alt=compute_rpc.RPC_TOPIC_ALT,
            )
        except ProcessIsDead:
            return
        if not life.alive:
            self.stop_compute(host)

    def stop_compute(self, host: str) -> None:
        """Clear away the threads of a nova-compute whose life has ended; returns at once."""
        dead = self._computes.pop(host, None)
        if dead is None:
            return
        self._stopping[host] = threading.Thread(target=_clear_away, args=(dead,), daemon=True)
        self._stopping[host].start()

    def report_resources(self, host: str) -> None:
        """Let a nova-compute tell Placement what it has."""
        self._computes[host].manager.update_available_resource(nova.context.get_admin_context())

    def beat(self, host: str) -> None:
        """One heartbeat of a host, whether it lives or not."""
        record = objects.Service.get_by_host_and_binary(nova.context.get_admin_context(), host, "nova-compute")
        record.report_count += 1
        record.save()

    def discover_hosts(self) -> None:
        host_mapping.discover_hosts(nova.context.get_admin_context())

    def drop_work(self) -> None:
        """End what conductor and scheduler are doing."""
        self._plane.renew()

    def forget(self) -> None:
        """Drop what the control plane remembers of databases that have been put back."""
        availability_zones.reset_cache()
        for one in self._control:
            manager = getattr(one.manager, "host_manager", None)
            if manager is not None:
                manager.aggs_by_id.clear()
                manager.host_aggregates_map.clear()
                manager._init_aggregates()
            heartbeat.DbDriver._report_state(one.servicegroup_api._driver, one)

    def edit_instance(self, uuid: str, fields: dict[str, t.Any]) -> None:
        """Set fields of a server's record, as a fault would leave them."""
        with _cell_context() as context:
            instance = objects.Instance.get_by_uuid(context, uuid)
            for name, value in fields.items():
                setattr(instance, name, value)
            instance.save()

    def attach_share(self, uuid: str) -> None:
        """A server with a Manila share, which Nova refuses to evacuate."""
        with _cell_context() as context:
            mapping = objects.share_mapping.ShareMapping(context)
            mapping.uuid = mapping.share_id = uuid
            mapping.instance_uuid, mapping.tag = uuid, "share"
            mapping.status = objects.fields.ShareMappingStatus.ACTIVE
            mapping.export_location, mapping.share_proto = "192.0.2.1:/share", objects.fields.ShareMappingProto.NFS
            mapping.create()


def _cell_context() -> t.Any:
    context = nova.context.get_admin_context()
    return nova.context.target_cell(context, objects.CellMapping.get_by_uuid(context, _CELL1))


def _start(life: Life, **kwargs: t.Any) -> service.Service:
    with life.lived():
        one = service.Service.create(**kwargs)
        one.bed_life = life
        one.periodic_tasks = life.bind(one.periodic_tasks)
        try:
            one.start()
        except ProcessIsDead:
            _clear_away(one)
            raise
    return one


def _clear_away(dead: service.Service) -> None:
    """Stop the threads of a service whose life has ended."""
    dead.tg.stop()
    for server in (dead.rpcserver, dead.rpcserver_alt):
        if server is not None:
            server.stop()


def _migrate() -> None:
    migration.db_sync(database="api")
    migration.db_sync(database="main")
    placement_migration.upgrade("head")
