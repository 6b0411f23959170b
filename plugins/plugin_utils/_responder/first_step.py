# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes failed hosts out of service while their playbook is still starting. PRIVATE: may change at any time.

From the moment a host is forced down, Nova schedules nothing there any more, and tells everybody who asks. The playbook
does the same as its first step, and finds it done: what fails here, or comes too late, is left to it.
"""

from __future__ import annotations

import concurrent.futures
import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._service_state import bring, out_of_service

_AT_ONCE = 8  # calls to Nova


def take_out(
    journal: Journal, cloud: Cloud, run_id: str, hosts: t.Sequence[str], say: t.Callable[[str], None]
) -> None:
    """Disable and force down nova-compute on these hosts, which an open run of this process is to recover.

    :param say: Told of what failed.
    """
    with concurrent.futures.ThreadPoolExecutor(min(_AT_ONCE, len(hosts))) as pool:
        list(pool.map(functools.partial(_take_out, journal, cloud, run_id, say), hosts))


def _take_out(journal: Journal, cloud: Cloud, run_id: str, say: t.Callable[[str], None], host: str) -> None:
    try:
        run = Run(journal, run_id, [host])
        if host not in run.stopped():
            bring(cloud, host, out_of_service(run_id), run)
    except LeaseLost:
        return  # the playbook has taken over
    except RecoveryError as error:
        say(f"run {run_id}: {host} is taken out of service by the playbook: {error.message}")
