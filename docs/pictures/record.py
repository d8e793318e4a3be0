#!/usr/bin/env python3
"""Records docs/pictures/session.svg: a release in a terminal, as imgstep really prints it.

    python3 docs/pictures/record.py [IMGSTEP]      # the program; target/debug/imgstep if not given

The commands run in a pseudo-terminal against two registries on this machine. In the picture these have the names
build.example and registry.example; nothing else is changed.
"""

import fcntl
import html
import os
import pathlib
import pty
import random
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLUMNS, ROWS = 96, 22
# Seconds: between two pictures of a running command, for a typed command, and at the end of each.
FRAME, TYPED, READ, LAST = 0.1, 0.9, 1.6, 5.0
CHAR, LINE, PAD, BAR = 8.0, 18, 14, 26

COMMANDS = [
    "imgstep promote build.example/app:main registry.example/app:v1.2.3 --tags v1.2 v1",
    "imgstep promote build.example/app:main registry.example/app:v1.2.3 --tags v1.2 v1",
    "imgstep promote build.example/app:next registry.example/app:v1.2.3 --if-exists fail",
    "imgstep digest registry.example/app:v1",
]


class Terminal:
    """As much of a terminal as imgstep uses: lines, and a cursor that goes up and clears."""

    def __init__(self):
        self.lines, self.row, self.column = [""], 0, 0

    def write(self, text):
        for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", text):
            if piece.startswith("\x1b"):
                self.control(piece[-1], piece[2:-1])
            elif piece == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif piece == "\r":
                self.column = 0
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + piece + line[self.column + 1 :]
                self.column += 1

    def control(self, letter, number):
        if letter == "A":
            self.row = max(0, self.row - int(number or 1))
        elif letter == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif letter == "J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]

    def screen(self):
        """The lines at the bottom, broken where the terminal would."""
        broken = [line[at : at + COLUMNS] for line in self.lines for at in range(0, max(len(line), 1), COLUMNS)]
        return tuple(line.rstrip() for line in broken[-ROWS:])


def serve(imgstep):
    """A registry in memory: its process, and its address."""
    words = [imgstep, "registry", "serve", "--address", "127.0.0.1:0"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    address = re.search(r"127\.0\.0\.1:\d+", process.stderr.readline()).group(0)
    return process, address


def make_images(imgstep, folder, registry):
    """Two images for two platforms, of several layers that are large enough to be watched."""
    for tag, seed in (("main", 1), ("next", 2)):
        layers, numbers = [], random.Random(seed)
        for number in range(6):
            path = folder / f"{tag}-{number}"
            path.write_bytes(numbers.randbytes(20_000_000 if tag == "main" else 1000))
            layers += ["--layer", f"{path}=/srv/{number},platform=linux/{('amd64', 'arm64')[number % 2]}"]
        words = [imgstep, "append", "scratch", "--to", f"{registry}/app:{tag}", "--compression", "none", *layers]
        subprocess.run(words, check=True, capture_output=True, cwd=folder)


def run(command, names, environment, folder, show):
    """Runs a command in a terminal, and shows what is on it whenever that has changed."""
    for name, address in names.items():
        command = command.replace(name, address)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe("sh", ["sh", "-c", command], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    started = time.monotonic()
    while True:
        ready, _, _ = select.select([terminal], [], [], FRAME)
        try:
            data = os.read(terminal, 65536) if ready else b""
        except OSError:
            break
        if ready and not data:
            break
        show(data.decode(), time.monotonic() - started)
    os.waitpid(child, 0)
    return time.monotonic() - started


def record(imgstep):
    """The pictures: the screen, and for how many seconds it is seen."""
    frames = []
    shown = Terminal()

    def frame(seconds):
        if frames and frames[-1][0] == shown.screen():
            frames[-1] = (frames[-1][0], frames[-1][1] + seconds)
        else:
            frames.append((shown.screen(), seconds))

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        servers = [serve(imgstep), serve(imgstep)]
        try:
            names = {"build.example": servers[0][1], "registry.example": servers[1][1]}
            make_images(imgstep, folder, names["build.example"])
            (folder / "imgstep").symlink_to(imgstep)
            environment = {"PATH": f"{folder}:{os.environ['PATH']}", "TERM": "xterm-256color", "HOME": name}
            for number, command in enumerate(COMMANDS):
                shown.write("$ ")
                frame(0.4)
                shown.write(f"{command}")
                frame(TYPED)
                shown.write("\r\n")
                last = [0.0]

                def show(text, now, last=last):
                    for name, address in names.items():
                        text = text.replace(address, name)
                    shown.write(text)
                    if now - last[0] >= FRAME:
                        frame(now - last[0])
                        last[0] = now

                run(command, names, environment, folder, show)
                frame(READ if number + 1 < len(COMMANDS) else LAST)
        finally:
            for process, _ in servers:
                process.terminate()
                process.wait()
    return frames


def draw(frames):
    """All pictures below each other, of which a window shows one at a time. Without animation, the last is seen."""
    rows = max(len(lines) for lines, _ in frames)
    width, height = COLUMNS * CHAR + 2 * PAD, rows * LINE + 2 * PAD
    total, at, steps, pictures = sum(seconds for _, seconds in frames), 0.0, [], []
    for number, (lines, seconds) in enumerate(frames):
        steps.append(f"{at / total * 100:.2f}%{{transform:translateY(-{number * height}px)}}")
        at += seconds
        pictures.append(f'<g transform="translate(0 {number * height})">')
        for row, line in enumerate(lines):
            if line:
                y = PAD + row * LINE + 13
                weight = ' class="c"' if line.startswith("$ ") else ""
                pictures.append(f'<text x="{PAD}" y="{y}"{weight}>{html.escape(line)}</text>')
        pictures.append("</g>")
    last = (len(frames) - 1) * height
    style = (
        f"text{{font:13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#e6edf3;white-space:pre}}"
        f".c{{fill:#7ee787}}.reel{{transform:translateY(-{last}px);animation:reel {total:.1f}s steps(1,end) infinite}}"
        f"@keyframes reel{{{''.join(steps)}}}"
        "@media (prefers-reduced-motion:reduce){.reel{animation:none}}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height + BAR}" width="{width:.0f}" '
            f'height="{height + BAR}">',
            f"<style>{style}</style>",
            '<rect width="100%" height="100%" rx="8" fill="#0d1117"/>',
            *(f'<circle cx="{18 + 18 * n}" cy="15" r="5" fill="#30363d"/>' for n in range(3)),
            f'<svg y="{BAR}" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}" overflow="hidden" '
            'xml:space="preserve">',
            '<g class="reel">',
            *pictures,
            "</g>",
            "</svg>",
            "</svg>",
            "",
        ]
    )


def main():
    imgstep = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/imgstep").resolve()
    frames = record(str(imgstep))
    path = pathlib.Path(__file__).with_name("session.svg")
    path.write_text(draw(frames))
    print(f"{path}: {len(frames)} pictures, {sum(seconds for _, seconds in frames):.0f} s", file=sys.stderr)


main()
