"""The rules of the house that no linter knows; import-linter (pyproject.toml) holds the walls between the rooms."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
MODULES = sorted(SRC.rglob("*.py"))

MAX_LINES = 400
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "misc"}
PURE_ROOMS = {"background", "catalog", "collect", "extract", "kernels", "metrics", "model", "photometry", "reference"}
KERNELS_MAY_IMPORT = {"__future__", "collections", "functools", "math", "numba", "numpy", "typing"}
HEAVY = ("astropy", "matplotlib", "numba", "pandas", "photutils", "pyarrow", "scipy")


def dotted(path: Path) -> str:
    """Return the dotted name of a module's file."""
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def room(path: Path) -> str:
    parts = dotted(path).split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def exports(path: Path) -> list[str] | None:
    """Return a module's ``__all__``, or None where it has none."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            return [str(name) for name in ast.literal_eval(node.value)]
    return None


def public_definitions(path: Path) -> list[str]:
    """Return the functions and classes that a module defines at its top level without an underscore."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode != 0:
        pytest.skip("this is not a git checkout, so no file is tracked")
    names = [name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in (ROOT / name for name in names) if path.is_file()]


def test_no_module_is_longer_than_a_newcomer_reads() -> None:
    lengths = {dotted(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    long = {name: n for name, n in lengths.items() if n > MAX_LINES}
    assert not long, f"over {MAX_LINES} lines, so make a folder of it: {long}"


def test_module_names_say_what_is_inside() -> None:
    empty = [dotted(path) for path in MODULES if NAMES_THAT_SAY_NOTHING & set(dotted(path).split("."))]
    assert not empty, f"name these after what they do: {empty}"


def test_public_modules_list_all_their_names() -> None:
    # That the list is sorted and names nothing absent, ruff checks (RUF022, F822).
    wrong = []
    for path in MODULES:
        private = any(part.startswith("_") for part in dotted(path).split("."))
        if private or "migrations" in path.parts:
            continue
        names, defined = exports(path), public_definitions(path)
        if names is None and defined:
            wrong.append(f"{dotted(path)}: has no __all__")
        elif missing := sorted(set(defined) - set(names or [])):
            wrong.append(f"{dotted(path)}: public, but not in __all__: {missing}")
    assert not wrong, "\n".join(wrong)


def test_every_room_has_its_tests() -> None:
    tests = ROOT / "tests"
    # The suites in `testing` are tests themselves; the instruments, stores and executors of this house run them.
    rooms = {room(path) for path in MODULES if public_definitions(path)} - {"", "testing"}
    bare = [
        name
        for name in rooms
        if not (tests / f"test_{name}.py").is_file() and not list((tests / name).glob("test_*.py"))
    ]
    assert not bare, f"tests/ mirrors src/cuvee/, and has nothing for {sorted(bare)}"


def test_kernels_import_only_numpy_and_numba() -> None:
    wrong = {
        dotted(path): sorted(found)
        for path in MODULES
        if room(path) == "kernels" and (found := {name.split(".")[0] for name in imports(path)} - KERNELS_MAY_IMPORT)
    }
    assert not wrong, f"kernels may import only {sorted(KERNELS_MAY_IMPORT)}: {wrong}"


def test_the_floor_plan_does_not_know_how_stages_run() -> None:
    plan = [path for path in MODULES if room(path) == "pipeline"]
    names = {name for path in plan for name in imports(path) if name.startswith(("cuvee.run", "cuvee.store"))}
    wrong = {name for name in names if name != "cuvee.run" and not name.startswith("cuvee.run.stage")}
    assert not wrong, f"cuvee.pipeline is a table; it needs cuvee.run.stage and the rooms, not {sorted(wrong)}"


def test_arithmetic_reads_no_fits_files() -> None:
    # A forbidden contract of import-linter cannot name a part of another package, and astropy.wcs and .time are welcome.
    wrong = [
        f"{dotted(path)}: {name}"
        for path in MODULES
        if room(path) in PURE_ROOMS
        for name in imports(path)
        if name == "astropy.io" or name.startswith(("astropy.io.", "astropy.table.Table.read"))
    ]
    assert not wrong, f"readers belong to instruments and store: {wrong}"


def test_arithmetic_opens_and_prints_nothing() -> None:
    wrong = [
        f"{dotted(path)}:{node.lineno}: {node.func.id}()"
        for path in MODULES
        if room(path) in PURE_ROOMS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "print", "input"}
    ]
    assert not wrong, f"pure rooms do no I/O: {wrong}"


def _loaded_by(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


@pytest.mark.parametrize("module", ["cuvee", "cuvee.cli", "cuvee.errors", "cuvee.model.flags"])
def test_start_up_loads_nothing_heavy(module: str) -> None:
    heavy = _loaded_by(f"import {module}") & set(HEAVY)
    assert not heavy, f"import {module} pulls in {sorted(heavy)}; import them where they are used"


def test_no_path_of_a_machine_in_tracked_files() -> None:
    # Put together here, so that this file does not find itself.
    starts = ("home/[a-z]", "Users/[A-Za-z]", "root/", "work/", "mnt/", "opt/")
    folders = re.compile(rb"(?<![\w.$})~*/-])/(" + "|".join(starts).encode() + b")")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files()
        if b"\0" not in (content := path.read_bytes())[:8192]
        for number, line in enumerate(content.splitlines(), 1)
        if folders.search(line)
    ]
    assert not wrong, f"these lines name a folder of one machine: {wrong}"


def _requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lists = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    return [Requirement(line) for lines in lists for line in lines]


def test_what_is_imported_is_required_and_what_is_required_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    extras = project["optional-dependencies"].values()
    optional = {canonicalize_name(Requirement(line).name) for lines in extras for line in lines}
    used = {name.split(".")[0] for path in MODULES for name in imports(path)} - set(sys.stdlib_module_names) - {"cuvee"}
    distributions = metadata.packages_distributions()
    bringing = {canonicalize_name(distributions.get(name, [name])[0]) for name in used}
    # `LightCurve.to_pandas` is for those who have pandas, and says so to the others.
    assert bringing - required - optional == {"pandas"}
    assert required - bringing == set()


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_every_requirement_is_pinned_to_a_version_that_it_allows() -> None:
    pins = _pins()
    wrong = [
        str(r) for r in _requirements() if not r.specifier.contains(pins.get(canonicalize_name(r.name), "missing"))
    ]
    assert not wrong, f"constraints.txt lacks a version for, or has one that is too old: {wrong}"


def test_what_a_pinned_package_needs_is_pinned_too() -> None:
    pins = _pins()
    wrong = set()
    for name in pins:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # needed only to build, or by another version of Python
            continue
        for line in needs:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wrong |= (
                    {f"{name} needs {requirement.name}"} if canonicalize_name(requirement.name) not in pins else set()
                )
    assert not wrong, f"add to constraints.txt: {sorted(wrong)}"
