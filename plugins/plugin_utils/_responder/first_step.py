# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes failed hosts out of service before their playbook is started. PRIVATE: may change at any time.

From the moment a host is forced down, Nova schedules nothing there any more, and tells everybody who asks. The playbook
does the same as its first step, and finds it done: what fails here, or takes too long, is left to it. Twenty playbooks
that start at once keep the processors busy for long, so this comes first.
"""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._service_state import bring, out_of_service

_AT_ONCE = 8  # calls to Nova
_PATIENCE = 1.0  # seconds that a playbook is kept waiting


def take_out(
    journal: Journal, cloud: Cloud, run_id: str, services: t.Mapping[str, Json | None], say: t.Callable[[str], None]
) -> None:
    """Disable and force down nova-compute on hosts that an open run of this process is to recover.

    :param services: By host, its service as Nova has just shown it. :param say: Told of what failed.
    """
    pool = concurrent.futures.ThreadPoolExecutor(min(_AT_ONCE, len(services)), "first-step")
    calls = [pool.submit(_take_out, journal, cloud, run_id, say, *service) for service in services.items()]
    concurrent.futures.wait(calls, _PATIENCE)
    pool.shutdown(wait=False, cancel_futures=True)


def _take_out(
    journal: Journal, cloud: Cloud, run_id: str, say: t.Callable[[str], None], host: str, service: Json | None
) -> None:
    try:
        run = Run(journal, run_id, [host])
        if host not in run.stopped():
            bring(cloud, host, out_of_service(run_id), run, before=service)
    except LeaseLost:
        return  # the playbook has taken over
    except Exception as error:  # whatever it is, somebody must hear of it, and the playbook does this step, too
        said = error.message if isinstance(error, RecoveryError) else f"{type(error).__name__}: {error}"
        say(f"run {run_id}: {host} is taken out of service by the playbook: {said}")
