"""Every key of a TOML file is found on its line."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from genred.settings.lines import locate


def test_a_file_with_all_there_is():
    text = '''\
# a comment
one = 1
dotted.two = """
# [not a table]
key = "no key" \\"""
"""
[node]
"na\\u006de" = 'a "#" b'  # name
[[feeds]]
id = "a"
  list = [ # comment ]
    1, {x = 1, y.z = [
      2]}, 1979-05-27 07:32:00,
    \'\'\'
]\'\'\'
  ]
[feeds.judgement]
enter = 0.5
[[feeds]]
id = "b"
[feeds . "judgement"]
enter = 0.6
[[feeds.more]]
n = inf
[[feeds.more]]
n = +1_000
'''
    tomllib.loads(text)
    assert locate(text) == {
        ("one",): 2,
        ("dotted",): 3,
        ("dotted", "two"): 3,
        ("node",): 7,
        ("node", "name"): 8,
        ("feeds",): 9,
        ("feeds", 0): 9,
        ("feeds", 0, "id"): 10,
        ("feeds", 0, "list"): 11,
        ("feeds", 0, "list", 0): 12,
        ("feeds", 0, "list", 1): 12,
        ("feeds", 0, "list", 1, "x"): 12,
        ("feeds", 0, "list", 1, "y"): 12,
        ("feeds", 0, "list", 1, "y", "z"): 12,
        ("feeds", 0, "list", 1, "y", "z", 0): 13,
        ("feeds", 0, "list", 2): 13,
        ("feeds", 0, "list", 3): 14,
        ("feeds", 0, "judgement"): 17,
        ("feeds", 0, "judgement", "enter"): 18,
        ("feeds", 1): 19,
        ("feeds", 1, "id"): 20,
        ("feeds", 1, "judgement"): 21,
        ("feeds", 1, "judgement", "enter"): 22,
        ("feeds", 1, "more"): 23,
        ("feeds", 1, "more", 0): 23,
        ("feeds", 1, "more", 0, "n"): 24,
        ("feeds", 1, "more", 1): 25,
        ("feeds", 1, "more", 1, "n"): 26,
    }


NAMES = st.text("abcXYZ019_-", min_size=1, max_size=4)
SCALARS = st.sampled_from(
    [
        "1",
        "-0.5e3",
        "true",
        "1979-05-27 07:32:00",
        "nan",
        '""',
        '"a # [b] = \\" ]}"',
        "'\\'",
        '"""\n[no]\nkey = 1\n"""',
        '"""a""\\""""""',
        "'''\n''x'''''",
    ]
)
BLANKS = st.sampled_from(["", "\n", "# [[x]]\n", "  # key = 1\n\n"])


@st.composite
def written_keys(draw, name):
    style = draw(st.sampled_from(["bare", "basic", "literal"]))
    return {"bare": name, "basic": f'"{name}"', "literal": f"'{name}'"}[style]


class Writer:
    """Writes a document piece by piece and notes on which line each key went."""

    def __init__(self, draw):
        self.draw = draw
        self.text = ""
        self.lines = {}

    def note(self, path):
        self.lines[path] = self.text.count("\n") + 1

    def pairs(self, path, depth, *, inline=False):
        names = self.draw(st.lists(NAMES, max_size=3, unique=True))
        for index, name in enumerate(names):
            if inline and index:
                self.text += ", "
            if not inline:
                self.text += self.draw(BLANKS)
            self.note((*path, name))
            self.text += self.draw(written_keys(name))
            inner = (*path, name)
            if self.draw(st.booleans()):
                last = self.draw(NAMES)
                self.note((*inner, last))
                self.text += " . " + self.draw(written_keys(last))
                inner = (*inner, last)
            self.text += " = "
            self.value(inner, depth)
            if not inline:
                self.text += self.draw(st.sampled_from(["\n", " # = [x]\n"]))

    def value(self, path, depth):
        kind = self.draw(st.sampled_from(["scalar", "array", "table"] if depth else ["scalar"]))
        if kind == "scalar":
            self.text += self.draw(SCALARS)
        elif kind == "table":
            self.text += "{ "
            self.pairs(path, depth - 1, inline=True)
            self.text += " }"
        else:
            self.text += "["
            for index in range(self.draw(st.integers(0, 3))):
                self.text += self.draw(BLANKS)
                self.note((*path, index))
                self.value((*path, index), depth - 1)
                self.text += self.draw(BLANKS) + ","
            self.text += self.draw(BLANKS) + "]"


@st.composite
def documents(draw):
    writer = Writer(draw)
    writer.pairs((), 2)
    names = {path[0] for path in writer.lines}
    for name in draw(st.lists(NAMES.filter(lambda each: each not in names), unique=True)):
        count = draw(st.integers(0, 3))
        for index in range(count):
            if index == 0:
                writer.note((name,))
            writer.note((name, index))
            writer.text += f"[[ {draw(written_keys(name))} ]]\n"
            writer.pairs((name, index), 2)
        if count == 0:
            writer.note((name,))
            writer.text += f"[{draw(written_keys(name))}]  # table\n"
            writer.pairs((name,), 2)
    return writer.text, writer.lines


@given(documents())
def test_every_key_of_a_document_is_on_its_line(document):
    text, lines = document
    tomllib.loads(text)
    assert locate(text) == lines


@given(st.text("ab.=[]{}\"'\\\n#, 1\r\t", max_size=60))
def test_what_is_no_toml_does_no_harm(text):
    locate(text)


def test_a_key_without_end_takes_no_long_time():
    """One dotted key of half a megabyte: the paths to its parts would take gigabytes."""
    text = ".".join("a" * 250_000) + " = 1\n"
    assert len(locate(text)) < 20
    text = f"[{'.'.join('a' * 250_000)}]\nb = 1\n"
    assert len(locate(text)) < 20


def test_arrays_without_bottom_end():
    locate("a = " + "[" * 100_000)
