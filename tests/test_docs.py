"""The pages tell the truth: examples run, commands and links exist, made pages are fresh, every room is in the guide."""

import importlib.util
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
GUIDE = (ROOT / "docs" / "GUIDE.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(page: Path, language: str) -> list[str]:
    return [code for kind, code in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def shell_lines() -> list[str]:
    return [line for page in PAGES for code in fences(page, "sh") for line in code.splitlines() if line.strip()]


def cuvee(*arguments: str, folder: Path | None = None) -> str:
    """Run the installed command and return what it prints."""
    command = shutil.which("cuvee", path=str(Path(sys.executable).parent)) or "cuvee"
    # Wide, so that help is not folded; plain, so that it can be searched.
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", "PATH": str(Path(command).parent)}
    done = subprocess.run(
        [command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (
        f"cuvee {shlex.join(arguments)} exits with {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    return done.stdout


@pytest.fixture(scope="module")
def folder_with_a_survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``my-survey`` is a small survey, reduced."""
    folder = tmp_path_factory.mktemp("docs")
    simulate = "--frames 24 --stars 40 --size 96 --seed 5"
    cuvee("simulate", "tess", "my-survey", *simulate.split(), folder=folder)
    cuvee("run", "-w", "my-survey", "--executor", "serial", folder=folder)
    return folder


def test_every_fence_says_what_it_is() -> None:
    wrong = [
        f"{page.name}: {code.splitlines()[0] if code else 'empty'}"
        for page in PAGES
        for kind, code in FENCE.findall(page.read_text(encoding="utf-8"))
        if kind not in {"python", "sh", "text", "toml"}
    ]
    assert not wrong, f"say python, sh, toml or text after the three marks: {wrong}"


@pytest.mark.parametrize("page", [page for page in PAGES if fences(page, "python")], ids=lambda page: page.name)
def test_python_examples_run(page: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = fences(page, "python")
    if any("my-survey" in code for code in examples):
        monkeypatch.chdir(request.getfixturevalue("folder_with_a_survey"))
    names: dict[str, object] = {"__name__": "example"}
    for code in examples:
        exec(compile(code, page.name, "exec"), names)


def test_commands_in_the_pages_exist_with_their_options() -> None:
    wrong = []
    helps: dict[str, str] = {}
    for line in shell_lines():
        words = shlex.split(line, comments=True)
        if words[:1] != ["cuvee"]:
            continue
        verb = words[1]
        if verb not in helps:
            helps[verb] = cuvee(verb, "--help")
        if re.search(
            rf"^  {re.escape([*words, '-'][2])} {{2,}}\w", helps[verb].partition("Commands:")[2], re.MULTILINE
        ):
            verb = " ".join(words[1:3])
            helps.setdefault(verb, cuvee(*words[1:3], "--help"))
        options = (word.split("=")[0] for word in words if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word))
        wrong += [
            f"{line}: no {option}" for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", helps[verb])
        ]
    assert helps
    assert not wrong, "\n".join(wrong)


def test_every_command_is_in_the_pages() -> None:
    verbs = set(re.findall(r"^  ([a-z]+) {2,}\w", cuvee("--help").split("Commands:", 1)[1], re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert {"init", "run"} <= verbs
    assert [verb for verb in sorted(verbs) if f"cuvee {verb}" not in text] == []


def test_the_readme_names_the_columns_that_light_curves_have(folder_with_a_survey: Path) -> None:
    dataset = folder_with_a_survey / "my-survey" / "LC" / "tess" / "dataset"
    schema = pq.read_schema(next(dataset.rglob("s*.parquet")))
    names = set(schema.names) | {field.name for field in schema.field("lc").type}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", readme, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    # The table shows the first aperture for all of them.
    assert documented == {name for name in names if not re.match(r"aperture[2-9]", name)}


def test_make_targets_in_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"`make ([a-z]+)", text)) | {
        words[1] for line in shell_lines() if (words := line.split())[0] == "make"
    }
    assert {"demo", "test"} <= named
    assert named <= targets, f"no such target: {sorted(named - targets)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


def test_the_guide_has_every_room_on_the_floor_that_import_linter_holds_it_to() -> None:
    files = (ROOT / "src" / "cuvee").rglob("*.py")
    rooms = {path.relative_to(ROOT / "src" / "cuvee").parts[0].removesuffix(".py") for path in files} - {"__init__"}
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    floors = {name: floor for floor, layer in enumerate(reversed(layers), 1) for name in re.findall(r"\w+", layer)}
    guide = {name: int(floor) for floor, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", GUIDE, re.MULTILINE)}
    assert guide == floors
    assert set(guide) == rooms


def test_modules_named_in_the_guide_exist() -> None:
    missing = []
    for name in sorted(set(re.findall(r"`(cuvee(?:\.\w+)+)`", GUIDE)) - {"cuvee.db", "cuvee.toml"}):
        parts = name.split(".")
        found = next(k for k in range(len(parts), 0, -1) if _is_module(".".join(parts[:k])))
        thing: object = importlib.import_module(".".join(parts[:found]))
        for part in parts[found:]:
            if not hasattr(thing, part):
                missing.append(name)
                break
            thing = getattr(thing, part)
    assert not missing
    files = re.findall(r"`((?:src|docs|tests|benchmarks)/[\w/.]+)`", GUIDE)
    assert all((ROOT / file).exists() for file in files if "NAME" not in file)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("name", ["flags.md"])
def test_made_pages_are_fresh(name: str) -> None:
    pages = runpy.run_path(str(ROOT / "docs" / "make_tables.py"))["PAGES"]
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages[name](), "stale; run: make docs"


def test_the_version_is_the_same_everywhere_and_changes_have_a_place() -> None:
    from cuvee import __version__

    heads = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
