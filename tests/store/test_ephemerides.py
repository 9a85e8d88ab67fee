"""Tables of known objects in every format, and what is wrong with them in one sentence."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from cuvee.errors import ConfigError
from cuvee.store.ephemerides import read_ephemerides

GOOD = """name,time,ra,dec,mag
Vesta,2458518.0,10.0,-5.0,7.5
Vesta,2458518.5,10.1,-5.1,7.5
Ceres,2458518.5,359.9,4.0,
Ceres,2458518.0,359.8,4.1,
"""


def table() -> Table:
    return Table(
        {
            "targetname": ["4 Vesta", "4 Vesta"], "datetime_jd": [2458518.0, 2458518.5], "RA": [10.0, 10.1],
            "DEC": [-5.0, -5.1], "V": [7.5, 7.6],
        }
    )  # fmt: skip


def test_rows_are_sorted_by_object_and_time(tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_text(GOOD)
    known = read_ephemerides([path])
    assert known.name.tolist() == ["Ceres", "Ceres", "Vesta", "Vesta"]
    assert known.time.tolist() == [1518.0, 1518.5, 1518.0, 1518.5]
    assert known.ra.tolist() == [359.8, 359.9, 10.0, 10.1]
    assert known.dec.tolist() == [4.1, 4.0, -5.0, -5.1]
    np.testing.assert_array_equal(known.mag, [np.nan, np.nan, 7.5, 7.5])


@pytest.mark.parametrize("name", ["a.ecsv", "a.fits", "a.xml", "a.csv"])
def test_the_names_of_horizons_are_known_in_every_format(tmp_path: Path, name: str) -> None:
    form = {"a.xml": "votable", "a.ecsv": "ascii.ecsv", "a.csv": "ascii.csv"}.get(name, "fits")
    table().write(tmp_path / name, format=form)
    known = read_ephemerides([tmp_path / name])
    assert known.name.tolist() == ["4 Vesta"] * 2
    assert known.mag.tolist() == [7.5, 7.6]
    assert known.time.tolist() == [1518.0, 1518.5]


def test_two_tables_are_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "b.csv").write_text(GOOD.replace("Vesta", "Juno").replace("Ceres", "Pallas"))
    assert sorted(set(read_ephemerides([tmp_path / "a.csv", tmp_path / "b.csv"]).name)) == [
        "Ceres",
        "Juno",
        "Pallas",
        "Vesta",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ra,dec", "ra,declination", r"no column dec; a table of moving objects needs name, time \(JD\), ra and dec"),
        ("2458518.5,10.1", "2458518.0,10.1", "Vesta has two rows for JD 2458518.000000; remove one"),
        ("2458518.5,10.1", "58518.0,10.1", "row 2: time is 58518.0, where a Julian date is needed"),
        ("2458518.5,10.1", ",10.1", "row 2: time is missing"),
        ("10.1,-5.1", "nan,-5.1", "row 2: ra is missing"),
        ("10.1,-5.1", "10.1,-95.1", "row 2: dec is -95.1, where -90 to 90 deg are"),
        ("10.1,-5.1", "10.1,five", "row 2: dec is 'five', which is not a number"),
        ("Vesta,2458518.5", ",2458518.5", "row 2: name is missing"),
        ("Vesta,2458518.5", "Juno,2458518.5", "Juno has one row only"),
    ],
)
def test_mistakes_are_said_in_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "known.csv"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=said) as error:
        read_ephemerides([path])
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
