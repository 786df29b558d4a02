"""What docs/scaling.md says of spreading rows by organization is so of every table and every hot statement."""

import pytest
from sqlalchemy import Table, UniqueConstraint

from docs import tables as pages
from outlay_server.store import statements, tables
from outlay_server.store.statements import Statement

BY = "organization_key"

HOT = {
    name: value.postgres if isinstance(value, Statement) else value
    for name, value in vars(statements).items()
    if name.isupper() and isinstance(value, Statement | str) and not name.startswith("_")
}


def is_spread(table: Table) -> bool:
    """Whether its rows can lie with those of their organization: each of its keys begins to tell them apart by it."""
    uniques = [one.columns for one in table.constraints if isinstance(one, UniqueConstraint)]
    return all(BY in {column.name for column in columns} for columns in (table.primary_key.columns, *uniques))


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_names_the_organization(name: str) -> None:
    """So the rows that it reads or writes for one organization are in one place."""
    assert BY in HOT[name]


def test_the_tables_that_stand_in_the_way_are_stated() -> None:
    stated = {pages.code(row[0]) for row in pages.rows("scaling.md", "Spread over several PostgreSQLs by Citus")}
    assert stated == {table.name for table in tables.metadata.sorted_tables if not is_spread(table)}
