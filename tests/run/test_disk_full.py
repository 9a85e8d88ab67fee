"""A disk that is full at each stage: one sentence, nothing half-written, and the same bytes once there is room."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.run.disks import PAGE, fill, mount
from tests.run.fault_surveys import Survey, call
from tests.run.workspaces import product_bytes

from cuvee.pipeline import PIPELINE
from cuvee.store.atomic import TEMPORARY_SUFFIX

STAGES = [stage.name for stage in PIPELINE if stage.name != "extract-series" and stage.wanted is None]
WRITES = {
    "catalog": ("BASE", "CAT/partitions/**/*.parquet"),
    "reference": ("BASE", "reference-frames/*.reference"),
    "targets": ("RED", "*/*/targets.parquet"),
    "extract": ("RED", "*/*/fluxes/*.arrow"),
    "tracks": ("RED", "*/*/tracks.parquet"),
    "collect": ("LC", "*/dataset/**/Npix=*/*.parquet"),
    "summary": ("LC", "*/summary/*.parquet"),
    "publish": ("LC", "*/properties"),
}
"""Where each stage writes, and what."""


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return Survey("frames", Path(tmp_path_factory.mktemp("full")))


def said_of(root: Path, *words: object) -> str:
    """Run on a full disk; return the one sentence that is said."""
    code, out, err = call("run", "-w", root, "--executor", "serial", "-q", *words)
    assert (code, out) == (3, ""), (code, out, err)
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("cuvee: ")
    assert lines[0].endswith(".")
    assert not list(root.rglob(f"*{TEMPORARY_SUFFIX}"))
    assert not (root / "REDTEMP" / "errors").exists()
    return lines[0]


def finish(survey: Survey) -> None:
    code, answer, err = survey.run()
    assert (code, err) == (0, ""), (answer, err)
    assert product_bytes(survey.root) == survey.bytes
    assert survey.run()[1]["worked"] == 0


@pytest.mark.parametrize("share", [0.0, 0.7], ids=["no room", "too little"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_at_a_stage(survey: Survey, mounted: list[Path], stage: str, share: float) -> None:
    """With no room a file cannot be begun; with too little for it, it breaks off in the middle."""
    place, files = WRITES[stage]
    largest = max(path.stat().st_size for path in (survey.finished / place).glob(files))
    left = int(share * largest) // PAGE * PAGE
    if share and not left:
        pytest.skip(f"what {stage} writes is smaller than a page of memory")
    survey.begin(finished=False)
    before = STAGES[: STAGES.index(stage)]
    if before:
        assert call("run", "-w", survey.root, "--executor", "serial", "-q", "--until", before[-1])[0] == 0
    folder = survey.root / place
    mount(folder, mounted)
    good = product_bytes(survey.root)
    filler = fill(folder, left)
    said = said_of(survey.root)
    assert str(folder) in said or "are free" in said, said
    assert "No space left" in said or "are free" in said, said
    seen = {name: found for name, found in product_bytes(survey.root).items() if not name.endswith("filler")}
    assert good.items() <= seen.items()
    assert seen.items() <= survey.bytes.items()  # whatever can be seen is whole
    filler.unlink()
    finish(survey)


def test_a_full_disk_under_the_ledger(survey: Survey, mounted: list[Path]) -> None:
    for finished in (False, True):
        survey.begin(finished)
        shutil.rmtree(survey.root / "truth")
        raw = survey.root / "RAW"
        elsewhere = survey.root.parent / "raw-elsewhere"
        raw.rename(elsewhere)
        raw.symlink_to(elsewhere)
        mount(survey.root, mounted)
        filler = fill(survey.root)
        said = said_of(survey.root)
        assert str(survey.root) in said
        assert ("disk is full" if finished else "No space left") in said
        filler.unlink()
        finish(survey)
        subprocess.run(["umount", str(mounted.pop())], check=True)
        shutil.rmtree(elsewhere)


def test_a_full_disk_found_out_by_a_worker(survey: Survey, mounted: list[Path]) -> None:
    survey.begin(finished=False)
    assert call("run", "-w", survey.root, "--executor", "serial", "-q", "--until", "targets")[0] == 0
    mount(survey.root / "RED", mounted)
    blocks = [path.stat().st_size for path in survey.finished.glob("RED/*/*/fluxes/*.arrow")]
    assert len(blocks) == 2
    filler = fill(
        survey.root / "RED", int(0.8 * sum(blocks)) // PAGE * PAGE
    )  # enough for the forecast, and for the smaller
    assert "No space left" in said_of(survey.root, "--executor", "process", "--workers", "2")
    filler.unlink()
    finish(survey)


def test_a_full_disk_under_the_report(survey: Survey, mounted: list[Path]) -> None:
    survey.begin(finished=True)
    mount(survey.root / "report", mounted)
    filler = fill(survey.root / "report")
    code, out, err = call("report", "-w", survey.root)
    assert (code, out) == (3, "")
    assert [
        line for line in err.splitlines() if line.startswith("cuvee: ") and "No space left" in line
    ] == err.splitlines()[-1:]
    assert not list(survey.root.glob("report/*.html"))
    assert not list(survey.root.rglob(f"*{TEMPORARY_SUFFIX}"))
    filler.unlink()
    assert product_bytes(survey.root) == survey.bytes
