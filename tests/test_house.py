"""The rules of the house: who may know whom, and what stands nowhere."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import genred
from genred import errors

ROOT = Path(__file__).parents[1]
DAEMON = ROOT / "daemon"
TRAIN = ROOT / "train"

WORDS = {"errors", "labels", "clock", "masking", "text", "messages"}
"""What every room may speak with."""

MIDDLE = {"analysis", "engine", "feed", "intake", "judgement", "model", "sources", "views"}
"""Where the flow from source to event is put together."""

MAY_IMPORT = {
    "errors": set(),
    "labels": set(),
    "clock": set(),
    "masking": set(),
    "text": {"masking"},
    "messages": {"clock", "labels"},
    "views": {"labels", "messages"},
    "logs": {"clock", "masking", "text"},
    "frugal": set(),
    "settings": {"errors", "labels", "masking"},
    "station": {"errors", "labels"},
    # source → ring
    "ring": set(),
    "resample": {"errors"},
    "timeline": {"clock"},
    "intake": {*WORDS, "ring", "sources", "timeline"},
    "sources": {*WORDS, "__version__", "intake", "resample", "ring", "settings", "station"},
    # → model → judgement, which know nothing of where sound comes from or where words go
    "model": {"errors", "labels"},
    "judgement": {"labels", "messages", "model", "settings", "views"},
    # the flow as a whole
    "analysis": {*WORDS, "judgement", "model", "settings", "views"},
    "feed": {*WORDS, *MIDDLE, "service", "settings"},
    "engine": {*WORDS, *MIDDLE, "__version__", "publishers", "service", "settings", "timeline"},
    "tagging": {*WORDS, *MIDDLE, "settings"},
    # a collection of files, many heard at once
    "archive": {*WORDS, *MIDDLE, "__version__", "dashboard", "frugal", "settings", "tagging"},
    # → events → publishers and display, which know nothing of sound
    "publishers": {*WORDS, "__version__", "history", "settings", "views"},
    "history": {*WORDS, "dashboard", "settings"},
    # and to whoever watches from elsewhere
    "watch": {*WORDS, "dashboard", "publishers", "settings", "views"},
    "dashboard": {*WORDS, "settings", "views"},
    # ... which also judges clips, in a process of its own
    "web": {
        *WORDS,
        *MIDDLE,
        *("__version__", "dashboard", "frugal", "history", "publishers", "service", "settings"),
        "tagging",
    },
    # what keeps it all in service
    "service": {*WORDS},
    "reload": {*WORDS, *MIDDLE, "logs", "publishers", "service", "settings"},
    "doctor": {*WORDS, *MIDDLE, "publishers", "settings"},
    # what it all costs
    "bench": {
        *WORDS,
        *MIDDLE,
        "__version__",
        "frugal",
        "publishers",
        "ring",
        "settings",
        "station",
        "tagging",
    },
}
"""The rooms of the daemon, and which others each may import. ``commands`` may import all."""

TRAIN_MAY_IMPORT = {
    "genred.__version__",
    # what is judged on the air goes the daemon's own way
    "genred.analysis",
    "genred.judgement.gate",
    "genred.judgement.pooling",
    "genred.judgement.smoother",
    "genred.resample",
    "genred.settings.judgement",
    # the name of the processor
    "genred.bench.machine",
    # the contract
    "genred.errors",
    "genred.labels",
    "genred.masking",
    "genred.model.metadata",
    "genred.model.session",
    "genred.station",
}

SPOKEN = ("*.py", "*.toml", "*.md", "*.txt", "*.json", "*.yml", "*.yaml", "*.service", "*.conf")


def modules(folder):
    """Each source file under ``folder`` with its module's name."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


