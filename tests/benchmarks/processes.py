"""What the processes of a service on this machine hold and spend, by /proc."""

import os
from pathlib import Path

__all__ = ["cpu_seconds", "rss_mib", "serving_processes"]

_NAMES = {
    "ray::ServeReplica:micromodels:Ingress": "ingress",
    "ray::ServeReplica:micromodels:Host": "host",
    "ray::ServeReplica:plain:": "plain",
    "ray::ServeReplica:bare:": "bare",
    "ray::ProxyActor": "proxy",
    "bin/haproxy": "proxy",  # in front of the replicas where RAY_SERVE_ENABLE_HA_PROXY=1
    "ray::HAProxyManager": "proxy",
    "ray::ServeController": "controller",
}
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


def serving_processes() -> dict[int, str]:
    """Process id -> what it is, of the Ray that this process started; several of a kind are told apart by number."""
    found: dict[int, str] = {}
    for pid in sorted(_below(os.getpid())):
        words = _read(pid, "cmdline")
        kind = next((kind for name, kind in _NAMES.items() if name in words), None)
        if kind is not None:
            same = sum(name.rstrip("0123456789 ") == kind for name in found.values())
            found[pid] = kind if not same else f"{kind} {same + 1}"
    return found


def rss_mib(pid: int) -> float:
    """Of memory that it has in RAM, shared pages too; 0 once it is gone."""
    words = _read(pid, "statm").split()
    return int(words[1]) * _PAGE_MIB if words else 0.0


def cpu_seconds(pid: int) -> float:
    """Spent by all of its threads so far, in the system too; 0 once it is gone."""
    words = _read(pid, "stat").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS if words else 0.0


def _below(pid: int) -> list[int]:
    threads = (task.name for task in Path(f"/proc/{pid}/task").glob("*"))
    children = [int(child) for thread in threads for child in _read(pid, f"task/{thread}/children").split()]
    return [*children, *(one for child in children for one in _below(child))]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
