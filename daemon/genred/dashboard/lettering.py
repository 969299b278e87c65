"""Labels in letters five dots high, drawn with half blocks: to be read from across the room."""

from __future__ import annotations

from functools import lru_cache

HEIGHT = 3
"""Lines that a word takes: five rows of dots, two to a line."""

_DOTS = {
    "A": ".#. #.# ### #.# #.#",
    "B": "##. #.# ##. #.# ##.",
    "C": ".## #.. #.. #.. .##",
    "D": "##. #.# #.# #.# ##.",
    "E": "### #.. ##. #.. ###",
    "F": "### #.. ##. #.. #..",
    "G": ".## #.. #.# #.# .##",
    "H": "#.# #.# ### #.# #.#",
    "I": "# # # # #",
    "J": "..# ..# ..# #.# .#.",
    "K": "#.# #.# ##. #.# #.#",
    "L": "#.. #.. #.. #.. ###",
    "M": "#...# ##.## #.#.# #...# #...#",
    "N": "#..# ##.# #.## #..# #..#",
    "O": ".#. #.# #.# #.# .#.",
    "P": "##. #.# ##. #.. #..",
    "Q": ".#. #.# #.# ##. .##",
    "R": "##. #.# ##. #.# #.#",
    "S": ".## #.. .#. ..# ##.",
    "T": "### .#. .#. .#. .#.",
    "U": "#.# #.# #.# #.# ###",
    "V": "#.# #.# #.# #.# .#.",
    "W": "#...# #...# #.#.# ##.## #...#",
    "X": "#.# #.# .#. #.# #.#",
    "Y": "#.# #.# .#. .#. .#.",
    "Z": "### ..# .#. #.. ###",
    "0": "### #.# #.# #.# ###",
    "1": ".#. ##. .#. .#. ###",
    "2": "##. ..# .#. #.. ###",
    "3": "##. ..# .#. ..# ##.",
    "4": "#.# #.# ### ..# ..#",
    "5": "### #.. ##. ..# ##.",
    "6": ".## #.. ##. #.# .#.",
    "7": "### ..# .#. .#. .#.",
    "8": "### #.# ### #.# ###",
    "9": ".#. #.# .## ..# ##.",
    "-": "... ... ### ... ...",
    "&": ".#. #.# .#. #.# .##",
    " ": ".. .. .. .. ..",
}
_HALVES = {"..": " ", "#.": "▀", ".#": "▄", "##": "█"}


@lru_cache(maxsize=128)
def lettering(word: str) -> tuple[str, ...] | None:
    """``word`` as :data:`HEIGHT` lines of half blocks, or None where a letter is not drawn."""
    glyphs = [_DOTS.get(letter) for letter in word.upper().replace("_", " ")]
    if not glyphs or None in glyphs:
        return None
    rows = [
        ".".join(parts) for parts in zip(*(str(glyph).split() for glyph in glyphs), strict=True)
    ]
    rows.append("." * len(rows[0]))
    return tuple(
        "".join(_HALVES[top + bottom] for top, bottom in zip(rows[at], rows[at + 1], strict=True))
        for at in range(0, 2 * HEIGHT, 2)
    )
