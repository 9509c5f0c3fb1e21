"""Bars on a logarithmic scale around 1, as SVG."""

import math
from xml.sax.saxutils import escape

BAR, GAP, LEFT, TOP, WIDTH = 9, 8, 150, 44, 460
COLOURS = ["#4c78a8", "#f58518", "#54a24b", "#b279a2"]


def bars(file, title, groups, series):
    """One bar for each series of a group: right of the middle line we are ahead, left of it behind."""
    values = [v for group in groups.values() for v in group.values()]
    most = max(2.0, *values, *(1 / v for v in values if v))
    scale = WIDTH / 2 / math.log(most)
    middle = LEFT + WIDTH / 2
    rows, y = [], TOP
    for label, group in groups.items():
        rows.append(f'<text x="{LEFT - 8}" y="{y + BAR * len(series) / 2 + 4:.0f}" text-anchor="end">{escape(label)}</text>')
        for at, one in enumerate(series):
            value = group.get(one)
            if value:
                length = math.log(value) * scale
                x = middle + min(0, length)
                rows.append(f'<rect x="{x:.1f}" y="{y}" width="{max(abs(length), 1):.1f}" height="{BAR - 1}" fill="{COLOURS[at]}"/>')
                end, anchor = (middle + length + 4, "start") if length >= 0 else (middle + length - 4, "end")
                rows.append(f'<text x="{end:.1f}" y="{y + BAR - 1}" text-anchor="{anchor}" font-size="9">{value:.2f}</text>')
            y += BAR
        y += GAP
    legend = "".join(f'<rect x="{LEFT + 130 * at}" y="24" width="9" height="9" fill="{COLOURS[at]}"/>'
                     f'<text x="{LEFT + 130 * at + 13}" y="33">{escape(one)}</text>' for at, one in enumerate(series))
    file.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 60}" height="{y + 8}" font-family="sans-serif" font-size="11">'
                    f'<rect width="100%" height="100%" fill="white"/><text x="{LEFT}" y="16" font-weight="bold">{escape(title)}</text>{legend}'
                    f'<line x1="{middle}" y1="{TOP - 4}" x2="{middle}" y2="{y}" stroke="black"/>{"".join(rows)}</svg>\n')
    return file
