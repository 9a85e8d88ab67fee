"""A user's mistake in the configuration is one sentence that names the place and the remedy."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from cuvee.config import Config, load, write_workspace
from cuvee.errors import EXIT_USER, ConfigError


def workspace(folder: Path, text: str) -> Path:
    (folder / "cuvee.toml").write_text(text)
    return folder


def test_the_template_is_valid_and_shows_the_true_defaults(tmp_path: Path) -> None:
    path = write_workspace(tmp_path / "w", "tess", ["/data/*_ffic.fits"], ["tic.csv"])
    config = load(path.parent)
    assert config.workspace.instrument == "tess"
    assert config.data.files == ("/data/*_ffic.fits",)
    assert config.catalog.files == ("tic.csv",)
    # Every setting that is commented out, taken in, changes nothing but those that have no default to show.
    text = path.read_text()
    setting = re.compile(r"^# (\w+ = .*)$", re.MULTILINE)
    unset = ("mask", "ids", "max_stars", "contaminant_limit", "k2p2_limit", "halo_limit", "url")
    shown = setting.sub(lambda found: found[0] if found[1].startswith(unset) else found[1], text)
    assert load(workspace(path.parent, shown)) == config
    # And all of them are there, and may be taken in together.
    everything = tomllib.loads(setting.sub(r"\1", text))
    photons = write_workspace(tmp_path / "p", "cos", ["RAW"], [], photons=True)
    assert load(photons.parent).workspace.instrument == "cos"
    of_photons = tomllib.loads(setting.sub(r"\1", photons.read_text()))
    assert (
        load(
            workspace(
                photons.parent,
                setting.sub(lambda found: "" if found[1].startswith("url") else found[1], photons.read_text()),
            )
        ).events.step
        == 2.0
    )
    assert set(of_photons) < set(Config.model_fields)
    everything["events"] = of_photons["events"]
    for name, section in Config.model_fields.items():
        assert section.annotation is not None
        assert set(everything[name]) == set(section.annotation.model_fields), name
    assert load(workspace(path.parent, setting.sub(r"\1", text))).targets.ids == (25155310,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("[workspace\n", "is not valid TOML"),
        ("[workspace]\n", "instrument"),
        ("[workspace]\ninstrument = 3\n", "instrument"),
        ('[workspace]\ninstrument = "tess"\n[extrakt]\n', "did you mean 'extract'"),
        ('[workspace]\ninstrument = "tess"\n[extract]\nradius = [1]\n', "did you mean 'radii'"),
        ('[workspace]\ninstrument = "tess"\n[extract]\nradii = [3.0, 2.0]\n', "ascend"),
        ('[workspace]\ninstrument = "tess"\n[extract]\nannulus = [9.0, 6.0]\n', "annulus"),
        ('[workspace]\ninstrument = "tess"\n[targets]\nmag_limit = "bright"\n', "mag_limit"),
        ('[workspace]\ninstrument = "tess"\n[run]\nexecutor = "dusk"\n', "executor"),
        ('workspace = "tess"\n', "section"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(workspace(tmp_path, text))
    assert caught.value.exit_code == EXIT_USER
    assert "\n" not in caught.value.message


def test_places_that_are_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cuvee init"):
        load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="not a cuvee workspace"):
        load(tmp_path)
    write_workspace(tmp_path / "w", "tess", [], [])
    with pytest.raises(ConfigError, match="already is a workspace"):
        write_workspace(tmp_path / "w", "tess", [], [])
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        write_workspace(tmp_path / "file", "tess", [], [])


def test_the_effective_configuration_names_every_parameter() -> None:
    config = Config.model_validate({"workspace": {"instrument": "tess"}})
    effective = config.effective()
    assert effective["extract"]["radii"] == [1.5, 2.5, 3.5]
    assert Config.model_validate(effective) == config
