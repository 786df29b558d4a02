"""When the process is asked to end."""

import asyncio
import signal


def stop_requests() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets. The second of them ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def request() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, request)
    return stop
