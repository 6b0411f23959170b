# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run decided and proved: verdicts and power certificates. PRIVATE: may change at any time."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()

_RECENT = 1000  # rows that are looked at: enough for any budget, and the wall clock is not asked what is recent


class Evidence:
    """The part of the journal that knows verdicts and certificates."""

    database: Database

    def add_verdict(
        self,
        run_id: str,
        snapshot: Row,
        policy_hash: str,
        result: Row,
        segments_hash: str | None = None,
        orders_seen: int | None = None,
    ) -> Row:
        """Write a decision with the snapshot it was made from.

        :param orders_seen: The number of the newest order that it took into account.
        """
        verdict = {
            "id": rows.new_id(), "run_id": run_id, "result": result, "policy_hash": policy_hash,
            "segments_hash": segments_hash, "orders_seen": orders_seen, "snapshot": snapshot, "decided_at": rows.now(),
        }  # fmt: skip
        return rows.append(self.database, "verdicts", "run_id", verdict)

    def verdicts(self, run_id: str) -> list[Row]:
        """The verdicts of a run, in order."""
        return rows.rows(self.database, rows.matching("verdicts", {"run_id": run_id}, ["number"]))

    def add_certificate(self, run_id: str, host: str, certificate: Row) -> Row:
        """Write the proof that a host of the run is off."""
        row = {
            "id": rows.new_id(), "incident_id": self._incident_of(run_id, host), "run_id": run_id, "host": host,
            "state": "valid", "certificate": certificate, "made_at": rows.now(), "made_mark": ages.mark(self.database),
            "void_reason": None, "voided_at": None,
        }  # fmt: skip
        return rows.append(self.database, "certificates", "incident_id", row)

    def certificate(self, run_id: str, host: str) -> Row | None:
        """The latest certificate of the incident that the run handles on the host, or None.

        It counts only while its ``state`` is ``valid``; an older valid one behind a void one does not.
        """
        query = rows.matching("certificates", {"incident_id": self._incident_of(run_id, host), "host": host})
        return rows.one(self.database, query.order_by(table("certificates").c.number.desc()))

    def certificates(self, incident_ids: list[str]) -> list[Row]:
        """All certificates of these incidents, void ones too."""
        filters = {"incident_id": incident_ids}
        return rows.rows(self.database, rows.matching("certificates", filters, ["incident_id", "number"]))

    def recent_certificates(self, scope: str, within: float) -> list[Row]:
        """When hosts were proven off in the last seconds, newest first: ``host``, ``segment``, ``age``; void too."""
        certificates, incidents = table("certificates"), table("incidents")
        # not the evidence, which is long
        columns = [certificates.c[name] for name in ("id", "host", "made_at", "made_mark")]
        query = (
            sa.select(*columns, incidents.c.segment)
            .join_from(certificates, incidents, incidents.c.id == certificates.c.incident_id)
            .where(incidents.c.scope == scope)
            .order_by(certificates.c.made_at.desc(), certificates.c.id)
            .limit(_RECENT)
        )
        found = [
            {**it, "age": ages.age(self.database, it["made_mark"], it["made_at"])}
            for it in rows.rows(self.database, query)
        ]
        return [it for it in found if it["age"] <= within]

    def void_certificate(self, certificate_id: str, reason: str) -> bool:
        """Void a certificate for ever; tell whether it was valid."""
        certificates = table("certificates")
        valid = sa.and_(certificates.c.id == certificate_id, certificates.c.state == "valid")
        values = {"state": "void", "void_reason": reason, "voided_at": rows.now()}
        return rows.update(self.database, certificates.update().where(valid).values(values))

    def _incident_of(self, run_id: str, host: str) -> str:
        member = rows.one(self.database, rows.matching("run_hosts", {"run_id": run_id, "host": host}))
        if member is None:
            raise JournalError(
                f"Run {run_id} has no host {host} in {self.database.name}. Open the run with recovery_run for this "
                "host first, and use the same journal_url in every task."
            )
        return str(member["incident_id"])
