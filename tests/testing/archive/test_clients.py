"""Real clients, unchanged, against the archive: astroquery, lightkurve, boto3, and the bulk scripts under sh."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.testing.archive.clients import CURL, environment
from tests.testing.archive.holdings import N_CADENCE, TIC, light_curve_name

from cuvee.testing.archive import Fault, LoopbackArchive


def run(archive: LoopbackArchive, home: Path, script: str, *arguments: object) -> Any:
    """Run a script that sees the archive as MAST, and return what it puts into ``out``."""
    code = f"import json, sys, warnings\nwarnings.simplefilter('ignore')\nout = {{}}\n{script}\nprint('RESULT' + json.dumps(out, default=str))"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(archive.url, home),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("RESULT")[2])


ASTROQUERY = r"""
from astropy.coordinates import SkyCoord
from astroquery.mast import Catalogs, MastMissions, Observations, Tesscut

ra, dec, star, star_ra, star_dec = map(float, sys.argv[1:])
table = Observations.query_criteria(obs_collection="TESS")
out["all"] = list(table["obs_id"])
out["count"] = int(Observations.query_criteria_count(obs_collection="TESS"))
some = Observations.query_criteria(obs_collection="TESS", target_name="25155310", t_exptime=[100, 200], obs_id="tess2019*-s")
out["some"] = list(some["obs_id"])
products = Observations.get_product_list(some)
out["products"] = {row["productFilename"]: int(row["size"]) for row in products}
manifest = Observations.download_products(products, extension="fits", verbose=False)
out["manifest"] = [(row["Local Path"], row["Status"]) for row in manifest]
frames = table[table["target_name"] == "TESS FFI"]["obsid"][0]
out["frames"] = list(Observations.get_product_list(str(frames))["productFilename"])
out["region"] = list(Observations.query_region(SkyCoord(340.327824, -43.841277, unit="deg"), radius="0.01 deg")["obs_id"])
out["object"] = list(Observations.query_criteria(objectname="TIC 117544915", radius="0.001 deg", project="TESS")["obs_id"])
out["script"] = Observations.download_products(products, curl_flag=True)["Local Path"][0]
out["tic"] = [int(n) for n in Catalogs.query_criteria(catalog="Tic", ID=int(star))["ID"]]
out["bright"] = len(Catalogs.query_criteria(catalog="Tic", Tmag=[0, 12]))
out["cone"] = int(Catalogs.query_region(SkyCoord(star_ra, star_dec, unit="deg"), radius="0.02 deg", catalog="TIC")["ID"][0])
try:
    Observations.query_criteria(obs_collektion="TESS")
except Exception as error:
    out["slip"] = str(error)
