"""Two sets of parameters in one workspace: side by side, each complete, neither touching the other."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import pytest
from tests.run.workspaces import product_bytes, raw_files, run, times

import cuvee
from cuvee.config import load
from cuvee.errors import ConfigError
from cuvee.simulate.tess import simulate
from cuvee.status import workspace_status
from cuvee.store.paths import Paths


def choose(root: Path, project: str, radii: list[float]) -> None:
    """Give the workspace another project and other parameters."""
    config = load(root)
    sections: dict[str, dict[str, object]] = {
        "workspace": {"instrument": "tess", "project": project},
        "data": {"files": list(config.data.files)},
        "catalog": {"files": list(config.catalog.files)},
        "extract": {"radii": radii},
    }
    text = [
        f"[{name}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in keys.items()) for name, keys in sections.items()
    ]
    (root / "cuvee.toml").write_text("\n".join(text))


def test_projects_live_side_by_side(tmp_path: Path) -> None:
    root = tmp_path / "survey"
    simulate(root, frames=24, stars=30, size=96, seed=4)
    choose(root, "", [1.5, 2.5])
    first = run(root)
    assert first.worked
    kept, written = product_bytes(root), times(root)
    raw = {path: path.stat().st_mtime_ns for path in raw_files(root)}
    plain = cuvee.open(root).light_curves()

    choose(root, "12", [2.0, 3.0, 4.0])
    second = run(root)
    assert second.worked == first.worked
    assert second.n_files == first.n_files
    everything = product_bytes(root)
    assert {name: everything[name] for name in kept} == kept
    assert {name: when for name, when in times(root).items() if name in written} == written
    added = {name for name in everything if name not in kept}
    assert added
    assert all(name.startswith(("LC/projid12/", "RED/projid12/")) for name in added)
    assert {path: path.stat().st_mtime_ns for path in raw_files(root)} == raw
    assert (root / "cuvee-projid12.db").is_file()
    assert not (root / "BASE" / "reference-frames" / "projid12").exists()

    # Each is there, whole, and is left alone by a rerun of either.
    for project, radii, n_aperture in (("", [1.5, 2.5], 2), ("12", [2.0, 3.0, 4.0], 3)):
        choose(root, project, radii)
        assert run(root).worked == 0
        assert product_bytes(root) == everything
        survey = cuvee.open(root)
        table = survey.light_curves()
        assert table.num_rows == plain.num_rows
        names = [field.name for field in table.schema.field("lc").type]
        assert sum(name.startswith("aperture") and name.endswith("_flux") for name in names) == n_aperture
        assert workspace_status(survey)["light_curves"] == plain.num_rows
        star = int(table["id"][0].as_py())
        assert survey.stamp(survey.light_curve(star)) is not None
        assert survey.paths.project == load(root).workspace.project
    assert pc.all(pc.equal(plain["id"], table["id"])).as_py()


def test_a_project_changes_nothing_but_its_own(tmp_path: Path) -> None:
    plain, other = (Paths.of_project(tmp_path, "BASE", "RED", "LC", name) for name in ("", "x"))
    assert plain == Paths(tmp_path)
    assert plain.lock == other.lock
    for name in ("ledger", "light_curves", "partitions"):
        assert getattr(plain, name) != getattr(other, name)


@pytest.mark.parametrize("name", ["../up", "a b", "a/b", "x" * 33])
def test_names_that_are_no_folder_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "cuvee.toml").write_text(f'[workspace]\ninstrument = "tess"\nproject = "{name}"\n')
    with pytest.raises(ConfigError, match=r"\[workspace\] project"):
        load(tmp_path)
