"""Events of the control plane, written in the transaction of the change that they tell of."""

from outlay_server.domain.event import Event
from outlay_server.store import rows, statements
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.contract import ControlTransaction


def append_event(tx: ControlTransaction, organization_key: int, event: Event) -> None:
    """Have an event sent to every endpoint that asks for it, once the change is committed."""
    driver = ConnectionDriver(tx.connection)
    driver.write(statements.INSERT_EVENTS, [rows.event_to_row(event, organization_key)])
