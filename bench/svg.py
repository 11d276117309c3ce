"""Line charts as SVG, below each other with one time axis."""

import math
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, PANEL, GAP, ROW = 860, 70, 20, 190, 58, 20


@dataclass
class Line:
    label: str
    colour: str
    dash: str
    points: list


@dataclass
class Panel:
    title: str
    lines: list
    logarithmic: bool = field(default=False)

    def values(self):
        return [y for line in self.lines for _, y in line.points if y > 0 or not self.logarithmic]

    def range(self):
        values = self.values() or [1]
        if self.logarithmic:
            return 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values) * 1.001))
        return 0, max(max(values) * 1.05, 1e-9)

    def ticks(self):
        low, high = self.range()
        return [low * 10**n for n in range(round(math.log10(high / low)) + 1)] if self.logarithmic else steps(high)

    def place(self, value, top):
        low, high = self.range()
        part = math.log(max(value, low) / low) / math.log(high / low) if self.logarithmic else value / high
        return top + PANEL * (1 - part)


def steps(high, about=5):
    """Round numbers from 0 to high."""
    rough = high / about
    size = 10 ** math.floor(math.log10(rough))
    size *= next(factor for factor in (1, 2, 5, 10) if factor * size >= rough)
    return [n * size for n in range(int(high / size) + 1)]


def text(x, y, content, anchor="start", size=12, colour="#333"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(content)}</text>'


def rule(x1, y1, x2, y2, colour):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def drawn(panel, top, last):
    right = WIDTH - RIGHT

    def across(x):
        return LEFT + (right - LEFT) * x / last

    parts = [text(LEFT, top - 10, panel.title, size=13)]
    for value in panel.ticks():
        y = panel.place(value, top)
        parts += [rule(LEFT, y, right, y, "#ddd"), text(LEFT - 8, y + 4, f"{value:,g}", "end")]
    for value in steps(last, 8):
        parts += [rule(across(value), top + PANEL, across(value), top + PANEL + 4, "#777"), text(across(value), top + PANEL + 18, f"{value:g}", "middle")]
    parts.append(rule(LEFT, top + PANEL, right, top + PANEL, "#777"))
    for line in panel.lines:
        points = " ".join(f"{across(x):.1f},{panel.place(y, top):.1f}" for x, y in line.points)
        parts.append(f'<polyline fill="none" stroke="{line.colour}" stroke-width="1.4" stroke-dasharray="{line.dash or "none"}" points="{points}"/>')
    return parts


def legend(panels):
    """The labels of the first panel, a row each."""
    parts = []
    for number, line in enumerate(panels[0].lines):
        y = 46 + number * ROW
        parts += [f'<line x1="{LEFT}" y1="{y}" x2="{LEFT + 24}" y2="{y}" stroke="{line.colour}" stroke-width="2"/>', text(LEFT + 30, y + 4, line.label)]
    return parts


def document(title, about, axis, panels):
    last = max(x for panel in panels for line in panel.lines for x, _ in line.points)
    top = 72 + ROW * len(panels[0].lines)
    height = top + len(panels) * (PANEL + GAP) + 14
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" role="img">']
    parts += [f"<title>{escape(title)}</title>", f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', text(LEFT, 24, title, size=13, colour="#000"), *legend(panels)]
    for number, panel in enumerate(panels):
        parts += drawn(panel, top + number * (PANEL + GAP), last)
    parts += [text(WIDTH - RIGHT, height - 10, axis, "end"), text(LEFT, height - 10, about, size=11, colour="#777"), "</svg>"]
    return "\n".join(parts) + "\n"
