"""PSFMachine on tiles of frames; run by the interpreter of an environment of its own, because it wants an old astropy.

``python psfmachine_tiles.py TILES.npz NUMBERS.json``, as `benchmarks.psf_peers` calls it. Imports nothing of cuvee.
"""

import json
import logging
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np

SCALE = 7.0
"""Arcseconds a pixel that PSFMachine is told. Its constants are those of Kepler, at 4; at 7 the integral by which it scales its
PSF is right for stars as wide as those of TESS, and so are its fluxes. At 4 they are a third too small, at the same speed."""


def main(source: str, target: str) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    import pandas as pd
    from astropy.io import fits
    from astropy.stats import SigmaClip
    from photutils.background import Background2D, BkgZoomInterpolator, MedianBackground
    from psfmachine import Machine

    data = np.load(source)
    spent: dict[str, list[float]] = {"reading": [], "background": []}
    for path in data["paths"]:
        start = time.perf_counter()
        with fits.open(path) as file:
            image = (
                file[1].data[data["rows"][0] : data["rows"][1], data["cols"][0] : data["cols"][1]].astype(np.float64)
            )
        read = time.perf_counter()
        # As PSFMachine's own class for full frames does it.
        image -= Background2D(
            image, box_size=(64, 50), filter_size=15, exclude_percentile=20, sigma_clip=SigmaClip(sigma=3.0, maxiters=5),
            bkg_estimator=MedianBackground(), interpolator=BkgZoomInterpolator(order=3),
        ).background  # fmt: skip
        spent["background"].append(time.perf_counter() - read)
        spent["reading"].append(read - start)
    setup, fit, share, stars = [], [], [], []
    for k in range(int(data["n"])):
        flux, col, row, true = (data[f"{name}{k}"] for name in ("flux", "col", "row", "true"))
        n_frame, n_row, n_col = flux.shape
        r, c = (grid.ravel().astype(float) for grid in np.mgrid[:n_row, :n_col])
        degrees = SCALE / 3600.0
        sources = pd.DataFrame({"ra": col * degrees, "dec": row * degrees, "phot_g_mean_flux": true})
        start = time.perf_counter()
        flat = flux.reshape(n_frame, -1).astype(np.float64)
        machine = Machine(
            np.arange(n_frame, dtype=float),
            flat,
            data[f"error{k}"].reshape(n_frame, -1),
            c * degrees,
            r * degrees,
            sources,
            c,
            r,
        )
        machine.quiet = True
        machine.build_shape_model()
        middle = time.perf_counter()
        machine.fit_model()
        fit.append((time.perf_counter() - middle) / n_frame)
        setup.append(middle - start)
        stars.append(len(sources))
        share.append(float(np.nanmedian(np.nanmean(machine.ws, axis=0) / true)))
    names = ("psfmachine", "numpy", "scipy", "astropy", "photutils")
    numbers = {
        **{name: min(found) for name, found in spent.items()}, "fit": fit, "setup": setup, "stars": stars, "flux_over_true": share,
        "versions": {name: version(name) for name in names},
    }  # fmt: skip
    with open(target, "w") as file:
        json.dump(numbers, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