hst = MastMissions(mission="hst")
found = hst.query_criteria(sci_instrume="COS", select_cols=["sci_targname"])
out["hst"] = [(row["sci_data_set_name"], row["sci_targname"]) for row in found]
out["hst near"] = len(hst.query_region(SkyCoord(175.55, 26.70, unit="deg"), radius="5 arcmin"))
spectra = hst.get_product_list(found)
out["hst manifest"] = [(row["Local Path"], row["Status"]) for row in hst.download_products(spectra, verbose=False)]
place = SkyCoord(ra, dec, unit="deg")
out["sectors"] = list(Tesscut.get_sectors(coordinates=place)["sectorName"])
out["cutout"] = Tesscut.get_cutouts(coordinates=place, size=(4, 6), sector=8)[0][1].data["FLUX"].shape
out["cutout file"] = Tesscut.download_cutouts(coordinates=place, size=5, sector=8)["Local Path"][0]
"""


def test_astroquery(archive: LoopbackArchive, served: Path, tmp_path: Path) -> None:
    assert archive.site.catalogs is not None
    frames, star = next(of for of in archive.site.observations if of.corners), archive.site.catalogs.rows[3]
    out = run(
        archive, tmp_path, ASTROQUERY, frames.row["s_ra"], frames.row["s_dec"], star["ID"], star["ra"], star["dec"]
    )
    sizes = {path.name: path.stat().st_size for path in served.rglob("*") if path.is_file()}
    observed = light_curve_name(TIC[0]).removesuffix("_lc.fits")
    assert len(out["all"]) == len(set(out["all"])) == out["count"] == 5
    assert out["some"] == [observed]
    assert len(out["products"]) == 3
    assert out["products"] == {name: sizes[name] for name in out["products"]}
    assert [status for _, status in out["manifest"]] == ["COMPLETE"] * 3
    for path, _ in out["manifest"]:
        assert (tmp_path / path).read_bytes() == archive.site.shelf.paths[Path(path).name].read_bytes()
    assert sorted(out["frames"]) == sorted(name for name in sizes if "_ffic" in name)
    assert out["region"] == out["object"] == [light_curve_name(TIC[1]).removesuffix("_lc.fits")]
    assert (tmp_path / out["script"]).read_text().startswith("#!/bin/sh\ncurl ")
    assert (out["tic"], out["cone"]) == ([star["ID"]], star["ID"])
    assert out["bright"] == sum(row["Tmag"] <= 12 for row in archive.site.catalogs.rows)
    assert "Did you mean 'obs_collection'" in out["slip"]
    assert out["hst"] == [["LD9M10UJQ", "STAR-14767"]]
    assert out["hst near"] == 2
    assert [status for _, status in out["hst manifest"]] == ["COMPLETE"] * 3
    for path, _ in out["hst manifest"]:
        assert (tmp_path / path).read_bytes() == archive.site.shelf.paths[Path(path).name].read_bytes()
    assert out["sectors"] == ["tess-s0008-3-4"]
    assert out["cutout"] == [6, 4, 6]
    assert (tmp_path / out["cutout file"]).is_file()
    # The bodies of the searches came in pages of two, as the configuration asks.
    assert len([r for r in archive.requests if r.path == "/api/v0/invoke"]) > 10
    assert [r.path for r in archive.requests if r.status >= 400] == []


LIGHTKURVE = r"""
import lightkurve
from astropy.coordinates import SkyCoord

