"""Line plots as SVG, without a library. The colours are readable on light and on dark backgrounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 44, 92
"""Margins around the frame. The labels, the ticks and the legend are in the margins."""

COLOURS = ("#2f7fd6", "#d9730d", "#2a9d63", "#c0504d")

MAX_LINEAR_TICKS = 6

LEGEND_COLUMNS = 2
MAX_SERIES = 4
"""Maximum number of series of a plot. The legend has room for two rows."""

STYLE = """
text { font: 13px sans-serif; fill: #333 }
.title { font-size: 15px; font-weight: bold }
.frame { fill: none; stroke: #888 }
.grid { stroke: #888; stroke-opacity: 0.25 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } }
"""


@dataclass(frozen=True)
class Axis:
    """An axis with its label, which names the unit. All values of a logarithmic axis must be above 0."""

    label: str
    is_logarithmic: bool = False

    def ticks(self, values: Sequence[float]) -> list[float]:
        """Return the ticks, in ascending order. All values are between the first tick and the last tick."""
        low, high = min(values), max(values)
        if self.is_logarithmic:
            return [10.0**power for power in range(floor(log10(low)), max(ceil(log10(high)), floor(log10(low)) + 1) + 1)]
        high = high if high > 0 else 1.0
        step = 10.0 ** floor(log10(high))
        while high / step < MAX_LINEAR_TICKS / 2:
            step /= 2
        return [index * step for index in range(ceil(high / step) + 1)]

    def position(self, value: float, ticks: Sequence[float]) -> float:
        """Return the position of a value between the first tick (0) and the last tick (1)."""
        first, last = ticks[0], ticks[-1]
        if self.is_logarithmic:
            return (log10(value) - log10(first)) / (log10(last) - log10(first))
        return (value - first) / (last - first)


@dataclass(frozen=True)
class Plot:
    """A plot of series of points. Values on a linear axis must not be negative."""

    title: str
    x: Axis
    y: Axis
    series: Mapping[str, Points]

    def svg(self) -> str:
        """Return the plot as an SVG document."""
        assert len(self.series) <= MAX_SERIES
        points = [point for each in self.series.values() for point in each]
        ticks = self.x.ticks([x for x, _ in points]), self.y.ticks([y for _, y in points])
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
            f"<title>{escape(self.title)}</title><style>{STYLE}</style>",
            _text(LEFT, TOP - 18, self.title, "start", "title"),
            *self._x_axis(ticks[0]),
            *self._y_axis(ticks[1]),
            f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>',
        ]
        for index, (name, each) in enumerate(self.series.items()):
            parts += self._line(index, name, each, ticks)
        return "\n".join([*parts, "</svg>", ""])

    def _x_axis(self, ticks: Sequence[float]) -> list[str]:
        bottom = HEIGHT - BOTTOM
        parts = []
        for tick in ticks:
            x = self._x(tick, ticks)
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>')
            parts.append(_text(x, bottom + 18, tick_text(tick), "middle"))
        return [*parts, _text((LEFT + WIDTH - RIGHT) / 2, bottom + 40, self.x.label, "middle")]

    def _y_axis(self, ticks: Sequence[float]) -> list[str]:
        parts = []
        for tick in ticks:
            y = self._y(tick, ticks)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
            parts.append(_text(LEFT - 8, y + 4, tick_text(tick), "end"))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        label = (
            f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">{escape(self.y.label)}</text>'
        )
        return [*parts, label]

    def _line(self, index: int, name: str, points: Points, ticks: tuple[Sequence[float], Sequence[float]]) -> list[str]:
        colour = COLOURS[index % len(COLOURS)]
        places = [(self._x(x, ticks[0]), self._y(y, ticks[1])) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        x = LEFT + index % LEGEND_COLUMNS * (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS
        y = HEIGHT - BOTTOM + 60 + index // LEGEND_COLUMNS * 20
        return [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
            *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places),
            f'<rect x="{x:.1f}" y="{y - 10}" width="12" height="12" fill="{colour}"/>',
            _text(x + 18, y, name, "start"),
        ]

    def _x(self, value: float, ticks: Sequence[float]) -> float:
        return LEFT + self.x.position(value, ticks) * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float, ticks: Sequence[float]) -> float:
        return HEIGHT - BOTTOM - self.y.position(value, ticks) * (HEIGHT - TOP - BOTTOM)


def tick_text(value: float) -> str:
    """Return the text of a tick. Thousands are separated, and small numbers have no more digits than necessary."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
