"""The results as pictures. Needs matplotlib (`outlay[bench]`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"echo": "#888888", "bare": "#c0a060", "one": "#9fc0d8", "rival": "#b0504a", "": "#2f6f9f"}
_LEGEND = {
    "": "Outlay",
    "echo": "bare gRPC echo",
    "bare": "bare store",
    "one": "Outlay, not grouped",
    "rival": "instead of it",
}
_PARTS = (("server_microseconds", "service"), ("database_microseconds", "database"), ("client_microseconds", "client"))


def write(found: Sequence[Line], folder: Path) -> list[Path]:
    """Write them as small SVG files. Raises `ModuleNotFoundError` without matplotlib."""
    import matplotlib

    matplotlib.use("svg")
    # Text stays text, and the same figures give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "outlay", "font.size": 8})
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _write(found, folder / "benchmarks-rate.svg", "checks a second, as a multiple of the bare gRPC echo", _rates),
        _write(found, folder / "benchmarks-latency.svg", "p50 to p99 of one call, ms", _latencies),
        _write(
            [line for line in found if line.server_microseconds >= 1],
            folder / "benchmarks-cpu.svg",
            "CPU time a check, µs",
            _cpu,
        ),
    ]


def _write(found: Sequence[Line], path: Path, title: str, draw: "Draw") -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.5, 0.7 + 0.2 * len(found)))
    draw(axes, found)
    axes.set_yticks(range(len(found)), [line.name for line in found])
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", linewidth=0.3)
    axes.set_axisbelow(True)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    return path


def _rates(axes: "Axes", found: Sequence[Line]) -> None:
    axes.barh(range(len(found)), [line.ratio for line in found], color=[_COLORS[_kind(line)] for line in found])
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.6)
    for kind in dict.fromkeys(_kind(line) for line in found):
        axes.barh([0], [0], color=_COLORS[kind], label=_LEGEND[kind])
    axes.legend(loc="lower right", frameon=False)


def _latencies(axes: "Axes", found: Sequence[Line]) -> None:
    colors = [_COLORS[_kind(line)] for line in found]
    lows, highs = [line.p50_milliseconds for line in found], [line.p99_milliseconds for line in found]
    axes.hlines(range(len(found)), lows, highs, colors=colors, linewidth=3)
    axes.scatter(lows, range(len(found)), color=colors, s=12)
    axes.set_xscale("log")


def _cpu(axes: "Axes", found: Sequence[Line]) -> None:
    left = [0.0] * len(found)
    for (field, label), color in zip(_PARTS, ("#2f6f9f", "#c0a060", "#bbbbbb"), strict=True):
        widths = [float(getattr(line, field)) for line in found]
        axes.barh(range(len(found)), widths, left=left, color=color, label=label)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.legend(loc="upper right", frameon=False)


def _kind(line: Line) -> str:
    first = line.name.partition(" ")[0].rstrip(",:")
    return first if first in _COLORS else ""


if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[[Axes, Sequence[Line]], None]
