"""Webhook endpoints in files: made, changed, adopted, deleted, and their secrets never shown."""

import uuid

import pytest

from support.command_line import Ran
from sync.conftest import CommandLine

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
SLACK = "https://hooks.slack.example/services/T000/B000/very-secret-path"


@pytest.fixture(scope="session")
def backend() -> str:
    """What the service stores in makes no difference to these calls: once is enough."""
    return "sqlite"


@pytest.fixture
def acme(outlay: CommandLine) -> str:
    id = f"org-{uuid.uuid4().hex[:12]}"
    outlay("orgs", "create", id).ok()
    return id


def hooks(organization: str, *endpoints: str) -> str:
    """A file of an organization; each endpoint is `id: fields`."""
    items = ", ".join(f"\n  {{webhook_endpoint_id: {endpoint.replace(':', ',', 1)}}}" for endpoint in endpoints)
    return f"organization: {organization}\nwebhook_endpoints: [{items}]\n"


def endpoint(outlay: CommandLine, organization: str, id: str) -> dict[str, object]:
    listed = outlay("webhooks", "list", "--org", organization, "--output", "json").ok().json["webhook_endpoints"]
    (found,) = [one for one in listed if one["name"].endswith(f"/{id}")]
    assert isinstance(found, dict)
    return found


def test_endpoints_are_made_changed_and_deleted(outlay: CommandLine, acme: str) -> None:
    """Each step plans something, and nothing afterwards; what is absent from the file is left alone."""
    outlay.write("a.yaml", hooks(acme, 'ops: uri: "https://example.com/hook", secretFrom: {env: OUTLAY_HOOK_SECRET}'))
    assert outlay("plan").code == 2, "a plan is made without the secret"
    lacking = outlay("apply")
    assert (lacking.code, "the environment variable OUTLAY_HOOK_SECRET is not set" in lacking.err) == (1, True)
    made = outlay("apply", HOOK_SECRET=SECRET).ok()
    assert made.out.startswith(f"organizations/{acme}\n  + webhookEndpoints/ops  a.yaml:3:3\n")
    assert outlay("plan").ok().out == "No changes.\n"
    assert endpoint(outlay, acme, "ops")["managed_by"] == "yaml:caps"

    outlay("webhooks", "update", "ops", "--org", acme, "--display-name", "Operators", "--override-manager")
    outlay.write(
        "a.yaml", hooks(acme, 'ops: uri: "https://example.com/hook", event_types: [cap.reached], disabled: true')
    )
    assert "event_types  [] -> [cap.reached]" in outlay("plan").out
    outlay("apply").ok()
    assert outlay("plan").ok().out == "No changes.\n"
    found = endpoint(outlay, acme, "ops")
    assert (found["event_types"], found["disabled"]) == (["cap.reached"], True)

    outlay.write("a.yaml", hooks(acme))
    kept = outlay("plan")
    assert (kept.code, f"organizations/{acme}/webhookEndpoints/ops" in kept.out) == (0, True)
    outlay("apply", "--prune").ok()
    assert outlay("webhooks", "list", "--org", acme, "--output", "json").json["webhook_endpoints"] == []


