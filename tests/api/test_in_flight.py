"""Under load, reads are shed first and what settles last."""

import pytest

from outlay_server.api.dispatcher import contract_methods
from outlay_server.api.in_flight import InFlight, Load, load_of
from outlay_server.domain.errors import Overloaded


def test_what_settles_is_shed_last_then_changes_then_checks_then_reads() -> None:
    in_flight = InFlight(100)
    limits = [in_flight.limit(load) for load in (Load.READ, Load.CHECK, Load.CHANGE, Load.SETTLE)]
    assert limits == [50, 80, 90, 100]


def test_a_call_above_its_limit_is_refused_and_counts_nothing() -> None:
    in_flight = InFlight(2)
    in_flight.enter(2)
    in_flight.enter(2)
    with pytest.raises(Overloaded):
        in_flight.enter(2)
    assert in_flight.count == 2
    in_flight.leave()
    in_flight.enter(2)


def test_every_method_is_of_the_kind_that_its_name_says() -> None:
    kinds = {path.rpartition("/")[2]: load_of(path.rpartition("/")[2]) for path in contract_methods()}
    assert {name for name, load in kinds.items() if load is Load.SETTLE} == {
        "RecordSpend",
        "BatchRecordSpend",
        "RefundSpend",
        "ReleaseReservation",
    }
    assert {name for name, load in kinds.items() if load is Load.CHECK} == {
        "CheckSpend",
        "BatchCheckSpend",
        "ExtendReservation",
    }
    assert kinds["QuerySpend"] is kinds["GetBudget"] is kinds["ListAlerts"] is Load.READ
    assert kinds["UpdateBudget"] is kinds["RevokeApiKey"] is Load.CHANGE
