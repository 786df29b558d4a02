"""Telling who watches budgets of every change."""

from outlay_server.watch.hub import Watcher, WatchHub

__all__ = ["WatchHub", "Watcher"]
