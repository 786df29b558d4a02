"""The provider `outlay`: its settings, and everything that it offers."""

import os
import threading
from collections.abc import Mapping
from typing import Final

from outlay_client.connection import SettingsError, connection
from outlay_terraform import failures
from outlay_terraform.data.budgets import BudgetData, BudgetsData
from outlay_terraform.data.spend import SpendData
from outlay_terraform.framework.contracts import DataSource, Function, Resource
from outlay_terraform.framework.diagnostics import Failure, Path, error
from outlay_terraform.framework.lifecycle import Lifecycle
from outlay_terraform.framework.schema import Attribute, Mode, Schema
from outlay_terraform.framework.types import BOOL, STRING
from outlay_terraform.framework.values import Values
from outlay_terraform.functions import Usd
from outlay_terraform.resources.budget import Budget
from outlay_terraform.resources.gate import Gate
from outlay_terraform.resources.organization import Organization
from outlay_terraform.resources.webhook_endpoint import WebhookEndpoint
from outlay_terraform.service import PATIENCE_SECONDS, Service

ADDRESS: Final = "registry.terraform.io/outlay/outlay"
"""What a configuration's `source = "outlay/outlay"` stands for."""

_RESOURCES: Final[tuple[Resource[Service], ...]] = (Organization(), Budget(), Gate(), WebhookEndpoint())
_DATA_SOURCES: Final[tuple[DataSource[Service], ...]] = (BudgetData(), BudgetsData(), SpendData())
_FUNCTIONS: Final[tuple[Function, ...]] = (Usd(),)


class OutlayProvider:
    """Caps as code: each change is made through the service's API, under the manager `terraform`."""

    schema = Schema(
        "Keeps the spend caps of [Outlay](https://outlay.dev) as code: organizations, budgets, gates and"
        " webhook endpoints. No secret goes into the state.",
        (
            Attribute(
                name="endpoint",
                type=STRING,
                mode=Mode.OPTIONAL,
                description="Where the service is: `host:port`, `https://host:port` or `http://host:port`. Default:"
                " `OUTLAY_ENDPOINT`, else `127.0.0.1:50051`.",
            ),
            Attribute(
                name="api_key",
                type=STRING,
                mode=Mode.OPTIONAL,
                sensitive=True,
                description="The API key. Default: `OUTLAY_API_KEY`, or the file that `OUTLAY_API_KEY_FILE` names."
                " Better there than in a file that is committed. Organizations and gates take the platform key,"
                " budgets a key with `budgets:write` and `budgets:read`.",
            ),
            Attribute(
                name="ca_file",
                type=STRING,
                mode=Mode.OPTIONAL,
                description="PEM file of the authority that signed the service's certificate. Default:"
                " `OUTLAY_CA_FILE`, else the authorities that gRPC trusts.",
            ),
            Attribute(
                name="insecure",
                type=BOOL,
                mode=Mode.OPTIONAL,
                description="Whether to send the API key without TLS to another machine. Default:"
                " `OUTLAY_ALLOW_PLAINTEXT`, else `false`.",
            ),
        ),
    )

    def __init__(
        self, *, patience_seconds: float = PATIENCE_SECONDS, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.resources = {each.type_name: each for each in _RESOURCES}
        self.data_sources = {each.type_name: each for each in _DATA_SOURCES}
        self.functions = {each.name: each for each in _FUNCTIONS}
        self._patience_seconds = patience_seconds
        self._environment = environment
        self._hurried = threading.Event()

    def connect(self, config: Values) -> Service:
        # A provider that is configured again serves another run.
        self._hurried.clear()
        try:
            where = connection(
                config["endpoint"],
                config["api_key"],
                ca_file=config["ca_file"] or None,
                allow_plaintext=config["insecure"],
                environment=self._environment,
            )
        except SettingsError as wrong:
            # In the words of the provider's block.
            text = str(wrong).replace("allow_plaintext", "insecure")
            raise Failure(error("The provider cannot be configured", text, _at_fault(text))) from None
        return Service(where, hurried=self._hurried, patience_seconds=self._patience_seconds)

    def failure(self, raised: Exception, resource: Resource[Service] | None) -> Failure | None:
        return failures.told(raised, resource.path_of if resource is not None else lambda _field: ())

    def hurry(self) -> None:
        self._hurried.set()


def _at_fault(complaint: str) -> Path:
    """Which setting the SDK complains of."""
    if complaint.startswith(("there is no API key", "the API key")) or "API_KEY" in complaint:
        return ("api_key",)
    return ("ca_file",) if "cannot be read" in complaint else ("endpoint",)


def new_lifecycle() -> Lifecycle[Service]:
    """A provider that is ready to be configured."""
    return Lifecycle(OutlayProvider())
