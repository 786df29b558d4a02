"""What one writes without us: FastAPI, SQLAlchemy and PostgreSQL, one transaction a check.

Ours, so no straw man: uvloop and httptools, a row lock instead of a race, the request's id unique. It has no keys, no
labels and no cycles, which is to its favour. `/unlocked-checks` is the other thing one
sees: read, compare, do the work, add.

`python -m benchmarks.rivals.one_transaction URL` runs in an environment of its own and needs nothing of ours.
"""

import asyncio
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import BigInteger, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CONNECTIONS = 16


class Base(DeclarativeBase):
    """The tables of the bare store (`benchmarks.loads.postgres`), so that its books read them too."""


class Budget(Base):
    """A cap and its counter."""

    __tablename__ = "budgets"
    id: Mapped[str] = mapped_column(primary_key=True)
    cap: Mapped[int] = mapped_column(BigInteger)
    reserved: Mapped[int] = mapped_column(BigInteger, default=0)


class Reservation(Base):
    """One admitted check."""

    __tablename__ = "reservations"
    id: Mapped[str] = mapped_column(primary_key=True)
    budget: Mapped[str]
    micros: Mapped[int] = mapped_column(BigInteger)


class Check(BaseModel):
    """What is asked."""

    budget: str
    micros: int
    request_id: str


class Answer(BaseModel):
    """What is answered."""

    allowed: bool


def create_app(url: str) -> FastAPI:
    engine = create_async_engine(url, pool_size=CONNECTIONS, max_overflow=0)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    app = FastAPI()

    async def check(asked: Check) -> Answer:
        async with sessions.begin() as session:
            budget = await session.get(Budget, asked.budget, with_for_update=True)
            if budget is None or budget.reserved + asked.micros > budget.cap:
                return Answer(allowed=False)
            budget.reserved += asked.micros
            _insert(session, asked)
        return Answer(allowed=True)

    async def check_unlocked(asked: Check) -> Answer:
        async with sessions.begin() as session:
            row = (await session.execute(select(Budget.cap, Budget.reserved).where(Budget.id == asked.budget))).one()
        if row.reserved + asked.micros > row.cap:
            return Answer(allowed=False)
        # Here the work would be done.
        async with sessions.begin() as session:
            await session.execute(
                update(Budget).where(Budget.id == asked.budget).values(reserved=Budget.reserved + asked.micros)
            )
            _insert(session, asked)
        return Answer(allowed=True)

    async def create_tables() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)

    app.add_api_route("/checks", check, methods=["POST"], response_model=Answer)
    app.add_api_route("/unlocked-checks", check_unlocked, methods=["POST"], response_model=Answer)
    app.state.create_tables = create_tables
    return app


def _insert(session: AsyncSession, asked: Check) -> None:
    session.add(Reservation(id=asked.request_id, budget=asked.budget, micros=asked.micros))


async def serve(url: str) -> None:
    app = create_app(url)
    await app.state.create_tables()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it has no event to wait for
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(f"HTTP 127.0.0.1:{port}\nready", flush=True)
    await serving


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(sys.argv[1].replace("postgresql://", "postgresql+asyncpg://")))
