"""The application with scripted answers."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from outlay_rest import create_app
from rest.script import KEY, Script


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def client(script: Script) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(script, script.stream, ready=lambda: True, version="1.2.3")
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://outlay", headers={"authorization": KEY}
    ) as made:
        yield made
