"""Runs as jobs of AWX. AWX itself cannot run here: a stand-in speaks its REST API, and really starts the playbook."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import threading
import typing as t
import urllib.parse
from pathlib import Path

import pytest
from bed.client import Bed
from driver import Playbooks, until
from opened_runs import Started

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims

Recovery = t.Callable[..., Playbooks]

RACK = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}}
TOKEN = "awx-token"


class Awx:
    """Speaks what https://ansible.readthedocs.io/projects/awx/ documents of launching, jobs, events and cancelling.

    :param play: Starts the playbook with these variables.
    """

    def __init__(self, play: t.Callable[[dict[str, t.Any]], subprocess.Popen[str]], prompts: bool = True) -> None:
        self._play, self._prompts = play, prompts
        self.requests: list[str] = []
        self.away = 0
        self._job: subprocess.Popen[str] | None = None
        self._canceled = False
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._job and self._job.poll() is None:
            os.killpg(self._job.pid, signal.SIGKILL)
            self._job.communicate()

    def answer(self, method: str, path: str, data: t.Any) -> tuple[int, t.Any]:
        """Status and body."""
        self.requests.append(f"{method} {path}")
        if self.away:
            self.away -= 1
            return 502, {"detail": "Bad Gateway"}
        if path == "/api/v2/job_templates/7/launch/":
            if self._prompts:
                self._job = self._play(data["extra_vars"])
            return 201, {"job": 42, "id": 42, "ignored_fields": {} if self._prompts else data}
        if path == "/api/v2/jobs/42/cancel/":
            self._canceled = True
            if self._job:
                os.killpg(self._job.pid, signal.SIGTERM)
            return 202, {}
        if path == "/api/v2/jobs/42/":
            return 200, {"id": 42, "status": self._status(), "job_explanation": ""}
        return 200, self._events() if path == "/api/v2/jobs/42/job_events/" else {}

    def _status(self) -> str:
        if not self._job:
            return "pending"
        ended = self._job.poll()
        return "running" if ended is None else "canceled" if self._canceled else "failed" if ended else "successful"

    def _events(self) -> t.Any:
        task = {"counter": 3, "event": "playbook_on_task_start", "event_data": {"task": "Fence, and prove it"}}
        seen = any("counter__gt=3" in line for line in self.requests)
        return {"count": 1, "next": None, "results": [] if seen else [task]}

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        awx = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = urllib.parse.urlsplit(self.path).path
                status, answer = 401, {"detail": "no"}
                if self.headers["Authorization"] == f"Bearer {TOKEN}":
                    awx.requests.append(self.path)
                    status, answer = awx.answer(self.command, path, json.loads(body) if body else None)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = _handle

            def log_message(self, *words: t.Any) -> None:
                pass

        return Handler


class Site:
    """A responder that launches jobs."""

    def __init__(self, playbooks: Playbooks, directory: Path, **options: t.Any) -> None:
        def play(variables: dict[str, t.Any]) -> subprocess.Popen[str]:
            (directory / "variables.json").write_text(json.dumps(variables), encoding="utf-8")
            return playbooks.start("recover_host", "-e", f"@{directory}/variables.json")

        (directory / "token").write_text(f"{options.pop('token', TOKEN)}\n", encoding="utf-8")
        self.awx = Awx(play, options.pop("prompts", True))
        config = {"url": self.awx.url, "token_file": str(directory / "token"), "job_template": 7, "verify": True}
        self.started = Started(playbooks, directory, awx=config, **options)

    def close(self) -> None:
        self.started.runs.stop(0)
        self.awx.close()


@pytest.fixture
def site(recovery: Recovery, tmp_path: Path) -> t.Iterator[t.Callable[..., Site]]:
    made: list[Site] = []

    def make(**options: t.Any) -> Site:
        made.append(Site(recovery(RACK), tmp_path, **options))
        return made[-1]

    yield make
    for it in made:
        it.close()


def test_a_job_takes_the_run_over_and_recovers_the_host_also_when_awx_is_away_for_a_while(
    cloud: Bed, site: t.Callable[..., Site]
) -> None:
    vms = cloud.fill("cmp01", 2)
    cloud.crash("cmp01")
    it = site()
    run_id = it.started.start("cmp01")
    with it.started.playbooks.journal() as journal:
        launch = until(lambda: (journal.run(run_id)["launch"] or {}).get("job") and journal.run(run_id)["launch"], 120)
    it.awx.away = 2
    end = it.started.end()
    assert (end.status, end.rc, end.hosts) == ("successful", 0, ["cmp01"]), (end, it.started.log)
    assert not set(cloud.running().get("cmp01", [])) & set(vms)
    assert it.started.playbooks.report()["run"]["id"] == run_id
    assert (launch["kind"], launch["job"], launch["url"]) == ("awx", 42, f"{it.awx.url}/#/jobs/playbook/42")
    assert any("Fence, and prove it" in line for line in it.started.log)


def test_a_job_that_is_canceled_lets_its_hosts_go(cloud: Bed, site: t.Callable[..., Site]) -> None:
    cloud.fill("cmp01", 2)
    cloud.crash("cmp01")
    it = site()
    run_id = it.started.start("cmp01")
    with it.started.playbooks.journal() as journal:
        until(lambda: journal.steps(run_id), 120)
        assert it.started.runs.cancel(run_id, "enough")
        assert it.started.end()[2:] == ("canceled", None, "enough")
        assert "POST /api/v2/jobs/42/cancel/" in it.awx.requests
        assert (journal.run(run_id)["state"], claims.taken(journal, "RegionOne")) == ("closed", [])


@pytest.mark.parametrize(
    ("options", "why"),
    [({"token": "wrong"}, "was answered 401"), ({"prompts": False}, "AWX ignores extra variables of job template 7")],
)
def test_a_job_that_cannot_be_launched_ends_the_run_with_its_reason(
    cloud: Bed, site: t.Callable[..., Site], options: dict[str, t.Any], why: str
) -> None:
    it = site(**options)
    it.started.start("cmp01")
    end = it.started.end()
    assert (end.status, why in (end.reason or "")) == ("failed", True), end
    with it.started.playbooks.journal() as journal:
        assert [retry["host"] for retry in journal.retries("RegionOne")] == ["cmp01"]
