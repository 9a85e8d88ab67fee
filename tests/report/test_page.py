"""The page of a run: whole, alone, true to the store, and unmoved by whatever is in a name."""

import base64
import io
import re
import shutil
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import cuvee
from cuvee.config import write_workspace
from cuvee.report import write_report
from cuvee.store.ledger import Ledger
from cuvee.survey import Survey

NewSurvey = Callable[[Sequence[Path], Path], Survey]

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """Reads a page strictly: every tag closes in order; keeps texts, pictures, links, anchors and table rows."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.pictures: list[dict[str, str]] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.pictures.append(values)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if "href" in values:
            self.links.append(values["href"])
        if "id" in values:
            self.anchors.append(values["id"])
        assert not any(name.startswith("on") for name in values), f"a script in {tag}"

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"{tag} was never opened"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)
        if self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def row(self, first: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == first)

    def file(self, name: str) -> list[str]:
        """The row of a file, whose first cell goes on with the folder that it lies in."""
        return next(row for row in self.rows if row and row[0].startswith(f"{name}in "))


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def path(survey: Survey) -> Path:
    return write_report(survey)


@pytest.fixture(scope="module")
def page(path: Path) -> Page:
    return read(path)


def test_the_page_stands_alone(path: Path, page: Page) -> None:
    text = path.read_text(encoding="utf-8")
    style = text.split("<style>")[1].split("</style>")[0]
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r'src="data:image/png;base64,[^"]*"', "", text))
    assert "@media print" in style
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.anchors)
    assert len(set(page.anchors)) == len(page.anchors)
    assert path.stat().st_size < 3_000_000


def test_every_picture_says_what_it_shows_and_is_not_blank(page: Page) -> None:
    # Scatter, background, pointing and sky, and for each of up to nine stars pixels and light curve.
    assert len(page.pictures) >= 4 + 2 * 3
    for picture in page.pictures:
        kind, data = picture["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        assert image.size == (int(picture["width"]), int(picture["height"]))
        pixels = np.asarray(image.convert("L"))
        assert np.unique(pixels).size > 10
        assert 0.005 < np.mean(pixels < 250) < 0.6
        assert len(picture["alt"]) > 20
    alts = [picture["alt"] for picture in page.pictures]
    assert len(set(alts)) == len(alts)


def test_the_same_products_give_the_same_bytes(survey: Survey, path: Path) -> None:
    before = path.read_bytes()
    assert write_report(survey).read_bytes() == before
    assert (path.parent / "run-0001.html").read_bytes() == before


def test_counts_are_those_of_the_store(survey: Survey, page: Page) -> None:
    stars = pq.read_table(survey.paths.light_curves / "tess" / "summary" / "s0008-3-4-ffi.parquet").to_pydict()
    good = sum(n > 0 for n in stars["n_good"])
    assert f"{good:,} stars with good light curves" in page.text
    assert f"{len(stars['id']):,} light curves, {sum(stars['n_point']):,} points" in page.text
    assert "22 frames" in page.text
    assert "22 good files" in page.text
    assert "2 files that cannot be used" in page.text


def test_noise_numbers_are_those_of_the_store(survey: Survey, page: Page) -> None:
    table = pq.read_table(survey.paths.light_curves / "tess" / "summary" / "s0008-3-4-ffi.parquet").to_pylist()
    rows = [row for row in table if row["flux"] and row["flux"] > 0 and np.isfinite(row["scatter"])]
    for words, kept in (
        ("all stars", rows),
        ("alone (90 % of the light is theirs)", [row for row in rows if not row["crowding"] < 0.9]),
        ("15 to 16 mag", [row for row in rows if 15 <= row["mag"] < 16]),
    ):
        ratio = sorted(row["scatter"] / row["flux_err"] for row in kept)
        middle = 0.5 * (ratio[(len(ratio) - 1) // 2] + ratio[len(ratio) // 2])
        shares = [100 * sum(abs(r - 1) <= far for r in ratio) / len(ratio) for far in (0.1, 0.25)]
        ppm = np.median([1e6 * row["scatter"] / row["flux"] for row in kept])
        found = page.row(words)
        assert found[1] == str(len(kept))
        assert int(found[2].replace(",", "")) == round(ppm)
        assert found[4:] == [f"{middle:.3f}", *(f"{share:.0f}\N{NO-BREAK SPACE}%" for share in shares)]


def test_bad_files_are_listed_with_reason_place_and_remedy(
    survey: Survey, page: Page, bad_names: tuple[str, str]
) -> None:
    before = {
        row["name"]: row["first_cadence"] for row in Ledger.open(survey.paths.ledger, read_only=True).rows("files")
    }
    for name, reason in zip(bad_names, ("truncated", "not-fits"), strict=True):
        row = page.file(name)
        assert row[0] == f"{name}in {survey.path / 'RAW'}"
        assert row[1] == reason
        cadence = int(row[3].split()[-1])
        assert cadence not in before.values()
        assert min(before.values()) < cadence < max(before.values())
        assert row[4] == "Fetch it again"
    assert len({page.file(name)[3] for name in bad_names}) == 2
    assert page.row("file cannot be used")[-1] == "2"
    assert f"cuvee run -w {survey.path}" in page.text
    assert "1 frame without coordinates (WCS)" in page.text


def test_costs_configuration_and_versions_are_those_of_the_ledger(survey: Survey, page: Page) -> None:
    with Ledger.open(survey.paths.ledger, read_only=True) as ledger:
        units = [unit for unit in ledger.units() if unit["stage"] == "collect"]
        sizes = [row["size"] for row in ledger.products() if row["stage"] == "collect" and row["path"]]
    row = next(row for row in page.rows if row and row[0].startswith("collect"))
    assert row[1] == f"{len(units)}\N{NO-BREAK SPACE}done"
    assert row[5] == f"{max(unit['memory'] for unit in units):,.0f} MiB"
    assert row[6] == str(len(sizes))
    assert page.row("[extract] radii")[1:] == ["[1.5, 2.5, 3.5]", "default"]
    assert page.row("[catalog] files")[2] == "[]"
    assert page.row("cuvee, in this run")[1] == cuvee.__version__
    assert page.row("numpy")[1] == np.__version__
    assert "Typed: cuvee run <b>&'\"" in page.text


def test_hostile_names_stay_words(other: Survey) -> None:
    evil = "<script>alert(1)&\"'><img src=x onerror=y>.fits"
    with Ledger.open(other.paths.ledger) as ledger:
        ledger.put_quarantine(
            [{"path": f"/raw/{evil}", "reason": "<i>", "message": f"/raw/{evil} is {evil}", "run_id": 1}]
        )
        ledger.put_units([{"stage": "extract", "data_id": evil, "outcome": "failed", "message": evil}])
    found = read(write_report(other))
    assert "script" not in found.tags
    assert found.file(evil)[1] == "<i>"
    assert found.row("extract")[:2] == ["extract", evil]
    assert len(found.pictures) >= 4


def test_a_survey_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    write_workspace(tmp_path / "w & <b>", "tess", ["RAW"], [])
    found = read(write_report(cuvee.open(tmp_path / "w & <b>")))
    assert found.pictures == []
    assert f"cuvee run -w '{tmp_path}/w & <b>'" in found.text
    assert "Nothing has been run here yet" in found.text


def test_lost_light_curves_are_said_and_the_rest_is_shown(other: Survey, bad_names: tuple[str, str]) -> None:
    shutil.rmtree(other.paths.light_curves / "tess" / "dataset")
    found = read(write_report(other))
    assert "This detector cannot be shown: There are no light curves" in found.text
    assert found.file(bad_names[0])[1] == "truncated"


def test_lost_reference_images_leave_the_light_curves(other: Survey) -> None:
    shutil.rmtree(other.path / "BASE" / "reference-frames")
    found = read(write_report(other))
    assert any("Light curve of TIC" in picture["alt"] for picture in found.pictures)
    assert not any("Pixels around" in picture["alt"] for picture in found.pictures)


def test_no_light_curves_at_all(survey: Survey, new_survey: NewSurvey, tmp_path: Path) -> None:
    table = tmp_path / "far.csv"
    table.write_text("id,ra,dec,Tmag\n1,10.0,80.0,9.0\n")
    found = read(write_report(new_survey([survey.path / "RAW"], table)))
    assert "There are no light curves yet" in found.text
    assert "2 files cannot be used" in found.text


def test_one_star(survey: Survey, new_survey: NewSurvey, tmp_path: Path) -> None:
    lines = (survey.path / "BASE" / "CAT" / "catalog.csv").read_text().splitlines()
    summary = pq.read_table(survey.paths.light_curves / "tess" / "summary" / "s0008-3-4-ffi.parquet").to_pylist()
    star = min((row for row in summary if row["n_good"] > 20), key=lambda row: row["mag"])
    table = tmp_path / "one.csv"
    table.write_text("\n".join([lines[0], *(line for line in lines if line.startswith(f"{star['id']},"))]) + "\n")
    found = read(write_report(new_survey([survey.path / "RAW"], table)))
    assert f"TIC {star['id']}" in found.text
    assert found.row("all stars")[1] == "1"


def test_two_detectors_make_an_overview_and_two_parts(survey: Survey, new_survey: NewSurvey, tmp_path: Path) -> None:
    raw = tmp_path / "RAW"
    raw.mkdir()
    for path in sorted((survey.path / "RAW").glob("*_ffic.fits"))[:5]:
        data = path.read_bytes()
        for card in (b"CAMERA", b"CCD"):
            data = re.sub(card.ljust(8) + rb"= +\d", lambda found: found[0][:-1] + b"2", data)
        (raw / path.name.replace("-3-4-", "-2-2-")).write_bytes(data)
    both = new_survey([survey.path / "RAW", raw], survey.path / "BASE" / "CAT" / "catalog.csv")
    found = read(write_report(both))
    assert found.tags.count("details") == 2
    assert "TESS sector 8: 2 detectors" in found.text
    for detector, frames in (("camera 2, CCD 2", "5"), ("camera 3, CCD 4", "22")):
        assert found.row(f"TESS sector 8, {detector}, full-frame images")[2] == frames
    assert any("Map of the edges of 2 detectors" in picture["alt"] for picture in found.pictures)


def test_stamps_only(shared_data: Path, new_survey: NewSurvey) -> None:
    stamps = shared_data / "tess_ic2391_s8_c3_ccd4"
    files = sorted(stamps.glob("TPF*_S8C8.fits.gz"))[:4]
    found = read(write_report(new_survey(files, stamps / "cluster_targets_tic.ecsv")))
    assert "cadences of 4 stamps" in found.text
    assert found.row("desaturation")[1:] == ["reaction wheel desaturation event", "yes", "5"]
    assert found.row("no frame")[-1] == "215"
