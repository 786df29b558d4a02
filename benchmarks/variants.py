"""What is measured, and beside what."""

from dataclasses import dataclass
from enum import Enum, auto

from benchmarks.trial import Expects


class Target(Enum):
    """What a load is put on."""

    ECHO = auto()
    BARE_SQLITE = auto()
    BARE_POSTGRES = auto()
    SQLITE = auto()
    UNGROUPED_SQLITE = auto()
    POSTGRES = auto()
    TWO_REPLICAS = auto()
    UNGROUPED_POSTGRES = auto()
    REDIS_SCRIPT_ALWAYS = auto()
    REDIS_SCRIPT_EVERYSEC = auto()
    GOVERNOR_ALWAYS = auto()
    GOVERNOR_EVERYSEC = auto()
    HARDCAP = auto()
    LITELLM = auto()
    ONE_TRANSACTION = auto()

    @property
    def needs_postgres(self) -> bool:
        return self in _ON_POSTGRES

    @property
    def needs_redis(self) -> bool:
        return self in _ON_REDIS

    @property
    def environment(self) -> str:
        """The rival's environment (`benchmarks.rivals.environments`); empty for what is ours."""
        return _ENVIRONMENTS.get(self, "")


_ON_POSTGRES = {
    Target.BARE_POSTGRES,
    Target.POSTGRES,
    Target.TWO_REPLICAS,
    Target.UNGROUPED_POSTGRES,
    Target.ONE_TRANSACTION,
}
_ON_REDIS = {
    Target.REDIS_SCRIPT_ALWAYS,
    Target.REDIS_SCRIPT_EVERYSEC,
    Target.GOVERNOR_ALWAYS,
    Target.GOVERNOR_EVERYSEC,
    Target.HARDCAP,
}
_ENVIRONMENTS = {
    Target.REDIS_SCRIPT_ALWAYS: "redis",
    Target.REDIS_SCRIPT_EVERYSEC: "redis",
    Target.GOVERNOR_ALWAYS: "governor",
    Target.GOVERNOR_EVERYSEC: "governor",
    Target.HARDCAP: "hardcap",
    Target.LITELLM: "litellm",
    Target.ONE_TRANSACTION: "fastapi",
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of the table."""

    name: str
    target: Target
    load: str
    """A module of `benchmarks.loads`."""
    in_flight: int
    beside: str
    """The variant whose checks per second, in the same round, are 1.00."""
    batch_size: int = 0
    most_tenants: int = 3
    """Enough for all the checks that a trial can make; a fast trial ends when they are used up."""
    spread: bool = False
    """Over a thousand organizations, in turn."""
    expects: Expects = "admissions"
    short: bool = False
    """Also in the short run."""

    @property
    def in_rival_environment(self) -> bool:
        """Whether the load itself needs the rival's packages."""
        return self.load in ("redis_script", "governor")


ECHO_64 = "echo, 64 in flight"
ECHO_256 = "echo, 256 in flight"
ECHO_H2LOAD = "echo, h2load, 64"

_ECHO = (
    Variant(ECHO_64, Target.ECHO, "grpc", 64, ECHO_64, short=True),
    Variant(ECHO_256, Target.ECHO, "grpc", 256, ECHO_256, short=True),
    Variant(ECHO_H2LOAD, Target.ECHO, "h2load", 64, ECHO_H2LOAD),
)
_ON_SQLITE = (
    Variant("check, SQLite, 64 in flight", Target.SQLITE, "grpc", 64, ECHO_64, short=True),
    Variant("check, SQLite, 256 in flight", Target.SQLITE, "grpc", 256, ECHO_256, short=True),
    Variant("denial, SQLite, 64", Target.SQLITE, "grpc", 64, ECHO_64, expects="denials", short=True),
    Variant("check, SQLite, 1,000 organizations, 64", Target.SQLITE, "grpc", 64, ECHO_64, spread=True),
    Variant("check, SQLite, h2load, 64", Target.SQLITE, "h2load", 64, ECHO_H2LOAD, most_tenants=1),
    Variant("batches of 100, SQLite, 8 in flight", Target.SQLITE, "grpc", 8, ECHO_64, 100, 20, short=True),
    Variant("batches of 1,000, SQLite, 4 in flight", Target.SQLITE, "grpc", 4, ECHO_64, 1_000, 30),
    Variant("coalescing SDK, SQLite, 64 tasks", Target.SQLITE, "sdk", 64, ECHO_64, most_tenants=20, short=True),
    Variant("lease of the SDK, SQLite, 1 task", Target.SQLITE, "lease", 1, ECHO_64, most_tenants=1, short=True),
    Variant("native REST check, SQLite, 64", Target.SQLITE, "http", 64, ECHO_64, short=True),
    Variant("one transaction a check, SQLite, 64", Target.UNGROUPED_SQLITE, "grpc", 64, ECHO_64, short=True),
    Variant("one transaction a check, SQLite, 256", Target.UNGROUPED_SQLITE, "grpc", 256, ECHO_256),
)
_ON_POSTGRESQL = (
    Variant("check, PostgreSQL, 64 in flight", Target.POSTGRES, "grpc", 64, ECHO_64, short=True),
    Variant("check, PostgreSQL, 256 in flight", Target.POSTGRES, "grpc", 256, ECHO_256),
    Variant("denial, PostgreSQL, 64", Target.POSTGRES, "grpc", 64, ECHO_64, expects="denials"),
    Variant("check, PostgreSQL, 1,000 organizations, 64", Target.POSTGRES, "grpc", 64, ECHO_64, spread=True),
    Variant("check, PostgreSQL, h2load, 64", Target.POSTGRES, "h2load", 64, ECHO_H2LOAD, most_tenants=1),
    Variant("batches of 100, PostgreSQL, 8 in flight", Target.POSTGRES, "grpc", 8, ECHO_64, 100, 20, short=True),
    Variant("batches of 1,000, PostgreSQL, 4 in flight", Target.POSTGRES, "grpc", 4, ECHO_64, 1_000, 30),
    Variant("coalescing SDK, PostgreSQL, 64 tasks", Target.POSTGRES, "sdk", 64, ECHO_64, most_tenants=20),
    Variant("lease of the SDK, PostgreSQL, 1 task", Target.POSTGRES, "lease", 1, ECHO_64, most_tenants=1),
    Variant("native REST check, PostgreSQL, 64", Target.POSTGRES, "http", 64, ECHO_64),
    Variant("check, two replicas, 64 in flight", Target.TWO_REPLICAS, "grpc", 64, ECHO_64, short=True),
    Variant("check, two replicas, 256 in flight", Target.TWO_REPLICAS, "grpc", 256, ECHO_256),
    Variant("check, two replicas, 1,000 organizations, 64", Target.TWO_REPLICAS, "grpc", 64, ECHO_64, spread=True),
    Variant("one transaction a check, PostgreSQL, 64", Target.UNGROUPED_POSTGRES, "grpc", 64, ECHO_64),
)
_BARE = (
    Variant("bare UPDATE + INSERT, SQLite", Target.BARE_SQLITE, "sqlite", 1, ECHO_64, short=True),
    Variant("bare UPDATE + INSERT, PostgreSQL, 64", Target.BARE_POSTGRES, "postgres", 64, ECHO_64, short=True),
)
_RIVALS = (
    Variant("rival: FastAPI + SQLAlchemy + PostgreSQL, 64", Target.ONE_TRANSACTION, "one_transaction", 64, ECHO_64),
    Variant("rival: redis-py script, AOF always, 64", Target.REDIS_SCRIPT_ALWAYS, "redis_script", 64, ECHO_64),
    Variant("rival: redis-py script, AOF everysec, 64", Target.REDIS_SCRIPT_EVERYSEC, "redis_script", 64, ECHO_64),
    Variant("rival: mcp-budget-governor, AOF always, 64", Target.GOVERNOR_ALWAYS, "governor", 64, ECHO_64),
    Variant("rival: mcp-budget-governor, AOF everysec, 64", Target.GOVERNOR_EVERYSEC, "governor", 64, ECHO_64),
    Variant("rival: hardcap gateway, 64", Target.HARDCAP, "completion", 64, ECHO_64),
    Variant("rival: LiteLLM proxy, 64", Target.LITELLM, "completion", 64, ECHO_64),
)

VARIANTS = (*_ECHO, *_ON_SQLITE, *_ON_POSTGRESQL, *_BARE, *_RIVALS)
"""By target: one that is measured is not beside another that is idle."""


def chosen(words: list[str], *, short: bool = False) -> list[Variant]:
    """The variants whose names have one of the words in them, all for none; with those they are measured beside."""
    found = [
        variant
        for variant in VARIANTS
        if any(word.lower() in variant.name.lower() for word in words) or (not words and (variant.short or not short))
    ]
    baselines = {variant.beside for variant in found}
    return [variant for variant in VARIANTS if variant in found or variant.name in baselines]
