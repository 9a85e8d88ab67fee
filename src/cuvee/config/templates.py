"""The text of a new workspace's ``cuvee.toml``: every setting with its default, commented out."""

from __future__ import annotations

__all__ = ["FRAMES", "PHOTONS"]

FRAMES = """\
# cuvee: {instrument} survey. What is commented out shows its default.

[workspace]
instrument = "{instrument}"
# Folders for catalogues and reference images, flux blocks, light curves.
# base = "BASE"
# red = "RED"
# lc = "LC"
# Results of another set of parameters beside those that are there: "12" puts them into RED/projid12, LC/projid12 ...
# project = ""
{acquire_section}
[data]
# Folders, globs or files; data stay where they are.
files = {data}

[catalog]
# Tables with id, ra, dec and magnitude: TIC rows, csv, ecsv, FITS, VOTable, Parquet; or a stored catalogue by its name. Of "tic", a run
# fetches what its images need, if [acquire] wants any.
files = {catalog}

[targets]
# Stars this bright or brighter get a light curve; fainter ones, to three magnitudes beyond unless said, count as contaminants.
# mag_limit = {targets.mag_limit}
# contaminant_limit = 19.0
# How far off the pixels a contaminant may lie (px).
# margin = {targets.margin}
# Only these stars, whatever their magnitude.
# ids = [25155310]
# Not these, or those of a file with an id a line ("leave-out.txt").
# exclude = []
# These in any case, whatever their magnitude (or a file); and at most so many stars a detector: these first, then the brightest.
# priority = []
# max_stars = 20000

[reference]
# A pixel this many standard deviations off the median of the frames stays out of the reference image.
# clip = {reference.clip}

[prf]
# For PSF fluxes (psf below): the mission's PRF files (TESS), as ["prf/*.fits"]; without them a PRF is learned from the data.
# files = []
# What a learned PRF is made of: half width of the stamp of a star (px), and knots of the PRF in a pixel.
# half = {prf.half}
# knots = {prf.knots}
# Order of the polynomials with which the PRF varies over the detector.
# order = {prf.order}
# It is learned from at most so many stars, each of so high a signal-to-noise ratio in one frame ...
# stars = {prf.stars}
# snr = {prf.snr}
# ... whose catalogue positions are good to (px).
# position_error = {prf.position_error}

[extract]
# Radii of the apertures (px); the middle one gives the centroid.
# radii = {radii}
# Background of full frames: "mesh", or "annulus", which scatters more: in simulated frames 1.04 to 1.9 times the noise of a
# perfect background, where the mesh stays within 1.03 (cuvee.extract.ExtractParams has the numbers).
# background = "{extract.background}"
# mesh_size = {extract.mesh_size}
# annulus = {annulus}
# Stamps narrower or lower than this (px) take the faintest third of their pixels instead.
# small_series = {extract.small_series}
# Stamps only: sum the mission's own mask, or that of a FILE (.npy or FITS image), with no further background.
# mask = "pipeline"

# Sum a pixel mask of each star's own, too (K2P2): it follows the star's light, along the columns that a saturated one bleeds into,
# and ends where a neighbour's begins. The catalogue should hold all stars that are seen. Only for stars this bright or brighter (mag):
# k2p2 = {k2p2}
# k2p2_limit = 12.0
# Stamps: measure saturated stars by their halo, too, and any star this bright or brighter (mag).
# halo = {halo}
# halo_limit = 6.0

# Measure PSF fluxes of all stars, too, fitted together: "frames" of full frames only, true of stamps, too (a second each), false of none.
# psf = {psf}

# Full frames: look for asteroids and other things that move, for the flag of points whose aperture they cross.
# moving = {moving}

[moving]
# Tables of known objects, as ["known.ecsv"]: name, time (JD), ra, dec (deg) as seen from the spacecraft, and a magnitude if there is one.
# ephemerides = []

[collect]
# What flux holds: of each star's apertures the one that scatters least, or the same for all ("aperture2").
# aperture = "{collect.aperture}"
# 0 keeps fluxes to their last bit; N rounds fluxes to steps of their error over N, which takes less room (8: adds 0.065 % to the error).
# round_noise = {collect.round_noise:g}

[time]
# SPICE kernels that say where the spacecraft was; without them the Earth stands in for it, and times are within 0.25 s.
# kernel = []

[run]
# Worker processes, 0 for one a core; "process" or "serial".
# workers = {run.workers}
# executor = "{run.executor}"

[keep]
# false frees disk; a repaired frame then costs its whole detector again.
# flux_blocks = {flux_blocks}

[files]
# Mode and group of new files in this workspace, as "0640" and "hst"; without, as your umask and your group say.
# mode = ""
# group = ""

[database]
# Keep the ledger on a server, not in cuvee.db: in a schema of PostgreSQL for this survey alone, or a database of MySQL or MariaDB
# (mysql://USER@HOST/SURVEY). Passwords are better kept in ~/.pgpass or ~/.my.cnf than here.
# url = "postgresql://USER@HOST/DATABASE?schema=SURVEY"
"""


PHOTONS = """\
# cuvee: {instrument} survey. What is commented out shows its default.

[workspace]
instrument = "{instrument}"
# Folders for what was counted, and for light curves.
# red = "RED"
# lc = "LC"
# Results of another set of parameters beside those that are there: "12" puts them into RED/projid12, LC/projid12 ...
# project = ""
{acquire_section}
[data]
# Folders, globs or files; data stay where they are.
files = {data}

[events]
# Length of a bin (s).
# step = {events.step:g}
# Wavelengths of the light curve (Angstrom), and of further ones, each with columns of its own.
# band = {band}
# bands = {{ c2 = [1333.5, 1337.0] }}
# Light of the Earth's upper atmosphere: "windows" leaves out its lines, "night" all time at which the Sun is up, "keep" nothing.
# airglow = "{events.airglow}"
# Quality bits of events that are left out beside the usual ones (64, 512 and 2048 for COS).
# quality = {events.quality}
# Shorter exposures are set aside (s), and those of some proposals.
# least = {events.least:g}
# proposals = []
# Keep light curves of wavelength cells of this width (Angstrom), too: 5.0.
# resolve = {events.resolve:g}
# Find Bayesian blocks, too.
# blocks = false
# What targets are called, by what proposers call them: {{ "GJ-436" = "GJ436" }}, or a text file with lines as GJ-436,GJ436.
# names = {{}}

[run]
# Worker processes, 0 for one a core; "process" or "serial".
# workers = {run.workers}
# executor = "{run.executor}"

[files]
# Mode and group of new files in this workspace, as "0640" and "hst"; without, as your umask and your group say.
# mode = ""
# group = ""

[database]
# Keep the ledger on a server, not in cuvee.db (docs/databases.md).
# url = "postgresql://USER@HOST/DATABASE?schema=SURVEY"
"""
