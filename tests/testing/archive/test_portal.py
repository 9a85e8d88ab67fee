"""The portal's searches, asked as the API documents it, against what was put into the folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from astropy.wcs import WCS
from tests.testing.archive.asking import ask, invoke
from tests.testing.archive.holdings import PLACES, TIC, light_curve_name

from cuvee.testing.archive import LoopbackArchive
from cuvee.testing.archive.columns import STARS
from cuvee.testing.archive.query import inside, separation

SERVICE = "Mast.Caom.Filtered"


def ids(archive: LoopbackArchive, *filters: Mapping[str, object], columns: str = "*") -> list[str]:
    return sorted(row["obs_id"] for row in invoke(archive, SERVICE, columns=columns, filters=list(filters))["data"])


def test_a_star_is_described_by_its_header(archive: LoopbackArchive) -> None:
    tic = TIC[1]
    answer = invoke(archive, SERVICE, columns="*", filters=[{"paramName": "target_name", "values": [str(tic)]}])
    (row,) = answer["data"]
    name = light_curve_name(tic)
    assert [field["name"] for field in answer["fields"]][:4] == [
        "intentType",
        "obs_collection",
        "provenance_name",
        "instrument_name",
    ]
    assert list(row) == [field["name"] for field in answer["fields"]]
    assert row["obs_id"] == name.removesuffix("_lc.fits")
    assert (row["s_ra"], row["s_dec"]) == PLACES[tic]
    assert row["t_min"] == pytest.approx(1517.34 + 56999.5, abs=1e-9)
    assert (row["sequence_number"], row["t_exptime"], row["dataproduct_type"], row["provenance_name"]) == (
        8,
        120.0,
        "timeseries",
        "SPOC",
    )
    assert row["dataURL"] == f"mast:TESS/product/{name}"


def test_products_are_the_files_and_their_sizes_are_true(archive: LoopbackArchive, served: Path) -> None:
    observed = invoke(archive, SERVICE, columns="*", filters=[])["data"]
    wanted = ",".join(str(row["obsid"]) for row in observed)
    rows = invoke(archive, "Mast.Caom.Products", obsid=wanted)["data"]
    sizes = {row["productFilename"]: row["size"] for row in rows}
    there = {
        path.name: path.stat().st_size for path in served.rglob("*") if path.is_file() and path.name != "notes.txt"
    }
    assert sizes == there
    groups = {row["productFilename"]: (row["productSubGroupDescription"], row["productType"]) for row in rows}
    assert groups[light_curve_name(TIC[0])] == ("LC", "SCIENCE")
    assert groups["ld9m10ujq_corrtag_a.fits"] == ("CORRTAG_A", "SCIENCE")
    assert {
        row["obs_id"] for row in rows if row["productFilename"].endswith("s0008-s0008-0000000025155310-00200_dvt.fits")
    } == {light_curve_name(TIC[0]).removesuffix("_lc.fits")}


def test_full_frame_images_are_one_observation_a_detector(archive: LoopbackArchive, served: Path) -> None:
    (row,) = invoke(archive, SERVICE, columns="*", filters=[{"paramName": "target_name", "values": ["TESS FFI"]}])[
        "data"
    ]
    assert (row["obs_id"], row["dataproduct_type"], row["sequence_number"], row["t_exptime"]) == (
        "tess-s0008-3-4",
        "image",
        8,
        1425.6,
    )
    path = sorted(served.glob("frames/*_ffic.fits"))[3]
    with fits.open(path) as units:
        height, width = units[1].shape
        for key in ("DATE-OBS", "DATE-END"):
            del units[1].header[key]
        ra, dec = WCS(units[1].header).all_pix2world(
            [-0.5, width - 0.5, width - 0.5, -0.5], [-0.5, -0.5, height - 0.5, height - 0.5], 0
        )
    corners = [float(text) for text in row["s_region"].split()[1:]]
    assert corners == pytest.approx(np.ravel(np.column_stack([ra, dec])).tolist(), abs=1e-7)


@pytest.mark.parametrize(
    ("one", "number"),
    [
        ({"paramName": "obs_collection", "values": ["tess"]}, 5),
        ({"paramName": "obs_collection", "values": ["HST", "Kepler"]}, 3),
        ({"paramName": "t_exptime", "values": [{"min": 100, "max": 200}]}, 3),
        ({"paramName": "obs_id", "values": [], "freeText": "tess2019%-s"}, 2),
        ({"paramName": "sequence_number", "values": ["8"]}, 4),
        ({"paramName": "target_name", "values": []}, 8),
        ({"paramName": "filters", "values": ["G130M"], "separator": ";"}, 1),
        ({"paramName": "proposal_id", "values": ["14767"]}, 1),
    ],
)
def test_filters(archive: LoopbackArchive, one: dict[str, object], number: int) -> None:
    assert len(ids(archive, one)) == number
    count = invoke(archive, SERVICE, columns="COUNT_BIG(*)", filters=[one])
    assert (count["data"], count["fields"]) == ([{"Column1": number}], [{"name": "Column1", "type": "string"}])


def test_filters_hold_together_and_columns_can_be_chosen(archive: LoopbackArchive) -> None:
    tess, star = (
        {"paramName": "obs_collection", "values": ["TESS"]},
        {"paramName": "target_name", "values": [str(TIC[0])]},
    )
    assert len(ids(archive, tess, star)) == 3
    answer = invoke(archive, SERVICE, columns="obs_id,s_ra", filters=[star])
    assert [field["name"] for field in answer["fields"]] == ["obs_id", "s_ra"]


def test_pages_hold_every_row_once(archive: LoopbackArchive) -> None:
    pages = [invoke(archive, SERVICE, page, 3, columns="*", filters=[]) for page in (1, 2, 3, 4)]
    assert [page["paging"]["rows"] for page in pages] == [3, 3, 2, 0]
    assert {page["paging"]["pagesFiltered"] for page in pages} == {3}
    assert {page["paging"]["rowsTotal"] for page in pages} == {8}
    assert sorted(row["obs_id"] for page in pages for row in page["data"]) == ids(archive)


def test_what_is_not_understood_is_an_error(archive: LoopbackArchive) -> None:
    assert (
        "obs_collektion"
        in invoke(archive, SERVICE, columns="*", filters=[{"paramName": "obs_collektion", "values": ["x"]}])["msg"]
    )
    assert invoke(archive, "Mast.Nothing")["status"] == "ERROR"
    assert ask(archive, "/api/v0/invoke", "POST", "request=%7B").json["status"] == "ERROR"
    assert ask(archive, "/api/v0/invoke?request=" + quote("[1]")).json["status"] == "ERROR"


@pytest.mark.parametrize(
    "params",
    [
        {"filters": "x"},
        {"filters": [1]},
        {"filters": [{"values": ["x"]}]},
        {"filters": [{"paramName": "t_exptime", "values": [{"min": "a"}]}]},
        {"position": "here"},
        {"position": "1, 2"},
        {},
    ],
)
def test_whatever_is_asked_is_answered(archive: LoopbackArchive, params: dict[str, Any]) -> None:
    for service in (
        SERVICE,
        f"{SERVICE}.Position",
        "Mast.Caom.Cone",
        "Mast.Caom.Products",
        "Mast.Catalogs.Filtered.Tic.Position.Rows",
    ):
        assert invoke(archive, service, **params)["status"] in ("COMPLETE", "ERROR")
    for path in ("search", "list_products", "nothing"):
        for body in (
            "[1]",
            "{",
            '{"target": ["x"]}',
            '{"target": [5], "radius": "wide"}',
            '{"conditions": [7]}',
            '{"conditions": [{"nothing": 1}]}',
        ):
            assert ask(archive, f"/search/hst/api/v0.1/{path}", "POST", body).status in (200, 400, 404)
    for query in ("x=inf&y=5&ra=1&dec=2", "x=nan&y=5&ra=1&dec=2", "ra=nan&dec=nan", "ra=1"):
        assert ask(archive, f"/tesscut/api/v0.1/astrocut?{query}").status in (200, 400)
    assert ask(archive, "/stpubdata?list-type=2&max-keys=many").status == 400
    assert ask(archive, "/stpubdata?list-type=2&continuation-token=%FF").status == 400


def test_a_search_may_be_a_get(archive: LoopbackArchive) -> None:
    request = json.dumps({"service": SERVICE, "params": {"columns": "*", "filters": []}, "format": "json"})
    assert len(ask(archive, f"/api/v0/invoke?request={quote(request)}").json["data"]) == 8


def test_a_place_finds_what_covers_it(archive: LoopbackArchive) -> None:
    frames = next(of for of in archive.site.observations if of.corners).row
    ra, dec = frames["s_ra"], frames["s_dec"]
    found = invoke(archive, "Mast.Caom.Filtered.Position", columns="*", filters=[], position=f"{ra}, {dec}, 2.78e-08")[
        "data"
    ]
    assert [(row["obs_id"], row["distance"]) for row in found] == [("tess-s0008-3-4", 0.0)]
    star = PLACES[TIC[1]]
    cone = invoke(archive, "Mast.Caom.Cone", ra=star[0], dec=star[1] + 0.005, radius=0.01)["data"]
    assert [row["target_name"] for row in cone] == [str(TIC[1])]
    assert cone[0]["distance"] == pytest.approx(18.0, rel=1e-6)


def test_separation_and_inside_agree_with_the_sky() -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        a, b = (
            SkyCoord(rng.uniform(0, 360), math.degrees(math.asin(rng.uniform(-1, 1))), unit="deg") for _ in range(2)
        )
        assert separation(a.ra.deg, a.dec.deg, b.ra.deg, b.dec.deg) == pytest.approx(
            float(a.separation(b).deg), abs=1e-9
        )
    # A square around the pole and one across right ascension zero: both where a box of coordinates fails.
    pole = [(45.0 + 90 * k, 80.0) for k in range(4)]
    assert inside(200.0, 89.0, pole)
    assert not inside(200.0, 79.0, pole)
    assert not inside(200.0, -89.0, pole)
    wrap = [(359.0, -1.0), (1.0, -1.0), (1.0, 1.0), (359.0, 1.0)]
    assert inside(0.3, 0.5, wrap)
    assert inside(359.7, -0.5, wrap[::-1])
    assert not inside(180.0, 0.0, wrap)


def test_stars_are_those_of_the_table(archive: LoopbackArchive, served: Path) -> None:
    table = Table.read(next((served.parent / "sim" / "BASE").rglob("catalog.csv")))
    answer = invoke(
        archive,
        "Mast.Catalogs.Filtered.Tic.Rows",
        columns="*",
        filters=[{"paramName": "Tmag", "values": [{"min": 0, "max": 12}]}],
    )
    bright = table[table["Tmag"] <= 12]
    assert sorted(row["ID"] for row in answer["data"]) == sorted(bright["ID"].tolist())
    assert [field["name"] for field in answer["fields"]] == list(STARS)
    assert len(STARS) == 125
    star = table[0]
    cone = invoke(archive, "Mast.Catalogs.TIC.Cone", ra=float(star["ra"]), dec=float(star["dec"]), radius=0.05)["data"]
    far = (
        SkyCoord(table["ra"], table["dec"], unit="deg").separation(SkyCoord(star["ra"], star["dec"], unit="deg")).arcsec
    )
    assert [row["ID"] for row in cone] == table["ID"][np.argsort(far)][: int((far <= 180).sum())].tolist()
    assert [row["distance"] for row in cone] == pytest.approx(np.sort(far)[: len(cone)].tolist(), abs=1e-6)
    # Nobody has chosen candidates here.
    assert invoke(archive, "Mast.Catalogs.Filtered.Ctl.Rows", columns="*", filters=[])["data"] == []


def test_names_become_places(archive: LoopbackArchive, served: Path) -> None:
    star = Table.read(next((served.parent / "sim" / "BASE").rglob("catalog.csv")))[0]
    names = {"TIC 25155310": PLACES[25155310], f"TIC {star['ID']}": (star["ra"], star["dec"]), "STAR-9000": (175.5512, 26.7025), "kic 11904151": (285.67, 50.24),
             "10.5, -20.25": (10.5, -20.25)}  # fmt: skip
    query = "&".join(f"name={quote(name)}" for name in [*names, "nobody"])
    found = ask(archive, f"/Santa-war/query?outputFormat=json&resolveAll=False&{query}").json["resolvedCoordinate"]
    assert {row["searchString"]: (row["ra"], row["decl"]) for row in found} == {
        name.lower(): place for name, place in names.items()
    }
    assert (
        invoke(archive, "Mast.Name.Lookup", input="TIC 25155310", format="json")["resolvedCoordinate"][0]["ra"]
        == PLACES[25155310][0]
    )


def test_real_files_are_described_by_their_headers(shared_data: Path) -> None:
    with LoopbackArchive(shared_data) as archive:
        rows = {row["obs_id"]: row for row in invoke(archive, SERVICE, columns="*", filters=[])["data"]}
        hst = rows["ld9m10ujq"]
        assert (hst["target_name"], hst["instrument_name"], hst["filters"], hst["proposal_id"]) == (
            "GJ-436",
            "COS/FUV",
            "G130M",
            "14767",
        )
        assert (hst["s_ra"], hst["s_dec"], hst["dataproduct_type"]) == (175.5512325935, 26.70250783734, "spectrum")
        k2 = rows["ktwo221312395-c91_lc"]
        assert (k2["target_name"], k2["sequence_number"], k2["obs_collection"]) == ("ktwo221312395", 9, "K2")
        frame = rows["tess-s0001-1-4"]
        assert frame["t_exptime"] == 1425.6  # as the archive has it for sector 1
        with fits.open(next(shared_data.rglob("tess2018206192942-s0001-1-4-0120-s_ffic.fits.gz"))) as units:
            start = Time(units[0].header["DATE-OBS"].rstrip("Z"), scale="utc").mjd
            for key in ("DATE-OBS", "DATE-END"):
                del units[1].header[key]
            ra, dec = WCS(units[1].header).all_pix2world(43.5, -0.5, 0)  # where the science pixels begin
        assert abs(frame["t_min"] - start) * 86400 < 1.0  # the name's stamp has whole seconds
        assert [float(text) for text in frame["s_region"].split()[1:3]] == pytest.approx(
            [float(ra), float(dec)], abs=1e-7
        )
        resolved = ask(archive, "/Santa-war/query?name=GJ-436").json["resolvedCoordinate"]
        assert resolved[0]["ra"] == hst["s_ra"]
