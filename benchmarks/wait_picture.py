"""What waits cost against their number, as an SVG of two panels: memory and CPU, on logarithmic scales."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Point = tuple[int, float, float]
WIDTH, HEIGHT, MARGIN = 360, 240, 46
INK, LINE = "#333333", "#0f766e"


def draw(points: Sequence[Point]) -> str:
    """Draw the number of waits, MB over the idle process and percent of a core, point by point."""
    memory = panel("memory over the idle process, MB", [(n, mb) for n, mb, _ in points], 0)
    cpu = panel("CPU of one core at 10 s polls, %", [(n, cpu) for n, _, cpu in points], WIDTH)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">'
        f'<rect width="{2 * WIDTH}" height="{HEIGHT}" fill="white"/>{memory}{cpu}</svg>\n'
    )


def panel(title: str, points: Sequence[tuple[int, float]], left: int) -> str:
    """Draw one curve with its axes and the value at each point."""
    across = scale([n for n, _ in points], left + MARGIN, left + WIDTH - MARGIN)
    up = scale([value for _, value in points], HEIGHT - MARGIN, MARGIN)
    places = [(across(n), up(value)) for n, value in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{LINE}"/>'
        f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{value:.3g}</text>'
        f'<text x="{x:.1f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{n:,}</text>'
        for (x, y), (n, value) in zip(places, points, strict=True)
    )
    middle = left + WIDTH / 2
    return (
        f'<text x="{middle}" y="20" text-anchor="middle" font-weight="bold">{title}</text>'
        f'<line x1="{left + MARGIN}" x2="{left + WIDTH - MARGIN}" y1="{HEIGHT - MARGIN}" '
        f'y2="{HEIGHT - MARGIN}" stroke="{INK}"/>'
        f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="2"/>{marks}'
        f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">waits (both logarithmic)</text>'
    )


def scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    """Give a function that places a value between two coordinates by its logarithm."""
    logs = [math.log10(max(value, 1e-3)) for value in values]
    low, span = min(logs), (max(logs) - min(logs)) or 1.0
    return lambda value: start + (math.log10(max(value, 1e-3)) - low) / span * (end - start)
