"""What a collection consists of, as a picture: a bar for each label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from genred.archive.results import whole
from genred.dashboard.colours import label_colour
from genred.errors import UnavailableError
from genred.text import clean

if TYPE_CHECKING:
    from pathlib import Path

SCALE: Final = 2
"""Pixels for each unit of the drawing: sharp on a dense screen."""

WIDTH: Final = 900
MARGIN: Final = 40
ROW: Final = 36
BAR: Final = 20
NAMES: Final = 120
"""Room for labels at the left."""
FIGURES: Final = 210
"""Room for numbers at the right."""

GROUND: Final = "#15161c"
INK: Final = "#e6e8ec"
MUTED: Final = "#9096a0"
TRACK: Final = "#22242c"


@dataclass(slots=True)
class Distribution:
    """Files and seconds for each label."""

    files: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """Count one file."""
        label = row["label"]
        self.files[label] = self.files.get(label, 0) + 1
        self.seconds[label] = self.seconds.get(label, 0.0) + row["duration"]

    def labels(self) -> list[str]:
        """The most frequent first."""
        return sorted(self.files, key=lambda label: (-self.files[label], label))

    def summary(self) -> str:
        """In one line."""
        count, hours = sum(self.files.values()), sum(self.seconds.values()) / 3600
        files = f"{count:,} file{'s' if count != 1 else ''}"
        return f"{files}, {hours:,.1f} h" if hours >= 1 else f"{files}, {60 * hours:.0f} min"


def available() -> None:
    """Raises :class:`UnavailableError` where Pillow is not installed."""
    try:
        import PIL  # noqa: F401, PLC0415 - needed by few
    except ImportError:
        raise UnavailableError(
            "--plot needs Pillow, which is not installed", "it comes with genred[web]"
        ) from None


def draw(of: Distribution, title: str, path: Path) -> None:
    """Draw it as a PNG.

    Raises :class:`UnavailableError` without Pillow, :class:`genred.errors.OutputError` where it
    cannot be written.
    """
    available()
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - needed by few

    labels = of.labels()
    total = sum(of.files.values())
    top = MARGIN + 70
    height = top + ROW * max(1, len(labels)) + MARGIN - (ROW - BAR)
    image = Image.new("RGB", (WIDTH * SCALE, height * SCALE), GROUND)
    pen = ImageDraw.Draw(image)
    large, normal = (ImageFont.load_default(size * SCALE) for size in (22, 15))

    def text(x: float, y: float, what: str, ink: str, font: Any = normal, at: str = "lm") -> None:
        pen.text((x * SCALE, y * SCALE), what, fill=ink, font=font, anchor=at)

    def bar(x: float, y: float, width: float, ink: str) -> None:
        box = [each * SCALE for each in (x, y, x + width, y + BAR)]
        pen.rounded_rectangle(box, radius=min(4, width / 2) * SCALE, fill=ink)

    text(MARGIN, MARGIN + 8, _cut(clean(title), 60), INK, large)
    text(MARGIN, MARGIN + 38, f"{of.summary()}, by the label each file was given", MUTED)
    left, room = MARGIN + NAMES, WIDTH - 2 * MARGIN - NAMES - FIGURES
    most = max(of.files.values(), default=1)
    for index, label in enumerate(labels):
        y = top + ROW * index
        middle = y + BAR / 2
        count = of.files[label]
        text(left - 14, middle, _cut(clean(label), 14), INK, at="rm")
        bar(left, y, room, TRACK)
        bar(left, y, max(2.0, room * count / most), label_colour(label).get_truecolor().hex)
        text(left + room + 14, middle, _percent(count / total), INK)
        hours = of.seconds[label] / 3600
        length = f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"
        files = f"{count:,} file{'s' if count != 1 else ''}"
        text(WIDTH - MARGIN, middle, f"{files}, {length}", MUTED, at="rm")
    if not labels:
        text(left, top + BAR / 2, "nothing was heard", MUTED)
    with whole(path) as beside:
        image.save(beside, "PNG", optimize=True)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "<1 %"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
