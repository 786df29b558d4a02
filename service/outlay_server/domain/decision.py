"""The decision: whether an amount fits every budget that matches. Written once, for every store and every mode.

Pure: it sees amounts and limits, and answers. What is held and written for an admission is the caller's.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from outlay_server.domain.budget import Budget, BudgetCounter, Enforcement, Limits
from outlay_server.domain.gate import Gate
from outlay_server.domain.instant import END_OF_TIME, Instant


class DenialReason(enum.Enum):
    """Why a check is denied, in the order in which reasons are looked for."""

    GATE_DISABLED = "GATE_DISABLED"
    FROZEN = "FROZEN"
    HARD_CAP_REACHED = "HARD_CAP_REACHED"
    ALLOTMENT_EXHAUSTED = "ALLOTMENT_EXHAUSTED"
    HELD_BY_RESERVATIONS = "HELD_BY_RESERVATIONS"


_BUDGET_REASONS = (
    DenialReason.FROZEN,
    DenialReason.HARD_CAP_REACHED,
    DenialReason.ALLOTMENT_EXHAUSTED,
    DenialReason.HELD_BY_RESERVATIONS,
)


# Members at hand: to ask an enum for one costs more than to compare it.
_FREEZE, _SHADOW, _FROZEN = Enforcement.FREEZE, Enforcement.SHADOW, DenialReason.FROZEN


@dataclass(slots=True)
class Position:
    """One matching budget where it stands: its settings, its counter in the cycle in question, its limits now."""

    budget: Budget
    counter: BudgetCounter
    limits: Limits
    limit_micros: int | None = field(init=False)
    """The smaller of the limits; worked out once a batch and not once a check."""

    def __post_init__(self) -> None:
        self.limit_micros = self.limits.limit_micros


@dataclass(slots=True)
class Verdict:
    """What one budget says of an amount, with the figures it said it from."""

    budget_id: str
    enforcement: Enforcement
    reason: DenialReason | None
    """None: this budget admits the amount."""
    limit_micros: int | None
    spent_micros: int
    reserved_micros: int
    cycle_end: Instant


@dataclass(slots=True)
class Decision:
    """The answer to one check, before anything is held for it."""

    granted_micros: int
    """What is admitted: the amount, less where the caller takes less, 0 on denial."""
    reason: DenialReason | None = None
    """None: admitted."""
    gate: Gate | None = None
    binding: Position | None = None
    """The budget that denied; on an admission the one with least room, if any has a limit."""
    affordable_micros: int | None = None
    """The largest amount that would have been admitted; None is unlimited."""
    shadow: tuple[tuple[Position, DenialReason], ...] = ()
    """Budgets in shadow that would have denied."""

    @property
    def allowed(self) -> bool:
        return self.reason is None


def refusal(position: Position, amount_micros: int) -> DenialReason | None:
    """Return why this budget alone refuses `amount_micros`, or None when it admits it.

    By subtraction, so that no sum can leave the range of the store's integers. An amount of 0 asks whether any spend
    is possible at all, so it is refused once spend has reached the limit.
    """
    if position.budget.enforcement is _FREEZE:
        return _FROZEN
    counter, limit = position.counter, position.limit_micros
    spent = counter.spent_micros
    if limit is None or 0 < amount_micros <= limit - spent - counter.reserved_micros:
        return None  # What fits the smaller limit beside all that is held fits every one: nearly all checks.
    cap, allotment = position.limits.hard_cap_micros, position.limits.allotment_micros
    if cap is not None and (amount_micros > cap - spent or (amount_micros == 0 and spent >= cap)):
        return DenialReason.HARD_CAP_REACHED
    if allotment is not None and (amount_micros > allotment - spent or (amount_micros == 0 and spent >= allotment)):
        return DenialReason.ALLOTMENT_EXHAUSTED
    if amount_micros > limit - spent - counter.reserved_micros:
        return DenialReason.HELD_BY_RESERVATIONS
    return None


def _available_micros(position: Position) -> int | None:
    """What a check could still get; None without a limit."""
    limit, counter = position.limit_micros, position.counter
    return None if limit is None else max(0, limit - counter.spent_micros - counter.reserved_micros)


def decide(
    amount_micros: int, min_amount_micros: int | None, closed_gate: Gate | None, positions: Sequence[Position]
) -> Decision:
    """Decide `amount_micros` (>= 0) against all `positions`: every enforced one must admit.

    `min_amount_micros`, when given, takes less where the whole does not fit. `closed_gate` is the gate that refuses the
    caller's labels, if one does. Budgets in shadow are asked for their verdict and never block.
    """
    if closed_gate is not None:
        return Decision(0, DenialReason.GATE_DISABLED, gate=closed_gate, affordable_micros=0)
    shadow: tuple[tuple[Position, DenialReason], ...] = ()
    refusals: list[tuple[Position, DenialReason]] = []
    tightest: Position | None = None
    room: int | None = None
    for position in positions:
        reason = refusal(position, amount_micros)
        if position.budget.enforcement is _SHADOW:
            if reason is not None:
                shadow = (*shadow, (position, reason))
            continue
        available = 0 if reason is _FROZEN else _available_micros(position)
        if available is not None and (room is None or available < room):
            tightest, room = position, available
        if reason is not None:
            refusals.append((position, reason))
    if not refusals:
        return Decision(amount_micros, binding=tightest, affordable_micros=room, shadow=shadow)
    assert room is not None, "a budget can only refuse by a limit or by being frozen"
    if min_amount_micros is not None and amount_micros > 0 and room >= max(min_amount_micros, 1):
        return Decision(room, binding=tightest, affordable_micros=room, shadow=shadow)
    binding, reason = min(refusals, key=lambda refused: _BUDGET_REASONS.index(refused[1]))
    return Decision(0, reason, binding=binding, affordable_micros=room, shadow=shadow)


def retry_time(decision: Decision, now: Instant, earliest_expiry: Instant | None) -> Instant | None:
    """When a denied caller may hope for another answer, or None when no time is known.

    The cycle's end, or the end of a temporary cap where that comes first; for what reservations hold, the earliest
    expiry among them. A gate or a frozen budget opens by hand only.
    """
    if decision.reason is DenialReason.HELD_BY_RESERVATIONS:
        return earliest_expiry
    if decision.reason not in (DenialReason.HARD_CAP_REACHED, DenialReason.ALLOTMENT_EXHAUSTED):
        return None
    assert decision.binding is not None
    end = decision.binding.counter.window.end
    override = decision.binding.budget.override_at(now)
    if override is not None and decision.reason is DenialReason.HARD_CAP_REACHED:
        end = min(end, override.expire_time)
    return None if end >= END_OF_TIME else end


def verdicts(amount_micros: int, positions: Sequence[Position]) -> tuple[Verdict, ...]:
    """What each matching budget says of the amount, in the order given."""
    return tuple(
        Verdict(
            budget_id=position.budget.budget_id,
            enforcement=position.budget.enforcement,
            reason=refusal(position, amount_micros),
            limit_micros=position.limit_micros,
            spent_micros=position.counter.spent_micros,
            reserved_micros=position.counter.reserved_micros,
            cycle_end=position.counter.window.end,
        )
        for position in positions
    )
