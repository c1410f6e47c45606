"""Draws the rooms of meshcache and who imports whom, from the imports themselves: `docs/rooms.svg`.

    .venv/bin/python tools/draw_rooms.py            writes it
    .venv/bin/python tools/draw_rooms.py --check    says whether it is what the imports say today

An arrow says that something in one room imports something in the other. One that others imply (a way of arrows leads
there too) is left out. Knows the layout of the folders, nothing of what is in them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parent.parent
DRAWING = ROOT / "docs" / "rooms.svg"

TOPS = {"meshcache": "meshcache", "server": "meshcache_server"}
"""Folders with the names under which they are imported."""

OUTSIDE = ("meshcache/errors.py", "meshcache/records.py", "meshcache/__main__.py")
"""Left out: everybody may import the errors, and declare records."""

Arrows = dict[str, set[str]]

_WIDTH, _CORE_WIDTH, _BOX_WIDTH = 1180, 560, 150
_LINE, _GAP, _MARGIN = 17, 26, 16
_HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#667"/></marker>'
)
_TEXT = 'font-family="system-ui, sans-serif" font-size="13"'


def main(arguments: list[str]) -> int:
    """Write the drawing, or compare it; the exit code is 1 for a stale one."""
    drawing = draw()
    if "--check" not in arguments:
        DRAWING.write_text(drawing)
    elif not DRAWING.exists() or DRAWING.read_text() != drawing:
        sys.stderr.write(f"{DRAWING.relative_to(ROOT)} is stale: run tools/draw_rooms.py\n")
        return 1
    return 0


def draw() -> str:
    """The drawing as SVG; the same for the same imports."""
    arrows = shortest(arrows_between_rooms())
    core = [room for room in in_order(arrows) if room.startswith("core/")]
    others = [room for room in arrows if not room.startswith("core/")]
    boxes = _core_boxes(core)
    height = max(y + h for _, y, _, h in boxes.values()) + 2 * _MARGIN
    boxes |= _other_boxes({room: arrows[room] & set(others) for room in others}, height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_TEXT}>',
        f"<defs>{_HEAD}</defs>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<rect x="4" y="4" width="{_CORE_WIDTH + 24}" height="{height - 8}" rx="8" fill="#eef4fb"/>',
        f'<text x="{_MARGIN}" y="{_MARGIN + _LINE}" fill="#357">core/ decides, and does no I/O</text>',
        *(_line(boxes[one], boxes[other]) for one in sorted(arrows) for other in sorted(arrows[one])),
        *(_box(room, *boxes[room]) for room in sorted(boxes)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def arrows_between_rooms() -> Arrows:
    """For each room those that it imports, itself left out."""
    modules = {_module(path): path for path in _sources()}
    arrows: Arrows = {room: set() for path in modules.values() if (room := room_of(path))}
    for path in modules.values():
        room = room_of(path)
        if room:
            rooms = {room_of(modules[name]) for name in _imported(path) if name in modules}
            arrows[room] |= rooms - {room, ""}
    return arrows


def room_of(path: Path) -> str:
    """A folder of meshcache, one of the core's, or a file that stands in neither; "" for what isn't drawn."""
    relative = path.relative_to(ROOT)
    if str(relative) in OUTSIDE or relative == Path("meshcache/core/__init__.py"):
        return ""
    top, *inner = relative.parts
    if relative == Path("meshcache/__init__.py"):
        return "import meshcache"
    if top == "server":
        return "server/"
    if inner[0] == "core":
        return f"core/{inner[1]}" + "/" * (len(inner) > 2)
    return inner[0] + "/" * (len(inner) > 1)


def shortest(arrows: Arrows) -> Arrows:
    """Without those arrows that a longer way stands for."""
    return {
        room: {far for far in near if not any(far in reached(arrows, other) for other in near - {far})}
        for room, near in arrows.items()
    }


def reached(arrows: Arrows, start: str) -> set[str]:
    """Every room at the end of a way from this one."""
    seen: set[str] = set()
    ahead = list(arrows[start])
    while ahead:
        room = ahead.pop()
        if room not in seen:
            seen.add(room)
            ahead += arrows[room]
    return seen


def in_order(arrows: Arrows) -> list[str]:
    """From the top down: each room before those that it imports."""
    return sorted(arrows, key=lambda room: (-_height_of(arrows, room), room))


def _height_of(arrows: Arrows, room: str) -> int:
    """The longest way down from a room. Raises RecursionError where rooms import each other in a circle."""
    return 1 + max((_height_of(arrows, other) for other in arrows[room]), default=-1)


def _core_boxes(rooms: list[str]) -> dict[str, tuple[int, int, int, int]]:
    boxes = {}
    y = 2 * _MARGIN + _LINE
    for room in rooms:
        height = _LINE * (1 + len(_files(room))) + 12
        boxes[room] = (_MARGIN + 60, y, _CORE_WIDTH - 120, height)
        y += height + _GAP
    return boxes


def _other_boxes(arrows: Arrows, height: int) -> dict[str, tuple[int, int, int, int]]:
    rows: dict[int, list[str]] = {}
    for room in sorted(arrows):
        rows.setdefault(_height_of(arrows, room), []).append(room)
    step = (height - 4 * _MARGIN) // len(rows)
    left, space = _CORE_WIDTH + 60, _WIDTH - _CORE_WIDTH - 60
    return {
        room: (
            left + (2 * at + 1) * space // (2 * len(row)) - _BOX_WIDTH // 2,
            height - (rank + 1) * step,
            _BOX_WIDTH,
            34,
        )
        for rank, row in rows.items()
        for at, room in enumerate(row)
    }


def _files(room: str) -> list[str]:
    """The names of a core room's modules, in lines that fit into its box."""
    if not room.endswith("/"):
        return []
    names = sorted(path.stem for path in (ROOT / "meshcache" / room).glob("*.py") if path.stem != "__init__")
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > 58:
            lines.append("")
        lines[-1] += f"  {name}"
    return [line.strip() for line in lines]


