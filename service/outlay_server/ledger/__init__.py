"""The write path of spend: group commit over a store."""

from outlay_server.ledger.ledger import Ledger, LedgerObserver
from outlay_server.ledger.line import Answer

__all__ = ["Answer", "Ledger", "LedgerObserver"]
