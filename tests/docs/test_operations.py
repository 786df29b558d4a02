"""`docs/operations.md` names the metrics that a server has, and no others."""

import re
import urllib.request

from docs import tables
from support.server import ServerProcess


def test_the_metrics_are_those_of_a_live_server(server: ServerProcess) -> None:
    with urllib.request.urlopen(server.metrics_url) as answer:
        text = answer.read().decode()
    families = dict(re.findall(r"^# TYPE (outlay_\w+?)(?:_total)? (\w+)$", text, re.MULTILINE))
    # The times at which series began are families of their own in this format.
    live = {name: kind for name, kind in families.items() if not name.endswith("_created")}
    stated = {tables.code(row[0]): row[1] for row in tables.rows("operations.md", "Metrics")}
    assert stated == live
