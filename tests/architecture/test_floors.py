"""Imports go down only: the floor table as data, and what ``import fairpo`` may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fairpo

ROOT = Path(fairpo.__file__).parent

FLOORS = {
    "_checks": 0,
    "_files": 0,
    "_markdown": 0,
    "_optional": 0,
    "_random": 0,
    "_titles": 0,
    "pareto": 0,
    "groups": 1,
    "losses": 1,
    "group_weights": 1,
    "metrics": 1,
    "decisions": 2,
    "objectives": 2,
    "models": 2,
    "data": 2,
    "training": 3,
    "estimator": 4,
    "hf": 4,
    "labelsets": 4,
    "generation": 4,
    "experiments": 5,
    "report": 6,
    "cli": 7,
    "testing": 7,
    "__main__": 8,
}

FORBIDDEN = {
    ("objectives", "models"),
    ("objectives", "data"),
    ("decisions", "objectives"),
    ("decisions", "models"),
    ("decisions", "data"),
    ("models", "data"),
    ("models", "objectives"),
    ("data", "objectives"),
    ("hf", "estimator"),
    ("estimator", "hf"),
    ("estimator", "labelsets"),
    ("hf", "labelsets"),
    ("labelsets", "estimator"),
    ("labelsets", "hf"),
    ("labelsets", "generation"),
    ("generation", "labelsets"),
    ("generation", "estimator"),
    ("generation", "hf"),
    ("estimator", "generation"),
    ("hf", "generation"),
    ("cli", "estimator"),
    ("cli", "hf"),
    ("experiments", "estimator"),
    ("experiments", "hf"),
    ("report", "experiments"),
    ("report", "training"),
    ("report", "metrics"),
    ("report", "decisions"),
}
"""Pairs that the floors would allow: objectives never see models or data, doors not each other."""


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imported(module: str, name: str) -> str:
    """The module a ``from`` import reaches: a submodule where there is one of that name."""
    folder = ROOT.joinpath(*module.split(".")[1:])
    submodule = (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
    return f"{module}.{name}" if submodule else module


def imports() -> list[tuple[str, str, str]]:
    found = []
    for path in ROOT.rglob("*.py"):
        name = ".".join(("fairpo", *path.relative_to(ROOT).with_suffix("").parts))
        name = name.removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fairpo"):
                targets = [imported(node.module, alias.name) for alias in node.names]
            elif isinstance(node, ast.Import):
                targets = [a.name for a in node.names if a.name.startswith("fairpo.")]
            else:
                continue
            found += [(name, target, path.name) for target in targets]
    return found


def test_every_room_has_a_floor():
    rooms = {path.stem if path.is_file() else path.name for path in ROOT.iterdir()}
    rooms -= {"__init__", "__pycache__", "py"}
    assert {name for name in rooms if not name.startswith("__py")} - {"py.typed"} == set(FLOORS)


@pytest.mark.parametrize("importer", sorted(FLOORS))
def test_imports_go_down(importer):
    for source, target, _ in imports():
        if room(source) != importer or room(target) in ("", importer) or room(target) not in FLOORS:
            continue
        assert FLOORS[room(target)] <= FLOORS[importer], (
            f"{source} imports {target}, which is above"
        )
        assert (importer, room(target)) not in FORBIDDEN, f"{source} may not know {target}"


def test_no_circles_between_modules():
    graph: dict[str, set[str]] = {}
    for source, target, _ in imports():
        graph.setdefault(source, set()).add(target)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module in done:
            return
        for target in graph.get(module, ()):
            if target != module:
                visit(target, (*path, module))
        done.add(module)

    for module in list(graph):
        if module != "fairpo":  # the package itself only names its rooms, lazily
            graph[module].discard("fairpo")
            visit(module, ())


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_import_fairpo_is_light():
    heavy = {"sklearn", "scipy", "pandas", "altair", "torch", "typer", "rich", "transformers"}
    assert not loaded_by("import fairpo") & heavy


def test_objectives_load_nothing_heavier_than_torch_and_numpy():
    heavy = {"sklearn", "scipy", "pandas", "altair", "typer", "rich", "transformers"}
    assert not loaded_by("from fairpo import make_objective, LabelPartition") & heavy


def test_a_set_generator_loads_nothing_heavier_than_torch_and_numpy():
    heavy = {"sklearn", "scipy", "pandas", "altair", "typer", "rich", "transformers"}
    assert not loaded_by("from fairpo.labelsets import LabelSetGenerator, set_log_probs") & heavy


def test_the_report_needs_no_torch():
    assert "torch" not in loaded_by("import fairpo.report.html")


def test_decisions_need_no_torch():
    assert "torch" not in loaded_by("import fairpo.decisions")


def test_generation_is_light_until_something_is_used():
    heavy = {"torch", "transformers", "datasets", "peft"}
    assert not loaded_by("import fairpo.generation") & {*heavy, "numpy", "scipy"}
    assert not loaded_by("from fairpo.generation import PreferencePairs, load_pairs") & heavy


def test_every_public_name_is_there():
    for name in fairpo.__all__:
        assert getattr(fairpo, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        fairpo.nothing  # noqa: B018


def test_no_room_for_leftovers():
    assert not [path for path in ROOT.rglob("*") if path.stem in ("utils", "helpers", "misc")]
