"""`outlay spend`, `outlay alerts` and `outlay audit`."""

from support.command_line import Cli


def test_a_check_is_allowed_held_recorded_and_listed(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    allowed = (
        cli("spend", "check", "2.50", "--unit", "USD", *org, "--label", "model=large", "--ttl", "60s").ok().details
    )
    assert (allowed["decision"], allowed["granted"]) == ("ALLOWED", "2.50 USD")
    assert "2.50" in cli("spend", "held", *org).ok().out

    recorded = cli("spend", "record", "2.000001", "--reservation", allowed["reservation"], *org).ok().details
    assert (recorded["amount"], recorded["labels"]) == ("2.000001 USD", "model=large")
    assert cli("spend", "held", *org, "--output", "json").ok().json["reservations"] == []
    assert len(cli("spend", "held", *org, "--all", "--output", "json").ok().json["reservations"]) == 1

    listed = cli("spend", "list", *org, "--label", "model=lar*", "--output", "json").ok().json
    assert [record["amount_micros"] for record in listed["spend_records"]] == ["2000001"]
    assert cli("spend", "list", *org, "--label", "model=small", "--output", "json").ok().json["spend_records"] == []


def test_a_denial_exits_3_and_says_why_on_standard_output(cli: Cli, organization: str) -> None:
    """Neither 0 nor the 1 of an error, so that a script can tell "no" from "no answer"."""
    cli("budgets", "set", "spending", "--org", organization, "--hard-cap", "1").ok()
    denied = cli("spend", "check", "1.25", "--unit", "USD", "--org", organization)
    assert (denied.code, denied.err) == (3, "")
    expected = {"decision": "DENIED", "reason": "HARD_CAP_REACHED", "shortfall": "0.25 USD", "affordable": "1.00 USD"}
    assert {key: denied.details[key] for key in expected} == expected
    as_json = cli("spend", "check", "1.25", "--unit", "USD", "--org", organization, "--output", "json")
    assert (as_json.code, as_json.json["check"]["decision"]) == (3, "DECISION_DENIED")


def test_less_can_be_taken_where_the_amount_does_not_fit(cli: Cli, organization: str) -> None:
    cli("budgets", "set", "spending", "--org", organization, "--hard-cap", "1").ok()
    granted = cli("spend", "check", "5", "--min-amount", "0.01", "--unit", "USD", "--org", organization).ok()
    assert granted.details["granted"] == "1.00 USD"


def test_modes_hold_nothing_or_record_at_once(cli: Cli, organization: str) -> None:
    check = ("spend", "check", "1", "--unit", "USD", "--org", organization, "--mode")
    assert "reservation" not in cli(*check, "check-only").ok().details
    assert cli(*check, "record").ok().details["record"]
    spent = cli("budgets", "get", "spending", "--org", organization).ok().details
    assert (spent["spent"], spent["reserved"]) == ("1.00 USD", "0.00 USD")


def test_a_reservation_can_be_given_back(cli: Cli, organization: str) -> None:
    held = cli("spend", "check", "1", "--unit", "USD", "--org", organization).ok().details["reservation"]
    assert cli("spend", "release", held).ok().details["state"] == "released"
    again = cli("spend", "release", held)
    assert (again.code, again.err.split(":")[1]) == (1, " RESERVATION_CLOSED")


def test_a_record_can_be_refunded_in_part_and_listed_with_its_sign(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    name = cli("spend", "record", "3", "--unit", "USD", *org).ok().details["name"]
    refund = cli("spend", "refund", name, "--amount", "1.25", *org).ok().details
    assert (refund["kind"], refund["refunds"]) == ("refund", name)
    amounts = [line.split()[3] for line in cli("spend", "list", *org).ok().out.splitlines()[1:]]
    assert amounts == ["-1.25", "3.00"]
    assert cli("budgets", "get", "spending", *org).ok().details["spent"] == "1.75 USD"


def test_the_same_request_id_records_once(cli: Cli, organization: str) -> None:
    record = ("spend", "record", "3", "--unit", "USD", "--org", organization, "--request-id", "invoice-7")
    assert cli(*record).ok().out == cli(*record).ok().out
    other = cli(*("spend", "record", "4", "--unit", "USD", "--org", organization, "--request-id", "invoice-7"))
    assert (other.code, other.err.split(":")[1]) == (1, " REQUEST_ID_REUSED")


def test_sums_are_broken_down_by_label(cli: Cli, organization: str) -> None:
    for amount, model in (("1", "small"), ("2", "large"), ("4", "large")):
        cli("spend", "record", amount, "--unit", "USD", "--org", organization, "--label", f"model={model}").ok()
    query = ("spend", "query", "--org", organization, "--unit", "USD", "--group-by", "model")
    rows = [line.split()[1:] for line in cli(*query).ok().out.splitlines()]
    assert rows == [
        ["MODEL", "SPENT", "REFUNDED", "RECORDS"],
        ["large", "6.00", "0.00", "2"],
        ["small", "1.00", "0.00", "1"],
    ]
    as_json = cli(*query, "--by", "hour", "--output", "json").ok().json["rows"]
    assert [(row["labels"], row["spent_micros"]) for row in as_json] == [
        ({"model": "large"}, "6000000"),
        ({"model": "small"}, "1000000"),
    ]


def test_records_of_a_period_are_half_open(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    counts_at = cli("spend", "record", "1", "--unit", "USD", *org).ok().details["counts at"]

    def count(*arguments: str) -> int:
        return len(cli("spend", "list", *org, *arguments, "--output", "json").ok().json["spend_records"])

    assert (count("--since", counts_at), count("--until", counts_at)) == (1, 0)


def test_alerts_are_listed_newest_first(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    cli("budgets", "set", "spending", *org, "--budget", "10", "--alert-thresholds", "50,100").ok()
    for _ in range(2):
        cli("spend", "record", "5", "--unit", "USD", *org).ok()
    rows = [line.split()[1:] for line in cli("alerts", "list", *org, "--budget", "spending").ok().out.splitlines()]
    assert rows[1:] == [
        ["spending", "100", "%", "budget", "10.00", "10.00"],
        ["spending", "50", "%", "budget", "5.00", "10.00"],
    ]
    assert cli("alerts", "list", *org, "--budget", "credits", "--output", "json").ok().json["alerts"] == []


def test_a_change_by_this_command_is_audited_as_such(cli: Cli, organization: str) -> None:
    cli("budgets", "set", "spending", "--org", organization, "--hard-cap", "5").ok()
    listed = ("audit", "list", "--org", organization, "--action", "budget.updated")
    events = cli(*listed, "--output", "json").ok().json["audit_events"]
    assert [(event["source"], event["actor"]) for event in events] == [("cli", "platform")]
    row = cli(*listed).ok().out.splitlines()[1]
    assert "budgets/spending" in row
    assert row.endswith("hard_cap_enabled, hard_cap_micros")
    name = f"organizations/{organization}/budgets/credits"
    assert cli(*listed, "--resource", name, "--output", "json").ok().json["audit_events"] == []
    assert cli(*listed, "--until", "2020-01-01", "--output", "json").ok().json["audit_events"] == []
