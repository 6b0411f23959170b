# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions that only a person may decide, and the answers. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows, states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()


class Questions:
    """The part of the journal that knows questions. A place of an incident has one open question at most."""

    database: Database

    def ask(
        self,
        run_id: str,
        incident: Row,
        gate: str,
        digest: str,
        reason: str,
        plan: Row | None = None,
        wait: float = 0.0,
        default: str = "hold",
    ) -> Row:
        """Write a question; an older one that nobody answered is asked anew by this.

        :param incident: With ``incident_id`` and ``host``.
        :param digest: See ``_gates.question()``. :param plan: What would be done.
        :param wait: Seconds after which ``default`` is done; 0 if nobody waits.
        """
        question = {
            "id": rows.new_id(), "incident_id": incident["incident_id"], "run_id": run_id, "host": incident["host"],
            "gate": gate, "digest": digest, "reason": reason, "plan": plan, "wait": wait, "default": default,
            "state": "open", "asked_at": rows.now(), "asked_mark": ages.mark(self.database),
            "answer": None, "answered_by": None, "answer_reason": None, "answered_at": None, "answered_mark": None,
        }  # fmt: skip
        questions = table("questions")
        same = sa.and_(questions.c.incident_id == incident["incident_id"], questions.c.host == incident["host"])
        older = sa.and_(same, questions.c.state == "open")

        def work(connection: sa.Connection) -> Row:
            connection.execute(questions.update().where(older).values(state="expired", answer_reason="asked anew"))
            connection.execute(questions.insert(), question)
            return question

        return self.database.write(work)

    def answer_question(self, question_id: str, answer: str, by: str, reason: str) -> bool:
        """Write a person's answer; tell whether the question was still open."""
        if answer not in states.ANSWER:
            raise ValueError(f"unknown answer {answer!r}; there are {', '.join(states.ANSWER)}")
        return self._end(question_id, {"state": "answered", "answer": answer, "answered_by": by}, reason)

    def expire_question(self, question_id: str, answer: str, reason: str) -> bool:
        """Say that nobody answered, and which answer was assumed; tell whether the question was still open."""
        return self._end(question_id, {"state": "expired", "answer": answer}, reason)

    def questions(self, **filters: t.Any) -> list[Row]:
        """Questions whose columns have these values, oldest first, with ``age`` and ``answer_age`` in seconds."""
        found = rows.rows(self.database, rows.matching("questions", filters, ["asked_at", "id"]))
        return [self._with_ages(question) for question in found]

    def questions_about(self, scope: str, hosts: t.Sequence[str]) -> list[Row]:
        """The questions about these places whose incidents have not ended, oldest first."""
        return self._of_open_incidents(table("incidents").c.scope == scope, table("questions").c.host.in_(list(hosts)))

    def open_questions(self, scope: str | None = None) -> list[Row]:
        """What nobody has answered about incidents that have not ended, oldest first."""
        here = [] if scope is None else [table("incidents").c.scope == scope]
        return self._of_open_incidents(table("questions").c.state == "open", *here)

    def _of_open_incidents(self, *conditions: t.Any) -> list[Row]:
        questions, incidents = table("questions"), table("incidents")
        query = (
            sa.select(questions)
            .join_from(questions, incidents, incidents.c.id == questions.c.incident_id)
            .where(incidents.c.open_key.is_not(None), *conditions)
            .order_by(questions.c.asked_at, questions.c.id)
        )
        return [self._with_ages(question) for question in rows.rows(self.database, query)]

    def _end(self, question_id: str, values: Row, reason: str) -> bool:
        questions = table("questions")
        still_open = sa.and_(questions.c.id == question_id, questions.c.state == "open")
        ended = {
            **values,
            "answer_reason": reason,
            "answered_at": rows.now(),
            "answered_mark": ages.mark(self.database),
        }
        return rows.update(self.database, questions.update().where(still_open).values(ended))

    def _with_ages(self, question: Row) -> Row:
        return {
            **question,
            "age": ages.age(self.database, question["asked_mark"], question["asked_at"]),
            "answer_age": ages.age(self.database, question["answered_mark"], question["answered_at"]),
        }
