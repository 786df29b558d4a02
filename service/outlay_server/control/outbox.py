"""Events of the control plane, written in the transaction of the change that they tell of."""

from collections.abc import Sequence

from outlay_server.domain.event import Event
from outlay_server.store import rows, statements
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.contract import ControlTransaction


def append_events(tx: ControlTransaction, organization_key: int, events: Sequence[Event]) -> None:
    """Have events sent to every endpoint that asks for them, once the change is committed."""
    if events:
        driver = ConnectionDriver(tx.connection)
        driver.write(statements.INSERT_EVENTS, [rows.event_to_row(event, organization_key) for event in events])