@cache
def imports(path):
    """Every module that ``path`` imports, wherever in it and even if for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "genred":
                found |= {f"genred.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return frozenset(found)


def room(module):
    return module.split(".")[1]


def test_the_daemon_imports_no_torch():
    for module, path in modules(DAEMON):
        heads = {each.split(".")[0] for each in imports(path)}
        assert not heads & {"torch", "torchaudio", "genred_train", "onnx", "matplotlib"}, module


def test_the_daemon_reads_no_pickles():
    """Model files and configurations are data: nothing that is read may run code."""
    for module, path in modules(DAEMON):
        assert not imports(path) & {"pickle", "marshal", "shelve", "dill"}, module
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, module


def test_no_module_of_the_daemon_loads_torch():
    """All of them at once, in a process where the lab cannot be imported."""
    code = """if True:
        import importlib, pkgutil, sys

        class Closed:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {"torch", "torchaudio", "genred_train"}:
                    raise AssertionError(f"{name} is imported")

        sys.meta_path.insert(0, Closed())
        import genred
        for module in pkgutil.walk_packages(genred.__path__, "genred."):
            if module.name != "genred.__main__":
                importlib.import_module(module.name)
        print(len([name for name in sys.modules if name.startswith("genred.")]))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_help_loads_nothing_heavy():
    """``genred --help`` answers at once, and no command waits for what another one needs."""
    code = """if True:
        import sys
        from genred.commands import build_parser
        build_parser().format_help()
        heavy = {"numpy", "onnxruntime", "av", "rich", "paho", "amqtt", "sounddevice", "pydantic"}
        sys.exit(" ".join(sorted(heavy & set(sys.modules))) or 0)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_room_imports_only_what_it_may():
    faults = []
    for module, path in modules(DAEMON):
        if module == "genred" or room(module) in {"__main__", "commands"}:
            continue
        own = room(module)
        assert own in MAY_IMPORT, f"{own} is new: say in this table what it may import"
        allowed = MAY_IMPORT[own] | {own}
        inside = [each for each in imports(path) if each.startswith("genred.")]
        faults += [f"{module} imports {each}" for each in inside if room(each) not in allowed]
    assert faults == []


def test_only_the_command_line_imports_commands():
    for module, path in modules(DAEMON):
        if module != "genred.__main__" and not module.startswith("genred.commands"):
            assert not any(each.startswith("genred.commands") for each in imports(path)), module


def test_the_lab_imports_only_the_contract():
    for module, path in modules(TRAIN):
        for each in imports(path):
            if each.startswith("genred."):
                allowed = each in TRAIN_MAY_IMPORT or each.startswith("genred.station.")
                assert allowed, f"{module} imports {each}"


def test_nobody_goes_in_circles():
    """Imports at the top of modules, types aside, can be put into an order."""
    known = {module for module, _ in modules(DAEMON)}
    graph = {module: _needed(path, known) for module, path in modules(DAEMON)}
    done = set()
    while graph:
        free = {module for module, needs in graph.items() if needs <= done | {module}}
        assert free, f"in circles: {sorted(graph)}"
        done |= free
        for module in free:
            del graph[module]


def _needed(path, known):
    """What importing ``path`` imports: not what stands in functions or under TYPE_CHECKING."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner if inner <= known else {node.module}
    return found & known


def spoken():
    """Every text file that belongs to the project."""
    for name in ("daemon", "train", "tests", "configs", "systemd", "docs", "models", ".ci"):
        for pattern in SPOKEN:
            yield from (ROOT / name).rglob(pattern)
    for pattern in SPOKEN:
        yield from ROOT.glob(pattern)
    yield from (ROOT / "Makefile", ROOT / ".ci" / "run")


# Put together here, so that this file does not hold what it looks for.
REGISTRIES = ("py" + "pi.org", "python" + "hosted.org", "conda." + "anaconda.org", "npm" + "js.org")
WORKPLACES = ("/wo" + "rk/", "/tmp/" + "brief", "/tmp/" + "issues")


@pytest.mark.parametrize("words", [REGISTRIES, WORKPLACES])
def test_no_file_names_a_registry_or_a_workplace(words):
    """Where packages come from is the installation's business, and paths are relative."""
    files = list(spoken())
    assert len(files) > 100
    for path in files:
        text = path.read_text("utf-8", errors="replace")
        assert not [word for word in words if word in text], path


def every_error():
    for module in pkgutil.walk_packages(genred.__path__, "genred."):
        if module.name != "genred.__main__":
            importlib.import_module(module.name)
    found = [errors.GenredError]
    for each in found:
        found += each.__subclasses__()
    return [each for each in found if each.__module__.split(".")[0] == "genred"]


def test_every_error_stands_in_the_tree():
    """One documented exception tree: names, exit codes and who descends from whom."""
    rows = re.findall(
        r"^ {4}([│├└─ ]*)(\w+Error)\s+(\d+)?", errors.__doc__ or "", flags=re.MULTILINE
    )
    written = {name: (len(indent), code) for indent, name, code in rows}
    classes = every_error()
    assert {each.__name__ for each in classes} == written.keys()
    for each in classes:
        indent, code = written[each.__name__]
        assert indent == 4 * (len(each.__mro__) - len(errors.GenredError.__mro__)), each
        if each is not errors.GenredError:
            assert int(code) == each.exit_code, each


def test_every_exit_code_is_told_by_help():
    from genred.commands import build_parser

    told = set(re.findall(r"\d+", build_parser().epilog or ""))
    assert {str(each.exit_code) for each in every_error()} <= told


def test_every_command_and_every_option_has_help():
    from genred.commands import COMMANDS, build_parser

    parser = build_parser()
    subparsers = next(each for each in parser._actions if each.choices and each.nargs == "A...")
    assert len(subparsers.choices) == len(COMMANDS)
    for name, command in subparsers.choices.items():
        assert command.description, name
        if not command.add_help:
            continue  # hands all its arguments on to the lab, which has a help of its own
        for action in command._actions:
            assert action.help, f"{name} {action.option_strings or action.dest}"
