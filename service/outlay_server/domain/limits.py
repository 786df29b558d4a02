"""Every bound the service keeps, each with its reason. `docs/limits.md` states the same figures.

A bound stands here rather than where it is checked, so that a reader finds all of them on one page and a test can
compare the page with the documentation.
"""

import re
from typing import Final

# Amounts

AMOUNT_MICROS_MAX: Final = 10**15
"""One amount: a billion units. Nine thousand of them still fit an int64, so a batch's sum never overflows."""

CAP_MICROS_MAX: Final = 10**17
"""A cap, soft budget or allotment: a hundred billion units, ninety times below what an int64 can count."""

COUNTER_MICROS_MAX: Final = 9 * 10**18
"""What one budget can count in one cycle, spent and reserved together: just below what an int64 holds."""

UNIT_MIN_LENGTH: Final = 3
"""The shortest unit is an ISO 4217 code; `US` is a slip for `USD` and must not become a unit of its own."""

UNIT_MAX_LENGTH: Final = 32
"""Units are part of ledger indexes."""

# Labels

LABELS_MAX: Final = 16
"""Labels of a call, and of a selector: matching is linear in them, on the hot path."""

LABEL_KEY_MAX_BYTES: Final = 63
"""UTF-8 bytes; the length of a DNS label and of a Kubernetes label key."""

LABEL_VALUE_MAX_BYTES: Final = 255
"""UTF-8 bytes; long enough for a URL path or a model name, short enough for an index."""

# Budgets and organizations

BUDGETS_PER_ORGANIZATION_MAX: Final = 1_000
"""Every check looks at all of its organization's budgets to find those that match."""

GATES_PER_ORGANIZATION_MAX: Final = 100
"""Gates travel inside the Organization resource and are all looked at by every check."""

WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX: Final = 20
"""Every event is delivered once to each endpoint."""

ALERT_THRESHOLDS_MAX: Final = 10
"""Thresholds of a budget: one jump of spend may write this many alert rows in its transaction."""

ALERT_THRESHOLD_PERCENT_MIN: Final = 0
"""Zero percent is crossed by the first spend."""

ALERT_THRESHOLD_PERCENT_MAX: Final = 1_000
"""Ten times the budget; beyond that an alert tells nobody anything new."""

DEFAULT_ALERT_THRESHOLDS_PERCENT: Final = (50, 75, 90, 100)
"""What a budget that names no thresholds gets: the published default of the first REST face."""

DISPLAY_NAME_MAX_LENGTH: Final = 128
"""Characters; a display name has to fit a table column."""

MANAGED_BY_MAX_LENGTH: Final = 128
"""Characters; names the tool or repository that keeps a budget as code."""

OVERRIDE_REASON_MAX_LENGTH: Final = 512
"""Characters; one sentence for the audit log on why a temporary cap was set."""

API_KEYS_PER_ORGANIZATION_MAX: Final = 1_000
"""Live keys; every replica holds them in memory to notice a revocation within a second."""

# Ids

ID_PATTERN: Final = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
"""Ids that callers choose, matched whole (AIP-122): one DNS label, so that they stand in a URL unescaped."""

REQUEST_ID_PATTERN: Final = re.compile(r"[\x20-\x7e]{1,128}", re.ASCII)
"""Printable ASCII, 1 to 128 characters, matched whole: room for a UUID with a prefix, and for an index key."""

REQUEST_ID_MAX_LENGTH: Final = 128
"""The upper bound inside `REQUEST_ID_PATTERN`, for messages and schemas."""

# Forecasts

FORECAST_DAYS_MIN: Final = 3
"""Complete days with spend before there is a forecast: two have a mean, but hardly a scatter to tell its error by."""

FORECAST_SLOPE_DAYS_MIN: Final = 7
"""Days from which on the line may slope: over less than a week a slope is mostly the difference between weekdays."""

FORECAST_DAYS_MAX: Final = 366
"""Days that a forecast looks back, and ahead: a year, where a cycle has no end."""

# Retention

RECORD_RETENTION_MIN_DAYS: Final = 40
"""The shortest retention: a record may be backdated by 35 days, and its reservation be held for one more."""

# Reservations and records

RESERVATION_TTL_DEFAULT_SECONDS: Final = 300
"""Five minutes: longer than nearly every metered call, short enough that a crashed caller's hold is soon free."""

RESERVATION_TTL_MIN_SECONDS: Final = 1
"""Anything shorter could expire on the way back to its caller."""