ra, dec, star = map(float, sys.argv[1:])
found = lightkurve.search_lightcurve("TIC 25155310", mission="TESS", author="SPOC", exptime=120)
out["found"] = [(str(row["mission"]), float(row["exptime"])) for row in found.table]
curve = found.download()
out["flux"] = [float(x) for x in curve.sap_flux.value]
out["fast"] = len(lightkurve.search_lightcurve("TIC 25155310", mission="TESS", exptime="fast"))
out["pixels"] = lightkurve.search_targetpixelfile("TIC 117544915", mission="TESS").download().shape
out["kepler"] = [str(m) for m in lightkurve.search_lightcurve("KIC 11904151", mission="Kepler").mission]
cuts = lightkurve.search_tesscut(SkyCoord(ra, dec, unit="deg"))
out["cuts"] = [str(m) for m in cuts.mission]
cut = cuts.download(cutout_size=5)
out["cut"] = (cut.shape, int(cut.column), int(cut.row), float(cut.flux.value[2, 2, 2]))
out["named"] = len(lightkurve.search_tesscut(f"TIC {int(star)}"))
"""


def test_lightkurve(archive: LoopbackArchive, served: Path, tmp_path: Path) -> None:
    from astropy.io import fits

    assert archive.site.catalogs is not None
    frames, star = next(of for of in archive.site.observations if of.corners), archive.site.catalogs.rows[3]
    out = run(archive, tmp_path, LIGHTKURVE, frames.row["s_ra"], frames.row["s_dec"], star["ID"])
    assert out["found"] == [["TESS Sector 08", 120.0]]
    with fits.open(archive.site.shelf.paths[light_curve_name(TIC[0])]) as units:
        assert out["flux"] == pytest.approx(units[1].data["SAP_FLUX"].tolist())
    assert out["fast"] == 1
    assert out["pixels"] == [N_CADENCE, 5, 5]
    assert out["kepler"] == ["Kepler Quarter 01"]
    assert out["cuts"] == ["TESS Sector 08"]
    shape, column, row, flux = out["cut"]
    with fits.open(sorted(served.glob("frames/*_ffic.fits"))[2]) as units:
        head = units[1].header
        left, low = column - round(1045 - head["CRPIX1"]) - 1, row - round(1001 - head["CRPIX2"]) - 1
        assert flux == pytest.approx(float(units[1].data[low + 2, left + 2]), rel=1e-6)
    assert shape == [6, 5, 5]
    assert out["named"] == 1


def test_boto3(archive: LoopbackArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame: str) -> None:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ClientError

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", archive.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    s3 = boto3.client(
        "s3", region_name="us-east-1", config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    )
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="stpubdata", Prefix="tess/public/", PaginationConfig={"PageSize": 2}
    )
    listed = {row["Key"]: row for page in pages for row in page["Contents"]}
    shelf = archive.site.shelf
    assert set(listed) == {key for key in shelf.keys if key.startswith("tess/public/")}
    folders = s3.list_objects_v2(Bucket="stpubdata", Delimiter="/")
    assert [row["Prefix"] for row in folders["CommonPrefixes"]] == ["hst/", "kepler/", "tess/"]
    assert "Contents" not in folders
    key = shelf.names[frame].key
    head = s3.head_object(Bucket="stpubdata", Key=key)
    assert (head["ContentLength"], head["ETag"]) == (listed[key]["Size"], listed[key]["ETag"])
    assert s3.get_object(Bucket="stpubdata", Key=key)["Body"].read() == shelf.paths[frame].read_bytes()
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="stpubdata", Key="tess/public/nothing")
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket="stpubdata", Key="tess/public/nothing")
    with pytest.raises(ClientError, match="404"):
        s3.list_objects_v2(Bucket="other")
    s3.close()


def test_boto3_fetches_a_large_file_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ClientError

    name = "tess2018206192942-s0001-1-4-0120-s_ffic.fits"
    (tmp_path / "served").mkdir()
    content = np.random.default_rng(1).bytes(20_000_000)
    (tmp_path / "served" / name).write_bytes(content)
    with LoopbackArchive(tmp_path / "served") as archive:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", archive.url)
        s3 = boto3.client(
            "s3", region_name="us-east-1", config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
        )
        key = archive.site.shelf.names[name].key
        s3.download_file("stpubdata", key, str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == content
        assert {r.range for r in archive.requests if r.method == "GET"} >= {"bytes=0-8388607"}
        # Changed between two parts: boto3 asks with If-Match, and must be told.
        archive.faults = [Fault("changed", name, number=1)]
        with pytest.raises(ClientError, match=r"412|Precondition"):
            s3.download_file("stpubdata", key, str(tmp_path / "changed.fits"))
        s3.close()


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_a_bulk_script_runs_and_goes_on_where_it_stopped(
    archive: LoopbackArchive, served: Path, tmp_path: Path
) -> None:
    script = f"{archive.url}/missions/tess/download_scripts/sector/tesscurl_sector_8_ffic.sh"
    frames = sorted(served.glob("frames/*_ffic.fits"))
    archive.faults = [Fault("drop", frames[1].name, times=1, number=30_000)]
    sh = shutil.which("sh")
    assert sh is not None
    assert CURL is not None
    subprocess.run([CURL, "-s", "-o", "get.sh", script], cwd=tmp_path, check=True)
    for _ in range(2):
        subprocess.run([sh, "get.sh"], cwd=tmp_path, check=False, capture_output=True)
    for frame in frames:
        assert (tmp_path / frame.name).read_bytes() == frame.read_bytes()
    resumed = [r.range for r in archive.requests if r.name == frames[1].name]
    assert resumed == ["", "bytes=30000-"]
