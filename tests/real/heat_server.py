# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Heat's API and engine in one process, beside a bed: ``python heat_server.py DIRECTORY PORT IDENTITY_URL``.

Runs with the interpreter of a virtualenv that has openstack-heat. Writes ``ready`` into DIRECTORY when it answers.
"""

from __future__ import annotations

import os
import socketserver
import sys
import threading
import time
import wsgiref.simple_server
from pathlib import Path
from typing import Any

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)

import sqlalchemy  # noqa: E402
from heat.common import config, messaging  # noqa: E402
from heat.db import migration  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log  # noqa: E402

CONFIGURATION = """
[DEFAULT]
transport_url = fake:///
# The bed's stand-in for Keystone has no trusts.
deferred_auth_method = password
auth_encryption_key = 0123456789abcdef0123456789abcdef
environment_dir = {etc}/environment.d
template_dir = {etc}/templates
region_name_for_services = RegionOne
heat_metadata_server_url = http://127.0.0.1:{port}
[database]
connection = sqlite:///{directory}/heat.db
[paste_deploy]
api_paste_config = {etc}/api-paste.ini
[keystone_authtoken]
www_authenticate_uri = {identity}
auth_url = {identity}
auth_type = password
username = admin
password = secret
user_domain_id = default
project_domain_id = default
project_name = admin
[clients_keystone]
auth_uri = {identity}
"""


class _Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


def main(directory: Path, port: int, identity: str) -> None:
    """Serve until the parent is gone."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    etc = Path(sys.prefix) / "etc" / "heat"
    path = directory / "heat.conf"
    path.write_text(CONFIGURATION.format(etc=etc, port=port, directory=directory, identity=identity))
    log.register_options(cfg.CONF)
    cfg.CONF([], project="heat", prog="heat", default_config_files=[str(path)])
    log.setup(cfg.CONF, "heat")
    _let_writers_wait()
    migration.db_sync()
    messaging.setup()
    _start_engine()
    application = config.load_paste_app("heat-api")
    server = wsgiref.simple_server.make_server("127.0.0.1", port, application, _Server)
    (directory / "ready").touch()
    server.serve_forever()


def _let_writers_wait() -> None:
    """Threads of the engine write at the same time."""

    @sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA busy_timeout=60000")


def _start_engine() -> None:
    from heat.engine import service, template
    from heat.rpc import api

    template._get_template_extension_manager()
    # Nested stacks want a password or a trust for what they do later by themselves, which nothing here does.
    service.EngineService._validate_deferred_auth_context = lambda *_given: None
    service.EngineService("heat", api.ENGINE_TOPIC).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
