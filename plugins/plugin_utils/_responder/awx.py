# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a playbook as a job of AWX or Automation Controller, by plain REST. PRIVATE: may change at any time.

The job template must run ``openstack_ha.recovery.recover_host`` with the same segments file and journal, and take extra
variables at launch (``ask_variables_on_launch``). The job takes over the run as a playbook on this machine does, so it
holds the claims itself, and goes on when the responder ends.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import (
    RECOVER_HOST,
    Canceled,
    Ended,
    Json,
    Order,
    Progress,
)

try:
    import requests
except ImportError:
    requests = None  # type: ignore[assignment]  # reported when the first job is launched

_TIMEOUT = (5.0, 30.0)
_PAGE = 200
_CANCEL_WITHIN = 60.0  # seconds that AWX has to end a job

#: States of a job that has ended, and what they mean here. https://ansible.readthedocs.io/projects/awx/
_ENDED = {"successful": "successful", "failed": "failed", "error": "failed", "canceled": "canceled"}


class AwxLauncher:
    """Launches a job template and follows its job.

    :param config: ``url``, ``token_file``, ``job_template`` (id) and ``verify``.
    :param poll: Seconds between two looks at a job.
    """

    kind = "awx"
    outlives = True

    def __init__(self, config: Json, poll: float = 2.0) -> None:
        self._config, self._poll = config, poll

    def run(self, order: Order, progress: Progress, canceled: Canceled) -> Ended:
        """See :class:`launch.Launcher`."""
        api = _Api(self._config)
        job = self._launch(api, order)
        progress.set(job=job, url=f"{self._config['url'].rstrip('/')}/#/jobs/playbook/{job}")
        return _Followed(api, job, order, progress, canceled, self._poll).to_its_end()

    def _launch(self, api: _Api, order: Order) -> int:
        template = self._template(order)
        answer = api.ask("POST", f"job_templates/{template}/launch/", {"extra_vars": order.variables})
        job = int(answer["job"])
        if answer.get("ignored_fields"):
            api.ask("POST", f"jobs/{job}/cancel/")
            raise RecoveryError(
                f"AWX ignores extra variables of job template {template}, so its job {job} was cancelled: let the "
                "template prompt for variables on launch."
            )
        return job

    def _template(self, order: Order) -> int:
        if order.playbook == RECOVER_HOST:
            return int(self._config["job_template"])
        name = order.playbook.rpartition(".")[2]
        found = (self._config.get("job_templates") or {}).get(name)
        if found is None:
            raise RecoveryError(f"No job template of AWX is named for {name}: runs.awx.job_templates.{name}.")
        return int(found)


class _Followed:
    """One job, while it is at work."""

    def __init__(self, api: _Api, job: int, order: Order, progress: Progress, canceled: Canceled, poll: float) -> None:
        self._api, self._job, self._progress, self._canceled, self._poll = api, job, progress, canceled, poll
        self._ends_at = None if order.timeout is None else time.monotonic() + order.timeout
        self._timeout = order.timeout
        self._counter = 0
        self._ending: Ended | None = None
        self._give_up_at: float | None = None

    def to_its_end(self) -> Ended:
        """Follow it. AWX that is away for a while changes nothing: the job holds its claims itself."""
        while True:
            state = self._look()
            if state:
                return self._ended(state)
            if self._ending is None:
                self._begin_to_end()
            if self._give_up_at is not None and time.monotonic() > self._give_up_at:
                return t.cast(Ended, self._ending)
            time.sleep(self._poll)

    def _look(self) -> Json | None:
        """The job if it has ended; what it has said is passed on."""
        try:
            state = self._api.ask("GET", f"jobs/{self._job}/")
            self._read_events()
        except RecoveryError as error:
            self._progress.set(trouble=error.message)
            return None
        return state if state.get("status") in _ENDED else None

    def _read_events(self) -> None:
        while True:
            query = f"?counter__gt={self._counter}&order_by=counter&page_size={_PAGE}"
            page = self._api.ask("GET", f"jobs/{self._job}/job_events/{query}")
            for event in page["results"]:
                self._progress.heard(event)
                self._counter = max(self._counter, int(event["counter"]))
            if not page["results"] or not page.get("next"):
                return

    def _begin_to_end(self) -> None:
        why = self._canceled()
        if why is not None:
            self._ending = Ended("canceled", None, why)
        elif self._ends_at is not None and time.monotonic() > self._ends_at:
            self._ending = Ended("timeout", None, f"it took longer than {self._timeout:g} s")
        if self._ending:
            self._give_up_at = time.monotonic() + _CANCEL_WITHIN
            try:
                self._api.ask("POST", f"jobs/{self._job}/cancel/")
            except RecoveryError as error:
                self._progress.set(trouble=error.message)

    def _ended(self, job: Json) -> Ended:
        if self._ending:
            return self._ending
        status = _ENDED[job["status"]]
        if status == "successful":
            return Ended(status, 0)
        said = job.get("job_explanation") or self._progress.why() or f"AWX says that it {job['status']}"
        return Ended(status, None, f"AWX job {self._job}: {said}")


class _Api:
    """The REST API."""

    def __init__(self, config: Json) -> None:
        if requests is None:
            raise RecoveryError("Launching jobs of AWX needs the Python package requests, which is missing.")
        self._config = config
        url = config["url"].rstrip("/")
        # Behind the gateway of AAP it lies elsewhere, and the URL says so.
        self._base = url if "/api/" in url else f"{url}/api/v2"

    def ask(self, method: str, path: str, data: Json | None = None) -> Json:
        """Make one call. :raises RecoveryError: It was refused or not answered."""
        try:
            answer = requests.request(
                method,
                f"{self._base}/{path}",
                json=data,
                headers={"Authorization": f"Bearer {self._token()}"},
                timeout=_TIMEOUT,
                verify=self._config["verify"],
                allow_redirects=False,
            )
            body = answer.json() if answer.content else {}
        except (requests.RequestException, ValueError) as error:
            raise RecoveryError(f"AWX: {method} {path} at {self._base}: {type(error).__name__}: {error}") from error
        if not 200 <= answer.status_code < 300:
            raise RecoveryError(f"AWX: {method} {path} at {self._base} was answered {answer.status_code}: {body}")
        return t.cast(Json, body)

    def _token(self) -> str:
        """Read each time: it may have been changed."""
        try:
            with open(self._config["token_file"], encoding="utf-8") as file:
                return file.read().strip()
        except OSError as error:
            raise RecoveryError(f"AWX: cannot read {self._config['token_file']}: {error.strerror}") from error
