"""Idempotency of control-plane requests, in the transaction of their effect; same table and rules as the ledger's."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select

from outlay_server.domain import json_text
from outlay_server.domain.books import StoredRequest
from outlay_server.domain.errors import RequestIdReused
from outlay_server.domain.replay import first_difference
from outlay_server.store import rows, statements, tables
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.contract import ControlTransaction


def find(
    tx: ControlTransaction, organization_id: str, request_id: str, method: str, content: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The first answer to this request, or None when it has had no effect yet.

    Locks the organization, so that of two equal requests at once the later sees what the earlier did. A deleted one
    still answers: the retry of its own deletion. Raises `RequestIdReused`.
    """
    key = _organization_key(tx, organization_id)
    if key is None:
        return None
    found = ConnectionDriver(tx.connection).fetch_by_key(statements.REQUESTS_BY_ID, [(key, request_id)])
    if not found:
        return None
    stored = rows.request_from_row(found[0])
    difference = first_difference(stored, method, json_text.dump(content))
    if difference is not None:
        raise RequestIdReused(difference, request_id)
    answer: dict[str, Any] = json_text.load(stored.answer)
    return answer


def remember(
    tx: ControlTransaction,
    organization_id: str,
    request_id: str,
    method: str,
    content: Mapping[str, Any],
    answer: Mapping[str, Any],
) -> None:
    """Keep the answer for `find`. Call it after the effect, in its transaction."""
    key = _organization_key(tx, organization_id)
    assert key is not None, "what had an effect has an organization"
    request = StoredRequest(key, request_id, method, json_text.dump(content), json_text.dump(answer), tx.now)
    names = [column.name for column in tables.requests.columns]
    values = dict(zip(names, rows.request_to_row(request), strict=True))
    tx.connection.execute(insert(tables.requests).values(values))


def _organization_key(tx: ControlTransaction, organization_id: str) -> int | None:
    table = tables.organizations
    query = select(table.c.key).where(table.c.id == organization_id).with_for_update()
    return tx.connection.execute(query).scalar_one_or_none()
