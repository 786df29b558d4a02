"""The rollups' rows: what a batch adds to them, and what is read back.

`spend_rollups` holds the sums of every record that there ever was, `pruned_rollups` those of the records that retention
has deleted since, in the same shape. The first less the second is what `spend_records` must add up to.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from outlay_server.domain.amounts import MICROS_PER_UNIT
from outlay_server.domain.cycle import Window
from outlay_server.domain.rollups import RollupKey, Sums, bucket_of, next_edge, rolled_up
from outlay_server.domain.selector import Selector, matches
from outlay_server.domain.spend import SpendRecord
from outlay_server.store import rows, statements

Fetch = Callable[..., list[Sequence[Any]]]
"""`batch.Driver.fetch`: a query, and what its `?` stand for."""

_DIGEST_BYTES: Final = 16
_DIGESTS_REMEMBERED: Final = 4_096

TOTALS: Final = (
    "SUM(recorded_units), SUM(recorded_micros), SUM(refunded_units), SUM(refunded_micros), SUM(record_count)"
)
"""The columns that `sums_from_columns` reads, of many rollups."""

_IN_WINDOW: Final = (
    f"SELECT {TOTALS} FROM spend_rollups WHERE organization_key = ? AND unit = ? AND bucket >= ? AND bucket < ?"
)
_BY_LABELS: Final = _IN_WINDOW.replace("SELECT", "SELECT labels,", 1) + " GROUP BY labels"
_UNITS_AFTER: Final = "SELECT MIN(unit) FROM spend_rollups WHERE organization_key = ? AND unit > ?"


@lru_cache(_DIGESTS_REMEMBERED)
def labels_digest(text: str) -> bytes:
    """What stands for labels in the key: their text can be longer than an index of PostgreSQL takes."""
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def rows_of(records: Iterable[SpendRecord]) -> list[rows.Row]:
    """What the records add, a row for each bucket and set of labels."""
    return [to_row(key, sums) for key, sums in rolled_up(records).items()]


def to_row(key: RollupKey, sums: Sums) -> rows.Row:
    """A row of `spend_rollups` or `pruned_rollups`.

    An amount is kept as whole units and the micros left over, each added up by itself: a column of micros alone would
    be full after nine thousand amounts of the largest size, and the batch that fills it would fail for all in it.
    """
    organization_key, unit, bucket, labels = key
    text = rows.dump_labels(labels)
    recorded, refunded = divmod(sums.recorded_micros, MICROS_PER_UNIT), divmod(sums.refunded_micros, MICROS_PER_UNIT)
    return organization_key, unit, bucket, labels_digest(text), text, *recorded, *refunded, sums.record_count


def sums_from_columns(columns: Sequence[Any]) -> Sums:
    """The inverse, from the columns that come after `labels`, or from `TOTALS`. PostgreSQL sums into decimals."""
    recorded_units, recorded, refunded_units, refunded, count = map(int, columns)
    return Sums(recorded_units * MICROS_PER_UNIT + recorded, refunded_units * MICROS_PER_UNIT + refunded, count)


def texts_of(labels: Selector) -> list[str]:
    """What stands in the JSON of labels if and only if the selector matches them: pairs, or beginnings of pairs.

    No value can look like a pair: inside of one a quotation mark has a backslash before it.
    """
    exact = [rows.dump_labels((pair,))[1:-1] for pair in labels.exact]
    prefixes = [rows.dump_labels((pair,))[1:-3] for pair in labels.prefixes]
    return exact + prefixes


def containing(texts: Sequence[str], mark: Callable[[int], str] = lambda _: "?") -> str:
    """The condition that `labels` contains all these texts, to the letter, on both databases alike; begins with AND.

    So the database adds up what matches, and no more comes here than a sum, however many sets of labels there are.
    """
    return "".join(f" AND replace(labels, {mark(index)}, '') <> labels" for index in range(len(texts)))


def spent_within(
    fetch: Fetch, organization_key: int, unit: str, window: Window, labels: Selector, *, is_one_of_many: bool
) -> int:
    """What is charged within the window to labels that match.

    `is_one_of_many` says that the same window is asked about for other labels too, by a `fetch` that remembers: then
    the sums of each set of labels are read once for all of them.

    The edges of a window that lie inside a bucket, which those of no zone have done since 1980, are summed from the
    records of that bucket.
    """
    inner_start, inner_end = next_edge(window.start), bucket_of(window.end)
    if inner_start > inner_end:
        inner_start = inner_end = window.end
    inner = (organization_key, unit, inner_start, inner_end)
    if is_one_of_many:
        spent_micros = sum(
            sums_from_columns(totals).spent_micros
            for text, *totals in fetch(_BY_LABELS, *inner)
            if matches(labels, dict(rows.load_labels(text)))
        )
    else:
        texts = texts_of(labels)
        (totals,) = fetch(_IN_WINDOW + containing(texts), *inner, *texts)
        spent_micros = sums_from_columns([total or 0 for total in totals]).spent_micros
    for start, end in ((window.start, inner_start), (inner_end, window.end)):
        if start < end:
            for text, spent in fetch(statements.SPENT_BY_LABELS, organization_key, unit, start, end):
                if matches(labels, dict(rows.load_labels(text))):
                    spent_micros += int(spent)
    return spent_micros


def unit_after(fetch: Fetch, organization_key: int, unit: str) -> str | None:
    """The next unit in which anything was ever recorded; after "" the first."""
    found: str | None = fetch(_UNITS_AFTER, organization_key, unit)[0][0]
    return found


def units_of(fetch: Fetch, organization_key: int) -> list[str]:
    """The units in which anything was ever recorded, ascending: one look into the key for each."""
    found: list[str] = []
    while (unit := unit_after(fetch, organization_key, found[-1] if found else "")) is not None:
        found.append(unit)
    return found
