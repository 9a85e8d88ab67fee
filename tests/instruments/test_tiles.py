"""Tile-compressed frames: the pixels that astropy and fitsio see, the facts of the file before, and a reason for every damage."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from cuvee.errors import BadData
from cuvee.instruments.tess import TESS
from cuvee.model.records import FileInfo

Maker = Callable[..., Path]
CODECS: dict[str, dict[str, Any]] = {
    "rice, dither 1": {"compression_type": "RICE_1", "quantize_level": 8, "quantize_method": 1, "dither_seed": 9999},
    "rice, dither 2": {"compression_type": "RICE_1", "quantize_level": 8, "quantize_method": 2, "dither_seed": 17},
    "rice, no dither": {"compression_type": "RICE_1", "quantize_level": 8, "quantize_method": -1},
    "rice, square tiles": {"compression_type": "RICE_1", "quantize_level": 4, "tile_shape": (7, 11), "dither_seed": 3},
    "gzip 1, lossless": {"compression_type": "GZIP_1", "quantize_level": 0},
    "gzip 2, lossless": {"compression_type": "GZIP_2", "quantize_level": 0},
    "gzip 2, dither 1": {"compression_type": "GZIP_2", "quantize_level": 8, "quantize_method": 1, "dither_seed": 5},
}


def _pixels(shape: tuple[int, int] = (24, 30)) -> Any:
    rng = np.random.default_rng(8)
    pixels = rng.normal(90.0, 2.5, shape).astype(np.float32)
    pixels[5, 7] = 8.4e4
    pixels[3:5, 20] = np.nan
    pixels[9, 4] = 0.0
    pixels[11] = 42.0  # a tile without noise cannot be quantised
    return pixels


def _pack(plain: Path, pixels: Any, **how: Any) -> Path:
    """Compress the images of a plain file, as fpack does: the primary header stays as it is."""
    packed = plain.with_name(plain.name + ".fz")
    with fits.open(plain) as units:
        image = fits.CompImageHDU(pixels, units[1].header, **how)
        noise = fits.CompImageHDU(np.sqrt(np.abs(pixels)), units[2].header, **how)
        fits.HDUList([fits.PrimaryHDU(header=units[0].header), image, noise]).writeto(packed, overwrite=True)
    return packed


def _facts(info: FileInfo) -> list[Any]:
    return [repr(getattr(info, name)) for name in FileInfo.__slots__ if name != "path"]


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_compressed_frame_is_the_plain_one(codec: str, make_ffi: Maker) -> None:
    pixels = _pixels()
    plain = make_ffi(primary={"NEXTEND": 2})
    packed = _pack(plain, pixels, **CODECS[codec])
    info = TESS.scan(str(packed))
    assert _facts(info) == _facts(TESS.scan(str(plain)))
    assert info.name == plain.name

    read = TESS.read(info, None)
    assert read.flux.shape == (1, 24, 30)
    with fits.open(packed) as units:
        np.testing.assert_array_equal(read.flux[0], units[1].data)
    known = np.isfinite(pixels)
    np.testing.assert_array_equal(np.isfinite(read.flux[0]), known)
    off = np.abs(read.flux[0][known] - pixels[known])
    assert off.max() == 0.0 if "lossless" in codec else off.max() < 2.5 / 4


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_fitsio_sees_the_same_pixels(codec: str, make_ffi: Maker) -> None:
    import fitsio

    packed = _pack(make_ffi(), _pixels(), **CODECS[codec])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(TESS.read(TESS.scan(str(packed)), None).flux[0], fitsio.read(str(packed), ext=1))


def test_dither_leaves_no_bias(make_ffi: Maker) -> None:
    # Rounding to steps q leaves an error of q/sqrt(12); taking the dither off again leaves it without a mean.
    pixels = np.random.default_rng(1).normal(90.0, 2.5, (200, 300)).astype(np.float32)
    packed = _pack(make_ffi(shape=pixels.shape), pixels, **CODECS["rice, dither 1"] | {"quantize_level": 1})
    error = TESS.read(TESS.scan(str(packed)), None).flux[0].astype(np.float64) - pixels
    with fits.open(packed, disable_image_compression=True) as units:
        step = float(np.median(units[1].data["ZSCALE"]))
    assert error.std() == pytest.approx(step / np.sqrt(12.0), rel=0.02)
    assert abs(error.mean()) < 4.0 * step / np.sqrt(12.0 * error.size)


def test_collateral_pixels_are_cut_off(make_ffi: Maker) -> None:
    plain = make_ffi(shape=(2078, 2136), skip=(0, 0), primary={"NEXTEND": 2})
    pixels = np.random.default_rng(0).normal(90.0, 3.0, (2078, 2136)).astype(np.float32)
    packed = _pack(plain, pixels, **CODECS["gzip 1, lossless"])
    info = TESS.scan(str(packed))
    assert info.series == "ffi"
    np.testing.assert_array_equal(TESS.read(info, None).flux[0], pixels[:2048, 44:2092])


def test_content_is_of_headers_and_image(make_ffi: Maker) -> None:
    pixels = _pixels()
    paths = [_pack(make_ffi(), pixels, **CODECS["rice, dither 1"])]
    contents = [TESS.read(TESS.scan(str(paths[0])), None).content]
    # A copy, not a second file: astropy writes the second of the day beside its checksums.
    (copy := paths[0].parent / "copy" / paths[0].name).parent.mkdir()
    copy.write_bytes(paths[0].read_bytes())
    contents.append(TESS.read(TESS.scan(str(copy)), None).content)
    assert contents[0] == contents[1]
    pixels[0, 0] += 40.0
    contents.append(TESS.read(TESS.scan(str(_pack(make_ffi(), pixels, **CODECS["rice, dither 1"]))), None).content)
    contents.append(
        TESS.read(
            TESS.scan(str(_pack(make_ffi(cards={"DQUALITY": 0}), pixels, **CODECS["rice, dither 1"]))), None
        ).content
    )
    assert len(set(contents)) == 3


def test_every_cut_is_truncated(make_ffi: Maker) -> None:
    packed = _pack(make_ffi(primary={"NEXTEND": 2}), _pixels(), **CODECS["rice, dither 1"])
    whole = packed.read_bytes()
    cut = packed.with_name("cut-s0001-_ffic.fits.fz")
    for size in [*range(0, len(whole), 719), len(whole) - 1]:
        cut.write_bytes(whole[:size])
        with pytest.raises(BadData) as caught:
            TESS.scan(str(cut))
        assert caught.value.reason in ("truncated", "empty"), size


def _survives(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    try:
        pixels = TESS.read(TESS.scan(str(path)), None)
    except BadData as error:
        return error.reason if error.path == str(path) else "nameless"
    assert pixels.flux.shape[0] == 1
    return "read"


@pytest.mark.parametrize("codec", ["rice, dither 1", "gzip 2, lossless"])
def test_damage_never_escapes_as_anything_but_bad_data(codec: str, make_ffi: Maker) -> None:
    packed = _pack(make_ffi(), _pixels(), **CODECS[codec])
    whole = packed.read_bytes()
    rng = np.random.default_rng(4)
    seen = set()
    for _ in range(400):
        content = bytearray(whole)
        at = rng.integers(2880, len(whole), rng.integers(1, 4))
        content[int(at[0])] ^= 1 << int(rng.integers(8))
        for place in at[1:]:
            content[int(place)] = int(rng.integers(256))
        seen.add(_survives(packed, bytes(content)))
    assert {"read", "header", "unreadable"} <= seen
    assert "nameless" not in seen


def test_no_value_of_a_structural_card_escapes(make_ffi: Maker) -> None:
    packed = _pack(make_ffi(), _pixels(), **CODECS["rice, dither 1"])
    whole = packed.read_bytes()
    start = whole.index(b"XTENSION")
    seen = set()
    for at in range(start, whole.index(b"END ".ljust(80), start), 80):
        if whole[at : at + 1] not in (b"Z", b"N", b"T", b"P", b"B"):
            continue
        for value in (b"-1", b"0", b"1", b"7", b"99999999999", b"'X'", b"T", b"1E300", b"", b"nan"):
            card = whole[at : at + 10] + value.rjust(20)
            seen.add(_survives(packed, whole[:at] + card.ljust(80) + whole[at + 80 :]))
    assert {"read", "header"} <= seen
    assert "nameless" not in seen


def test_other_codecs_are_named(make_ffi: Maker) -> None:
    packed = _pack(make_ffi(), _pixels(), compression_type="HCOMPRESS_1", quantize_level=8, tile_shape=(8, 30))
    with pytest.raises(BadData, match=r"HCOMPRESS_1.*funpack") as caught:
        TESS.read(TESS.scan(str(packed)), None)
    assert caught.value.reason == "unreadable"


def test_a_file_without_all_its_extensions_is_not_whole(make_ffi: Maker, make_stamp: Maker) -> None:
    frame = make_ffi(primary={"NEXTEND": 2})
    with fits.open(frame) as units:
        end = int(units[2].fileinfo()["hdrLoc"])
    TESS.scan(str(frame))
    frame.write_bytes(frame.read_bytes()[:end])
    with pytest.raises(BadData, match="1 of the 2 extensions") as caught:
        TESS.scan(str(frame))
    assert caught.value.reason == "truncated"

    stamp = make_stamp("tess-tp.fits", primary={"NEXTEND": 2})
    with fits.open(stamp) as units:
        end = int(units[2].fileinfo()["hdrLoc"])
    TESS.scan(str(stamp))
    stamp.write_bytes(stamp.read_bytes()[:end])
    with pytest.raises(BadData, match="1 of the 2 extensions"):
        TESS.scan(str(stamp))
