"""The journal's file, read without the code that writes it."""

from __future__ import annotations

import json
import sqlite3
import typing as t

Json = t.Dict[str, t.Any]


class Book:
    """The journal's file, as anybody can read it."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)

    def close(self) -> None:
        self._connection.close()

    def _all(self, sql: str, *values: t.Any) -> list[tuple[t.Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: t.Any) -> t.Any:
        rows = self._all(sql, *values)
        return rows[0][0] if rows else None

    def run_of(self, process: str, machine: str) -> str | None:
        """The newest run of a process, an open one if there is; the program of a machine opens runs for others."""
        whose = "json_extract(holder, '$.process') IN (?, ?)"
        sql = f"SELECT id FROM runs WHERE {whose} ORDER BY state = 'open' DESC, id DESC LIMIT 1"
        return t.cast(t.Optional[str], self._one(sql, process, machine))

    def open_runs(self) -> int:
        return int(self._one("SELECT count(*) FROM runs WHERE state = 'open'"))

    def claim(self, host: str) -> str | None:
        return t.cast(t.Optional[str], self._one("SELECT run_id FROM claims WHERE host = ?", host))

    def holds_any(self, run: str | None) -> bool:
        return bool(self._one("SELECT count(*) FROM claims WHERE run_id = ?", run))

    def verdict(self, run: str, host: str) -> str | None:
        result = self._one("SELECT result FROM verdicts WHERE run_id = ? ORDER BY number DESC LIMIT 1", run)
        return json.loads(result).get(host, {}).get("verdict") if result else None

    def certified(self, run: str | None, host: str) -> bool:
        """Whether this very run has a valid certificate."""
        sql = "SELECT state FROM certificates WHERE run_id = ? AND host = ? ORDER BY number DESC LIMIT 1"
        return self._one(sql, run, host) == "valid"

    def certified_hosts(self) -> set[str]:
        return {row[0] for row in self._all("SELECT host FROM certificates WHERE state = 'valid'")}

    def vouched(self, host: str) -> bool:
        """Whether a person says that it is off."""
        rows = self._all("SELECT certificate FROM certificates WHERE host = ? AND state = 'valid'", host)
        return any(json.loads(row[0])["kind"] == "operator" for row in rows)

    def fenced_since(self, _seconds: float) -> set[str]:
        """Stories are shorter than an hour."""
        return {row[0] for row in self._all("SELECT host FROM certificates")}

    def recovering(self) -> set[str]:
        return {row[0] for row in self._all("SELECT host FROM incidents WHERE state = 'recovering'")}

    def recovered(self) -> list[tuple[str, str]]:
        return t.cast(t.Any, self._all("SELECT id, host FROM incidents WHERE state = 'recovered'"))

    def hosts(self) -> set[str]:
        return {row[0] for row in self._all("SELECT host FROM incidents")}

    def line(self, vm: str, run: str | None) -> str | None:
        sql = "SELECT state FROM ledger WHERE server_id = ? AND run_id = ? ORDER BY incident_id DESC LIMIT 1"
        return t.cast(t.Optional[str], self._one(sql, vm, run))

    def lines(self, incident: str) -> dict[str, Json]:
        columns = ("server_id", "state", "target", "former_state", "reason")
        sql = f"SELECT {', '.join(columns)} FROM ledger WHERE incident_id = ?"
        return {row[0]: dict(zip(columns, row)) for row in self._all(sql, incident)}