RESERVATION_TTL_MAX_SECONDS: Final = 86_400
"""One day: work that runs longer extends its reservation, which proves that somebody is still there."""

OPEN_RESERVATIONS_PER_BUDGET_MAX: Final = 10_000
"""They are held in memory by the embedded store and read for the earliest expiry on a denial."""

USAGE_TIME_MAX_AGE_SECONDS: Final = 35 * 86_400
"""How far back a record may lie: a month's late invoice, and still at most one closed monthly cycle."""

CLOCK_SKEW_MAX_SECONDS: Final = 300
"""How far a caller's clock may run ahead of the ledger's; usage beyond it is refused as lying in the future."""

BATCH_MAX: Final = 1_000
"""Items of a batch call, and commands of one group commit: bounds how long one transaction holds its locks."""

# Calls

RECEIVE_MAX_BYTES: Final = 256 * 1024
"""A unary request; the largest honest one, an organization with all its gates, is a quarter of it."""

BATCH_RECEIVE_MAX_BYTES: Final = 1024 * 1024
"""A batch request: a thousand items of ordinary size."""

REST_BODY_MAX_BYTES: Final = 256 * 1024
"""An HTTP body, checked before it is parsed; JSON costs many times its size in memory."""

REST_BATCH_BODY_MAX_BYTES: Final = 1024 * 1024
"""An HTTP body of a batch method: the same as its gRPC form."""

JSON_DEPTH_MAX: Final = 64
"""Nesting of a JSON body; the deepest message of the contract has fewer than ten levels."""

DEADLINE_DEFAULT_SECONDS: Final = 5
"""For calls that bring no deadline, so that nothing waits in a queue for ever."""

DEADLINE_MAX_SECONDS: Final = 30
"""Longer deadlines are cut to this: nobody who waits longer still wants the answer."""

PAGE_SIZE_DEFAULT: Final = 50
"""Rows of a list answer when none is asked for (AIP-158)."""

PAGE_SIZE_MAX: Final = 1_000
"""More is answered with this many rows and a page token (AIP-158)."""

QUERY_ROWS_MAX: Final = 10_000
"""Rows of one QuerySpend answer: 35 days of hours with a dozen label values."""

QUERY_RANGE_MAX_SECONDS: Final = 366 * 86_400
"""The time that one QuerySpend may span: a leap year."""

QUERY_GROUP_LABELS_MAX: Final = 4
"""Labels that one QuerySpend may group by; rows multiply with each."""

ECHO_MAX_LENGTH: Final = 64
"""Characters of a caller's own input repeated in an error: enough to recognise it, too few to carry a payload."""

MOVED_NAMED_MAX: Final = 10
"""Resources that an outdated plan's error names: enough to see who moved, few enough for a trailer."""

VIOLATIONS_MAX: Final = 100
"""Field violations listed in one error. They travel in an HTTP/2 trailer, which clients cap at 8 KiB to 16 KiB."""

CHANGES_KEPT_MIN: Final = 10_000
"""Newest entries of an organization's log of changes that are always there. Who comes back later starts anew."""

WATCHERS_MAX: Final = 2_000
"""Streams of one server that watch budgets at once."""

WATCHER_BEHIND_MAX: Final = 1_000
"""Changes that wait for one watcher to read them; one that falls further behind is cut off."""

# Webhooks

WEBHOOK_URI_MAX_BYTES: Final = 2_048
"""What every browser, proxy and receiver takes."""

WEBHOOK_SECRET_MIN_BYTES: Final = 24
WEBHOOK_SECRET_MAX_BYTES: Final = 64
"""What Standard Webhooks asks of a signing secret."""

WEBHOOK_SECRET_OVERLAP_DEFAULT_SECONDS: Final = 86_400
"""How long two secrets sign after a rotation: a working day in every time zone."""

WEBHOOK_SECRET_OVERLAP_MAX_SECONDS: Final = 7 * 86_400
"""A secret that was rotated because it leaked must not sign for much longer."""

ENDPOINT_FAILING_MAX_SECONDS: Final = 5 * 86_400
"""After this long without one success an endpoint is disabled: a long weekend and the day after it."""

EVENTS_KEPT_SECONDS: Final = 30 * 86_400
"""How long events and what became of them are kept, to be looked at and replayed."""

REPLAYED_MAX: Final = 10_000
"""Dead deliveries that one call sends again: they become due in one transaction."""
