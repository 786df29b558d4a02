"""The published REST shape of spending caps, called as its own documentation calls it."""

from typing import Any, Final

import httpx2

from outlay_cli.errors import CommandFailed

PATH: Final = "/v1/organizations/billing/spending-caps"

SOFT_BUDGET: Final[dict[str, Any]] = {
    "monthly_spending_budget": 10000,
    "spending_alert_thresholds": [75, 100],
    "spending_alerts_enabled": True,
}
"""$100 a month, alerts at 75 and 100 percent."""

HARD_CAP: Final = {"hard_spending_cap": 50000, "hard_cap_enabled": True}
"""$500, enforced."""

NO_LIMITS: Final = {"monthly_spending_budget": None, "hard_spending_cap": None, "hard_cap_enabled": False}
"""Every limit off."""


class BillingFace:
    """`GET` and `POST` on the caps of the organization whose key is used."""

    def __init__(self, http_url: str, api_key: str) -> None:
        self._client = httpx2.AsyncClient(base_url=http_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=10)

    async def get(self) -> dict[str, Any]:
        return _content(await self._client.get(PATH))

    async def post(self, body: dict[str, Any]) -> dict[str, Any]:
        return _content(await self._client.post(PATH, json=body))

    async def close(self) -> None:
        await self._client.aclose()


def _content(response: httpx2.Response) -> dict[str, Any]:
    if response.status_code != httpx2.codes.OK:
        raise CommandFailed(f"{PATH} answered {response.status_code}: {response.text}")
    content: dict[str, Any] = response.json()
    return content