def test_a_uri_that_is_a_secret_is_nowhere_shown(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", hooks(acme, "slack: uriFrom: {env: OUTLAY_SLACK}, format: SLACK"))
    unset = outlay("plan")
    assert unset.code == 1
    assert unset.err.endswith(f"{acme}/webhookEndpoints/slack: the environment variable OUTLAY_SLACK is not set\n")
    shown: list[Ran] = [
        *(outlay("plan", "--output", form, SLACK=SLACK) for form in ("text", "json", "markdown", "github")),
        outlay("plan", "--out", "plan.json", SLACK=SLACK),
        outlay("apply", "plan.json", SLACK=SLACK),
    ]
    assert shown[-1].code == 0
    assert "very-secret-path" not in "".join(ran.out + ran.err for ran in shown)
    assert "very-secret-path" not in (outlay.folder / "plan.json").read_text()
    assert endpoint(outlay, acme, "slack")["uri"] == SLACK
    assert outlay("plan", SLACK=SLACK).ok().out == "No changes.\n"
    exported = outlay("export", acme, "-o", "caps")
    assert exported.err == (
        f"Set OUTLAY_SLACK_URI to the URI of organizations/{acme}/webhookEndpoints/slack: it opens its receiver.\n"
    )
    assert "very-secret-path" not in (outlay.folder / "caps" / f"{acme}.yaml").read_text()
    assert outlay("plan", "-f", "caps", SLACK_URI=SLACK).ok().out == "No changes.\n"


def test_what_exists_is_adopted_only_when_asked(outlay: CommandLine, acme: str) -> None:
    outlay("webhooks", "create", "ops", "https://example.com/hook", "--org", acme).ok()
    outlay("export", acme, "-o", "caps").ok()
    assert outlay("plan", "-f", "caps").ok().out == "No changes.\n"
    file = outlay.folder / "caps" / f"{acme}.yaml"
    file.write_text(file.read_text().replace("/hook", "/other"))
    refused = outlay("apply", "-f", "caps")
    assert (refused.code, "--adopt" in refused.err) == (1, True)
    outlay("apply", "-f", "caps", "--adopt").ok()
    assert endpoint(outlay, acme, "ops")["uri"] == "https://example.com/other"
    outlay.write("b.yaml", hooks(acme, 'ops: uri: "https://example.com/b"'))
    foreign = outlay("apply", "-f", "b.yaml", "--source", "other")
    assert (foreign.code, "--force" in foreign.err) == (1, True)
    outlay("apply", "-f", "b.yaml", "--source", "other", "--force").ok()
    assert endpoint(outlay, acme, "ops")["managed_by"] == "yaml:other"


def test_drift_of_an_endpoint_names_who_moved_it(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", hooks(acme, 'ops: uri: "https://example.com/hook", disabled: false'))
    outlay("apply").ok()
    assert outlay("drift").code == 0
    outlay("webhooks", "delete", "ops", "--org", acme, "--override-manager", "--yes").ok()
    drifted = outlay("drift")
    assert drifted.code == 2
    assert "changed outside by platform (cli) at" in drifted.out


def test_what_the_service_refuses_is_told_at_its_line(outlay: CommandLine, acme: str) -> None:
    """Which addresses are acceptable is a setting of the service."""
    outlay.write("a.yaml", hooks(acme, 'ops: uri: "https://127.0.0.1/x"'))
    ran = outlay("plan")
    assert ran.code == 1
    assert ran.err.startswith(f"a.yaml:3:35: organizations/{acme}/webhookEndpoints/ops: uri: must not be a private")
    outlay.write("a.yaml", hooks(acme, 'ops: uri: "ftp://example.com/x"'))
    assert outlay("validate", "a.yaml").out == "a.yaml:3:35: webhook_endpoints[0].uri: must be https\n"


def test_a_secret_that_was_rotated_is_planned_and_one_that_is_not_at_hand_is_left(
    outlay: CommandLine, acme: str
) -> None:
    """A pull request is planned without the secrets; who has them sees whether they are those of the service."""
    outlay.write("a.yaml", hooks(acme, 'ops: uri: "https://example.com/hook", secretFrom: {env: OUTLAY_S}'))
    outlay("apply", S=SECRET).ok()
    assert outlay("plan").ok().out == "No changes.\n"
    assert outlay("plan", S=SECRET).ok().out == "No changes.\n"
    other = SECRET.replace("QUJD", "QUJE")
    rotated = outlay("plan", S=other)
    assert (rotated.code, "secret  set -> replaced" in rotated.out) == (2, True)
    assert SECRET not in rotated.out
    assert other not in rotated.out
    outlay("apply", S=other).ok()
    assert outlay("plan", S=other).ok().out == "No changes.\n"


def test_a_new_organization_is_made_with_its_endpoints(outlay: CommandLine) -> None:
    id = f"new{uuid.uuid4().hex[:12]}"
    outlay.write("a.yaml", hooks(id, 'ops: uri: "https://example.com/hook"'))
    outlay("plan", "--out", "plan.json")
    outlay("apply", "plan.json").ok()
    assert endpoint(outlay, id, "ops")["managed_by"] == "yaml:caps"
    assert outlay("plan").ok().out == "No changes.\n"


def test_a_saved_plan_is_refused_where_the_endpoint_moved(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", hooks(acme, 'ops: uri: "https://example.com/hook"'))
    outlay("apply").ok()
    outlay.write("a.yaml", hooks(acme, 'ops: uri: "https://example.com/new"'))
    outlay("plan", "--out", "plan.json")
    outlay("webhooks", "disable", "ops", "--org", acme, "--override-manager").ok()
    refused = outlay("apply", "plan.json")
    assert refused.code == 1
    assert f"organizations/{acme}/webhookEndpoints/ops was changed by platform (cli) at" in refused.err
