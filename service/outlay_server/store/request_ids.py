"""Forgetting request ids whose retention is over, a page of the table at a time.

The table has no index by time: every check would have to write it. Instead the table is walked in the order of its key,
a page at a time, on a read-only connection, and what is old on a page is deleted.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, select, tuple_

from outlay_server.domain.instant import Instant
from outlay_server.store import tables

PAGE_ROWS: Final = 1_000
"""Read at once; at most as many are deleted in one transaction, which takes some milliseconds."""

RequestKey = tuple[int, str]
"""`organization_key` and `request_id`."""

BEFORE_ALL: Final[RequestKey] = (-1, "")


def page_after(
    connection: Connection, after: RequestKey, cutoff: Instant
) -> tuple[RequestKey | None, list[RequestKey]]:
    """The last key of the page that follows `after`, None at the table's end; and the page's keys older than `cutoff`.

    The database looks through the page: the process sees no row that stays.
    """
    table = tables.requests
    columns = (table.c.organization_key, table.c.request_id)
    key = tuple_(*columns)
    end = connection.execute(
        select(*columns).where(key > tuple_(*after)).order_by(*columns).offset(PAGE_ROWS - 1).limit(1)
    ).one_or_none()
    last = None if end is None else (int(end[0]), str(end[1]))
    old = select(*columns).where(key > tuple_(*after), table.c.create_time < cutoff)
    if last is not None:
        old = old.where(key <= tuple_(*last))
    return last, [(int(row[0]), str(row[1])) for row in connection.execute(old.limit(PAGE_ROWS))]


def forget(connection: Connection, keys: Sequence[RequestKey], cutoff: Instant) -> None:
    """Delete these, unless one has been used anew since it was read."""
    table = tables.requests
    by_organization: dict[int, list[str]] = {}
    for organization_key, request_id in keys:
        by_organization.setdefault(organization_key, []).append(request_id)
    for organization_key, request_ids in by_organization.items():
        connection.execute(
            delete(table).where(
                table.c.organization_key == organization_key,
                table.c.request_id.in_(request_ids),
                table.c.create_time < cutoff,
            )
        )
