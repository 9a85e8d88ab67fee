"""From photons to light curves: screening, regions, bins, background, flux. Arithmetic on arrays; files are read elsewhere."""
