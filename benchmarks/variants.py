"""What is measured, and beside what."""

from dataclasses import dataclass
from enum import Enum


class Target(Enum):
    """What a load is put on."""

    ECHO = "echo"
    BARE_SQLITE = "bare SQLite"
    BARE_POSTGRES = "bare PostgreSQL"
    SQLITE = "SQLite"
    POSTGRES = "PostgreSQL"

    @property
    def needs_postgres(self) -> bool:
        return self in (Target.POSTGRES, Target.BARE_POSTGRES)

    @property
    def is_outlay(self) -> bool:
        return self in (Target.SQLITE, Target.POSTGRES)


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
    replicas: int = 1
    most_tenants: int = 3
    """Enough for all the checks that a trial can make; a fast trial ends when they are used up."""


ECHO_64 = "echo, 64 in flight"
ECHO_256 = "echo, 256 in flight"

VARIANTS = (
    Variant(ECHO_64, Target.ECHO, "grpc", 64, ECHO_64),
    Variant(ECHO_256, Target.ECHO, "grpc", 256, ECHO_256),
    Variant("check, SQLite, 64 in flight", Target.SQLITE, "grpc", 64, ECHO_64),
    Variant("check, SQLite, 256 in flight", Target.SQLITE, "grpc", 256, ECHO_256),
    Variant("check, PostgreSQL, 64 in flight", Target.POSTGRES, "grpc", 64, ECHO_64),
    Variant("check, PostgreSQL, 256 in flight", Target.POSTGRES, "grpc", 256, ECHO_256),
    Variant("check, PostgreSQL, two replicas, 64", Target.POSTGRES, "grpc", 64, ECHO_64, replicas=2),
    Variant("batches of 100, SQLite, 8 in flight", Target.SQLITE, "grpc", 8, ECHO_64, 100, most_tenants=12),
    Variant("batches of 100, PostgreSQL, 8", Target.POSTGRES, "grpc", 8, ECHO_64, 100, most_tenants=12),
    Variant("native REST check, SQLite, 64", Target.SQLITE, "http", 64, ECHO_64),
    Variant("bare UPDATE + INSERT, SQLite", Target.BARE_SQLITE, "sqlite", 1, ECHO_64, most_tenants=1),
    Variant("bare UPDATE + INSERT, PostgreSQL, 64", Target.BARE_POSTGRES, "postgres", 64, ECHO_64, most_tenants=1),
)


def chosen(words: list[str]) -> list[Variant]:
    """The variants whose names have one of the words in them, all for none; with those they are measured beside."""
    found = [
        variant for variant in VARIANTS if not words or any(word.lower() in variant.name.lower() for word in words)
    ]
    baselines = {variant.beside for variant in found}
    return [variant for variant in VARIANTS if variant in found or variant.name in baselines]
