"""Light curves of narrow bands against the whole band, and against the mission's spectrum."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.events.survey_of_photons import run_quietly
from typer.testing import CliRunner

import cuvee
from cuvee.cli.app import app
from cuvee.config import write_workspace
from cuvee.errors import BadData, ConfigError
from cuvee.events.exposure import PhotonCurve, bin_exposure
from cuvee.events.params import EventParams
from cuvee.events.screen import EventList
from cuvee.instruments import cos
from cuvee.model.photons import Spectrum
from cuvee.quicklook import figure_resolved
from cuvee.simulate.cos import simulate_cos
from cuvee.survey import Survey


def binned(folder: Path, params: EventParams, threads: int = 1) -> tuple[PhotonCurve, dict[str, Spectrum]]:
    _, spectra = cos.read_spectra(str(next(folder.glob("*_x1d.fits*"))))
    lists = []
    for path in sorted(folder.glob("*_corrtag_?.fits*")):
        exposure, start = cos.read_exposure(str(path))
        lists.append(EventList(exposure, partial(cos.chunks, exposure, start), cos.traces(exposure, spectra)))
    return bin_exposure(lists, params, cos.SERIOUS, 1024, 2, threads=threads), spectra


@pytest.fixture(scope="module")
def gj436(shared_data: Path) -> tuple[PhotonCurve, dict[str, Spectrum]]:
    params = EventParams(step=100.0, resolve=10.0, band=(1160.0, 1430.0))
    return binned(shared_data / "hst_cos_gj436", params)


def test_cells_add_up_to_the_band(gj436: tuple[PhotonCurve, dict[str, Spectrum]]) -> None:
    curve, _ = gj436
    found = curve.resolved
    assert found is not None
    assert found.flux.shape == (found.edges.size - 1, curve.points["time"].size)
    seen = found.width > 0.0
    assert np.allclose(found.gross[seen].sum(axis=0), curve.points["gross"])
    energy = (found.flux[seen].astype(np.float64) * found.width[seen, None]).sum(axis=0)
    # In single precision, and each cell has errors of its own that the whole band has not.
    assert np.allclose(energy, curve.points["flux"], rtol=1e-5, atol=1e-5 * np.abs(curve.points["flux"]).max())
    assert found.background[seen].sum() == pytest.approx(curve.points["background"].sum(), rel=2e-3)
    for name in ("flux", "flux_err_low", "flux_err_high"):
        assert np.isnan(getattr(found, name)[~seen]).all()
        assert np.isfinite(getattr(found, name)[seen]).all()
    assert (found.flux_err_high[seen] > 0.0).all()


def test_the_mean_of_a_cell_is_that_of_the_mission_s_spectrum(gj436: tuple[PhotonCurve, dict[str, Spectrum]]) -> None:
    curve, spectra = gj436
    found = curve.resolved
    assert found is not None
    checked = 0
    for low, high, width, flux in zip(found.edges[:-1], found.edges[1:], found.width, found.flux, strict=True):
        if width < 9.0:
            continue  # a line of airglow or an end of a detector lies in it
        integral = 0.0
        for spectrum in spectra.values():
            inside = (spectrum.wavelength >= low) & (spectrum.wavelength < high)
            integral += float((spectrum.flux * np.gradient(spectrum.wavelength))[inside].sum())
        mean = float(np.average(flux, weights=curve.points["exposure"]))
        assert mean * width == pytest.approx(integral, rel=5e-3, abs=1e-18)
        checked += 1
    assert checked >= 8


def test_threads_do_not_change_a_bit(tmp_path: Path) -> None:
    simulate_cos(tmp_path, events=400_000, exposures=1, seconds=500.0)
    params = EventParams(resolve=20.0)
    one, three = (binned(tmp_path / "RAW", params, threads)[0] for threads in (1, 3))
    for name, values in one.points.items():
        assert values.tobytes() == three.points[name].tobytes(), name
    assert one.reasons == three.reasons
    for name, sums in one.sums.items():
        assert sums.n_event > 100_000  # many chunks
        for array in ("bins", "behind", "spectrum", "image", "pulses"):
            assert getattr(sums, array).tobytes() == getattr(three.sums[name], array).tobytes(), array


def test_too_many_cells_are_refused_in_a_sentence(tmp_path: Path) -> None:
    simulate_cos(tmp_path, events=2_000, exposures=1, seconds=2000.0)
    with pytest.raises(BadData, match="choose longer bins or fewer bands"):
        binned(tmp_path / "RAW", EventParams(step=0.01, resolve=0.5))


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resolved") / "w"
    simulate_cos(folder, events=20_000, exposures=2, seconds=300.0)
    config = folder / "cuvee.toml"
    config.write_text(config.read_text().replace("# resolve = 0", "resolve = 5.0").replace("# step = 2", "step = 30"))
    assert not run_quietly(folder).troubled
    return folder


def test_files_hold_a_table_of_bins_by_cells(resolved: Path, tmp_path: Path) -> None:
    survey = cuvee.open(resolved)
    assert survey.export(tmp_path) == 3
    name = next(name for name in sorted(tmp_path.glob("*lsim01aaq*.fits")))
    with fits.open(name, checksum=True) as file:
        file.verify("exception")
        curve, cells, waves = (file[k].data for k in ("LIGHTCURVE", "RESOLVED", "WAVELENGTH"))
        assert len(cells) == len(curve)
        assert cells["FLUX"].shape == (len(curve), len(waves))
        seen = waves["WIDTH"] > 0.0
        assert (waves["HIGH"] - waves["LOW"] == 5.0).all()
        assert (waves["WIDTH"] < 5.02).all()
        energy = (cells["FLUX"].astype(np.float64) * waves["WIDTH"])[:, seen].sum(axis=1)
        assert np.allclose(energy, curve["FLUX"], rtol=1e-5)
        assert np.array_equal(cells["GROSS"][:, seen].sum(axis=1), curve["GROSS"])
    composite = next(path for path in tmp_path.glob("*.fits") if "lsim" not in path.name)
    with fits.open(composite) as file:
        assert len(file) == 2


def test_the_figure_shows_them_or_says_how_to_get_them(resolved: Path, photons: Survey, tmp_path: Path) -> None:
    picture = tmp_path / "r.png"
    done = CliRunner().invoke(app, ["show", "SIMULATED-1", "-w", str(resolved), "--resolved", "-o", str(picture)])
    assert done.exit_code == 0, done.output
    assert picture.stat().st_size > 20_000
    points = {"time": np.zeros(1), "exposure": np.ones(1)}
    with pytest.raises(ConfigError, match=r"set \[events\] resolve"):
        figure_resolved(points, photons.exposure("lsim01aaq"))


def test_lists_without_wavelengths_have_none(tmp_path: Path) -> None:
    """COS without a spectrum: counts, no wavelengths, and so nothing to tell apart."""
    folder = tmp_path / "w"
    simulate_cos(folder, events=5_000, exposures=1, seconds=200.0)
    next((folder / "RAW").glob("*_x1d.fits")).unlink()
    write_workspace(tmp_path / "v", "cos", [str(folder / "RAW")], [], photons=True)
    config = tmp_path / "v" / "cuvee.toml"
    config.write_text(config.read_text().replace("# resolve = 0", "resolve = 5.0"))
    assert not run_quietly(tmp_path / "v").troubled
    facts, arrays = cuvee.open(tmp_path / "v").exposure("lsim01aaq")
    assert facts["resolved"] is False
    assert not any(name.startswith("resolved.") for name in arrays)
