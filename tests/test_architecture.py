"""The architecture, drawn from the imports: one direction, no circles, a name for each module."""

import ast
import graphlib
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import attentive_gconv as ag

PACKAGE = Path(ag.__file__).parent
# rooms from the lowest to the highest; those on one line do not import each other
ORDER = [
    ("lookup", "lazy_names", "files", "environment", "resizing", "caller"),
    ("settings",),
    ("yaml_settings", "importing"),
    ("groups",),
    ("functional",),
    ("nn",),
    ("testing",),
    ("models",),
    ("data",),
    ("checkpoints",),
    ("inference",),
    ("export",),
    ("training",),
    ("experiments", "visualize", "bench"),
    ("__init__",),
    ("cli",),
    ("__main__",),
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
# backends are named after what they run on
TWICE = {"numba_backend", "torch_backend", "triton_backend", "__init__", "__main__"}


def name_of(path: Path) -> str:
    """The dotted name of a module of the package, without the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}: import by the full name, not {'.' * node.level}"
            assert node.level == 0, f"{path}: import by the full name, not {'.' * node.level}{node.module}"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            root, _, inner = name.partition(".")
            if root == PACKAGE.name and inner:
                # a name that is no module is one of its package's
                yield inner if inner in MODULES else inner.rpartition(".")[0] or "__init__"


IMPORTS = {name: set(imports_of(path)) - {name} for name, path in MODULES.items()}


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_room_has_its_place() -> None:
    assert {room(module) for module in MODULES} <= set(LEVEL)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_one_way(module: str) -> None:
    upward = {
        imported
        for imported in IMPORTS[module]
        if room(imported) != room(module) and LEVEL[room(imported)] >= LEVEL[room(module)]
    }
    assert not upward, f"{module} imports {sorted(upward)}, which are not below it"


def test_imports_go_round_in_no_circle() -> None:
    # a package's __init__ shows what its modules define: they import each other by their own names
    try:
        graphlib.TopologicalSorter(IMPORTS).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" → ".join(a for a, _ in pairwise(error.args[1])))


def test_definitions_never_import_fast_forms() -> None:
    definition = {name for name in MODULES if name.startswith("functional.definition")}
    seen, waiting = set(), set(definition)
    while waiting:
        seen |= waiting
        waiting = {imported for module in waiting for imported in IMPORTS[module]} - seen
    assert definition
    assert not {module for module in seen if module.startswith("functional.fast")}


def test_a_module_name_stands_once() -> None:
    paths = defaultdict(list)
    for path in MODULES.values():
        paths[path.stem].append(str(path.relative_to(PACKAGE)))
    assert {stem: found for stem, found in paths.items() if len(found) > 1 and stem not in TWICE} == {}


# what only `functional/fast/dispatch.py` may ask
RULES = [
    "torch.compiler",
    "_functorch",
    "is_autocast_enabled",
    "forward_ad",
    "_len_torch_dispatch_stack",
    "device.type",
]


def test_rules_of_dispatch_stand_in_one_place() -> None:
    places = {
        module: [rule for rule in RULES if rule in path.read_text(encoding="utf-8")]
        for module, path in MODULES.items()
        if module.startswith("functional.") and module != "functional.fast.dispatch"
    }
    assert {module: found for module, found in places.items() if found} == {}
