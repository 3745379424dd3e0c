"""Plots as small SVG files, drawn by hand: heat map, lines, bars. They open in any browser and in a Markdown viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#000000")
_FONT = 'font-family="sans-serif" font-size="12"'


def _document(width: float, height: float, title: str, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" {_FONT}>'
        f'<rect width="100%" height="100%" fill="white"/><text x="8" y="18" font-weight="bold">{escape(title)}</text>'
    )
    return "\n".join([head, *body, "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _choose_shade(share: float) -> tuple[str, str]:
    """Fill from white to dark blue for a share in [0, 1], and the text colour that reads on it."""
    low, high = np.array([247, 251, 255]), np.array([8, 48, 107])
    red, green, blue = (int(v) for v in low + share * (high - low))
    return f"#{red:02x}{green:02x}{blue:02x}", "#fff" if share > 0.5 else "#222"


def draw_heat_map(title: str, rows: Sequence[str], columns: Sequence[str], values: np.ndarray) -> str:
    """A table of numbers as shaded cells. values: `(row, column)`, NaN for an empty cell."""
    left = 16 + 7 * max(map(len, rows), default=1)
    cell_w, cell_h, top = max(52, 8 + 7 * max(map(len, columns), default=1)), 24, 52
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    body = [_text(left + (c + 0.5) * cell_w, top - 8, name, "middle") for c, name in enumerate(columns)]
    for r, name in enumerate(rows):
        y = top + r * cell_h
        body.append(_text(left - 6, y + 16, name, "end"))
        for c in range(len(columns)):
            value = float(values[r, c])
            if not np.isfinite(value):
                continue
            fill, colour = _choose_shade((value - low) / (high - low) if high > low else 0.5)
            x = left + c * cell_w
            body.append(f'<rect x="{x}" y="{y}" width="{cell_w - 1}" height="{cell_h - 1}" fill="{fill}"/>')
            body.append(_text(x + cell_w / 2, y + 16, f"{value:.3f}", "middle", colour))
    return _document(left + len(columns) * cell_w + 12, top + len(rows) * cell_h + 12, title, body)


def draw_lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_name: str,
    y_name: str,
    y_range: tuple[float, float] = (0.0, 1.0),
) -> str:
    """Curves on common axes. series: name -> points `(x, y)`."""
    width, height, left, top, bottom = 560.0, 340.0, 56.0, 34.0, 44.0
    legend = 8 + 7 * max((len(name) for name in series), default=0) + 24
    xs = [x for points in series.values() for x, _ in points] or [0.0, 1.0]
    low = min(0.0, *xs)
    high = max(xs) if max(xs) > low else low + 1

    def to_plot(x: float, y: float) -> tuple[float, float]:
        share = (min(max(y, y_range[0]), y_range[1]) - y_range[0]) / (y_range[1] - y_range[0])
        return left + (x - low) / (high - low) * (width - left - 12), top + (1 - share) * (height - top - bottom)

    body = []
    for tick in np.linspace(*y_range, 6):
        y = to_plot(low, float(tick))[1]
        body.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - 12}" y2="{y:.1f}" stroke="#ddd"/>')
        body.append(_text(left - 6, y + 4, f"{tick:.2g}", "end"))
    for tick in np.linspace(low, high, 6):
        body.append(_text(to_plot(float(tick), y_range[0])[0], height - bottom + 18, f"{tick:.3g}", "middle"))
    body.append(_text((left + width) / 2, height - 8, f"{y_name} against {x_name}", "middle"))
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join("{:.1f},{:.1f}".format(*to_plot(x, y)) for x, y in points)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in points if len(points) <= 12 else ():
            px, py = to_plot(x, y)
            body.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>')
        y = top + 12 + 18 * number
        body.append(f'<rect x="{width}" y="{y - 9}" width="12" height="10" fill="{colour}"/>')
        body.append(_text(width + 18, y, name))
    return _document(width + legend, max(height, top + 18 * len(series) + 12), title, body)


def draw_bars(title: str, values: Mapping[str, float], limit: float = 1.0) -> str:
    """One horizontal bar a name, from 0 to `limit`."""
    left, span, row = 16 + 7 * max(map(len, values), default=1), 360.0, 22
    body = []
    for number, (name, value) in enumerate(values.items()):
        y = 32 + number * row
        body.append(_text(left - 6, y + 13, name, "end"))
        if np.isfinite(value):
            width = span * min(max(value / limit, 0.0), 1.0)
            body.append(f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{row - 5}" fill="{COLOURS[0]}"/>')
            body.append(_text(left + width + 6, y + 13, f"{value:.3f}"))
    return _document(left + span + 70, 40 + row * len(values), title, body)
