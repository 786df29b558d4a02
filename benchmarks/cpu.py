"""CPU time of processes, from /proc. Its unit is the kernel's tick, mostly 10 ms: trials must be longer than that."""

import os
import resource
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    # After the name, which is in parentheses and may hold anything.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of all threads of these processes, and of children that they have waited for."""
    ticks = 0
    for pid in pids:
        try:
            ticks += sum(int(value) for value in _fields(pid)[11:15])
        except OSError:
            continue
    return ticks / _TICKS_PER_SECOND


def tree(roots: Iterable[int]) -> list[int]:
    """These processes and all that descend from them now."""
    wanted = set(roots)
    if not wanted:
        return []
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_fields(int(entry.name))[1])
            except OSError:
                continue
    found: set[int] = set()
    while wanted:
        found |= wanted
        wanted = {pid for pid, parent in parents.items() if parent in found} - found
    return sorted(found)


def own_cpu_seconds() -> float:
    """Of this process and of children that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
