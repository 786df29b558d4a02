"""OUTLAY_RECORD_RETENTION, and the rounds that it starts."""

import asyncio
import logging

import pytest

from outlay_server.domain.errors import StorageUnavailable
from outlay_server.server import retention
from outlay_server.server.retention import Retention
from outlay_server.server.settings import Settings, SettingsInvalid


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTLAY_RECORD_RETENTION", raising=False)


def test_without_it_everything_is_kept() -> None:
    assert Settings.load().record_retention_seconds is None


def test_it_is_a_number_of_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAY_RECORD_RETENTION", "400d")
    assert Settings.load().record_retention_seconds == 400 * 86_400


@pytest.mark.parametrize("text", ["400", "39d", "0d", "-400d", "40.5d", "400 d", "1y", "forever", "٤٠d", "100000d"])
def test_anything_else_is_refused_with_what_is_meant(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A slip here would delete the ledger, so nothing is guessed."""
    monkeypatch.setenv("OUTLAY_RECORD_RETENTION", text)
    with pytest.raises(SettingsInvalid) as failure:
        Settings.load()
    assert failure.value.errors == ("OUTLAY_RECORD_RETENTION: must be a number of days from 40d on, such as 400d",)


class DeadStore:
    """Answers nothing."""

    def __init__(self) -> None:
        self.asked = 0
        self.asked_three_times = asyncio.Event()

    async def read(self, work: object) -> object:
        self.asked += 1
        if self.asked == 3:
            self.asked_three_times.set()
        raise StorageUnavailable


async def test_nothing_is_asked_of_the_store_where_everything_is_kept() -> None:
    store = DeadStore()
    await Retention(store, None).run()  # type: ignore[arg-type]
    assert await Retention(store, None).round() == {"reservations": 0, "records": 0, "alerts": 0}  # type: ignore[arg-type]
    assert store.asked == 0


async def test_a_round_that_fails_is_followed_by_the_next(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is away puts it off and ends nothing."""
    monkeypatch.setattr(retention, "FIRST_ROUND_SECONDS", 0)
    monkeypatch.setattr(retention, "ROUND_SECONDS", 0)
    store = DeadStore()
    task = asyncio.create_task(Retention(store, 86_400).run())  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        await store.asked_three_times.wait()
    task.cancel()
    assert "pruning was put off" in caplog.text
