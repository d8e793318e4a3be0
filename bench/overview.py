#!/usr/bin/env python3
"""Draws bench/plots/overview.svg, README's picture, from the tables of bench/RESULTS.md.

    python3 bench/overview.py           # writes it
    python3 bench/overview.py --check   # fails if it is not what RESULTS.md gives
"""

import pathlib
import re
import sys

BENCH = pathlib.Path(__file__).resolve().parent

# A section of RESULTS.md, a column of its first table, and its name in the picture. imgstep loses in the last one.
GROUPS = [
    ("promote", "50 ms, TLS, HTTP/2", "Copy an index of 8 platforms, 48 MB"),
    ("mount", "50 ms, TLS, HTTP/2", "The same within one registry"),
    ("nothing", "50 ms, TLS, HTTP/2", "The same again, nothing to do"),
    ("append-program", "50 ms, TLS, HTTP/2", "Put a program on 8 platforms of a base"),
    ("index", "30 images, 50 ms, TLS, HTTP/2", "Join 30 images to an index"),
    ("bulk", "no limit", "Copy 10 layers of 50 MB, no distance"),
]
COLORS = {
    "imgstep": "#d1242f",
    "crane": "#0a3069",
    "regctl": "#4493f8",
    "oras": "#8250df",
    "skopeo": "#9a6700",
}
WIDTH, COLUMN, LABEL, ROW, GAP, TOP = 860, 430, 76, 17, 40, 64
BAR = COLUMN - LABEL - 135


def medians(text, section, column):
    """The seconds of each tool, in the order of the table; None where a tool was not measured."""
    part = re.search(rf"^## {re.escape(section)}: .*?(?=^## |\Z)", text, re.M | re.S).group(0)
    lines = part[part.index("Wall time"):].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("|")]
    index = cells[0].index(column)
    found = {}
    for row in cells[2:]:
        if len(row) != len(cells[0]):
            break
        found[row[0].split(",")[0]] = None if row[index] == "–" else float(row[index])
    return found


def group(x, y, title, seconds):
    """Bars on a scale of their own, since jobs are not compared with each other."""
    seconds = {tool: value for tool, value in seconds.items() if value is not None}
    ours, most = seconds["imgstep"], max(seconds.values())
    out = [f'<text x="{x}" y="{y}" font-weight="bold">{title}</text>']
    for number, (tool, value) in enumerate(seconds.items()):
        top = y + 8 + number * ROW
        length = max(value / most * BAR, 1)
        times = "" if tool == "imgstep" else f"  {value / ours:.1f} ×"
        out.append(f'<text x="{x + LABEL - 8}" y="{top + 12}" text-anchor="end">{tool}</text>')
        out.append(f'<rect x="{x + LABEL}" y="{top + 2}" width="{length:.1f}" height="12" fill="{COLORS[tool]}"/>')
        out.append(f'<text x="{x + LABEL + length + 6:.1f}" y="{top + 12}">{value:.2f} s{times}</text>')
    return out, 8 + len(seconds) * ROW


def draw(text):
    versions = dict(re.findall(r"^\| (imgstep|crane|regctl|oras|skopeo) \| ([\d.]+) \|$", text, re.M))
    machine = re.search(r"^(\d{4}-\d\d-\d\d)\. processor: (.*?) · cores: (\d+)", text, re.M)
    out, bottom, y = [], TOP, TOP
    for number, (section, column, title) in enumerate(GROUPS):
        x = 16 + number % 2 * COLUMN
        lines, height = group(x, y, title, medians(text, section, column))
        out += lines
        bottom = max(bottom, y + height)
        if number % 2:
            y = bottom + GAP
    tools = ", ".join(f"{tool} {version}" for tool, version in versions.items())
    foot = f"{machine.group(1)}, {machine.group(2)}, {machine.group(3)} cores; {tools}"
    height = bottom + 36
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'font-family="sans-serif" font-size="12" fill="#1f2328">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            '<text x="16" y="26" font-size="15" font-weight="bold">Wall time, medians; TLS with a round trip of 50 ms '
            "to each registry. Shorter is better.</text>",
            *out,
            f'<text x="16" y="{height - 12}" font-size="11" fill="#59636e">{foot}. Made by bench/overview.py</text>',
            "</svg>",
            "",
        ]
    )


def main():
    picture = draw((BENCH / "RESULTS.md").read_text())
    path = BENCH / "plots/overview.svg"
    if sys.argv[1:] != ["--check"]:
        path.write_text(picture)
    elif path.read_text() != picture:
        sys.exit("bench/plots/overview.svg is not what bench/RESULTS.md gives: run python3 bench/overview.py")


main()
