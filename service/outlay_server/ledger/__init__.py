"""The write path of spend: group commit over a store."""

from outlay_server.ledger.ledger import Ledger, LedgerObserver

__all__ = ["Ledger", "LedgerObserver"]