def _box(room: str, x: int, y: int, width: int, height: int) -> str:
    rows = [f'<text x="{x + 10}" y="{y + 21}" font-weight="600">{escape(room)}</text>']
    rows += [
        f'<text x="{x + 10}" y="{y + 21 + _LINE * at}" fill="#445">{escape(line)}</text>'
        for at, line in enumerate(_files(room) if room.startswith("core/") else [], start=1)
    ]
    frame = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="#fff" stroke="#357"/>'
    return f"<g>{frame}{''.join(rows)}</g>"


def _line(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> str:
    """From the foot of a box to the head of another, or to its right side where that lies in the core."""
    x, y, width, height = one
    to_x, to_y, to_width, to_height = other
    if x > _CORE_WIDTH > to_x:
        start, end = (x, y + height // 2), (to_x + to_width, to_y + to_height // 2)
        bend = f"C{start[0] - 60} {start[1]} {end[0] + 60} {end[1]}"
    else:
        start, end = (x + width // 2, y + height), (to_x + to_width // 2, to_y)
        if x < _CORE_WIDTH and end[1] - start[1] > 2 * _GAP:  # past the boxes between, on the left
            start, end = (x, y + height // 2), (to_x, to_y + to_height // 2)
            bend = f"C{x - 50} {start[1]} {to_x - 50} {end[1]}"
        else:
            middle = (start[1] + end[1]) // 2
            bend = f"C{start[0]} {middle} {end[0]} {middle}"
    path = f"M{start[0]} {start[1]}{bend} {end[0]} {end[1]}"
    return f'<path d="{path}" fill="none" stroke="#667" marker-end="url(#head)"/>'


def _sources() -> Iterable[Path]:
    return sorted(path for top in TOPS for path in (ROOT / top).rglob("*.py"))


def _module(path: Path) -> str:
    top, *inner = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([TOPS[top], *(part for part in inner if part != "__init__")])


def _imported(path: Path) -> Iterable[str]:
    """The modules that a file names in its imports, of which some may be names in a module instead."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
