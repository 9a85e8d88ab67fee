"""The columns of the archive's tables: names in the order in which it sends them, and types.

Facts: the column documentation of the MAST API (CAOM fields, product fields) and the column description of the TESS Input Catalog.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["OBSERVATIONS", "PRODUCTS", "STARS", "Columns", "column_config", "fields"]

Columns = Mapping[str, str]
"""Type by name: ``string``, ``int``, ``float``, ``boolean``."""


def _columns(text: str, **types: str) -> Columns:
    kind = {name: of for of, names in types.items() for name in names.split()}
    return {name: kind.get(name, "string") for name in text.split()}


OBSERVATIONS = _columns(
    "intentType obs_collection provenance_name instrument_name project filters wavelength_region target_name target_classification obs_id "
    "s_ra s_dec dataproduct_type proposal_pi calib_level t_min t_max t_exptime em_min em_max obs_title t_obs_release proposal_id proposal_type "
    "sequence_number s_region jpegURL dataURL dataRights mtFlag srcDen obsid objID",
    float="s_ra s_dec t_min t_max t_exptime em_min em_max t_obs_release srcDen",
    int="calib_level sequence_number",
    boolean="mtFlag",
)
PRODUCTS = _columns(
    "obsID obs_collection dataproduct_type obs_id description type dataURI productType productGroupDescription productSubGroupDescription "
    "productDocumentationURL project prvversion proposal_id productFilename size parent_obsid dataRights calib_level filters",
    int="size calib_level",
)
_TEXT = (
    "version TYC UCAC TWOMASS ALLWISE GAIA APASS objType typeSrc POSflag PMflag PARflag TWOMflag TESSflag SPFlag lumclass disposition "
    "EBVflag distflag TeffFlag starchareFlag VmagFlag BmagFlag splists"
)
_WHOLE = "ID SDSS duplicate_id objID HIP KIC numcont gaiaqflag raddflag wdflag"
_STAR_NAMES = (
    "ID version HIP TYC UCAC TWOMASS SDSS ALLWISE GAIA APASS KIC objType typeSrc ra dec POSflag pmRA e_pmRA pmDEC e_pmDEC PMflag plx e_plx "
    "PARflag gallong gallat eclong eclat Bmag e_Bmag Vmag e_Vmag umag e_umag gmag e_gmag rmag e_rmag imag e_imag zmag e_zmag Jmag e_Jmag Hmag "
    "e_Hmag Kmag e_Kmag TWOMflag prox w1mag e_w1mag w2mag e_w2mag w3mag e_w3mag w4mag e_w4mag GAIAmag e_GAIAmag Tmag e_Tmag TESSflag SPFlag "
    "Teff e_Teff logg e_logg MH e_MH rad e_rad mass e_mass rho e_rho lumclass lum e_lum d e_d ebv e_ebv numcont contratio disposition "
    "duplicate_id priority eneg_EBV epos_EBV EBVflag eneg_Mass epos_Mass eneg_Rad epos_Rad eneg_rho epos_rho eneg_logg epos_logg eneg_lum "
    "epos_lum eneg_dist epos_dist distflag eneg_Teff epos_Teff TeffFlag gaiabp e_gaiabp gaiarp e_gaiarp gaiaqflag starchareFlag VmagFlag "
    "BmagFlag splists e_RA e_Dec RA_orig Dec_orig e_RA_orig e_Dec_orig raddflag wdflag objID"
)
_REAL = " ".join(name for name in _STAR_NAMES.split() if name not in f"{_TEXT} {_WHOLE}".split())
STARS = _columns(_STAR_NAMES, int=_WHOLE, float=_REAL)
"""The 125 columns of the TESS Input Catalog, version 8.2."""

_VOTABLE = {"string": "char", "int": "int", "float": "double", "boolean": "boolean"}
_UNITS = {
    "s_ra": "deg",
    "s_dec": "deg",
    "t_min": "d",
    "t_max": "d",
    "t_exptime": "s",
    "em_min": "nm",
    "em_max": "nm",
    "size": "byte",
    "distance": "arcsec",
}


def fields(columns: Columns) -> list[dict[str, str]]:
    """Return what a search's answer says about its columns."""
    return [{"name": name, "type": kind} for name, kind in columns.items()]


def column_config(columns: Columns) -> dict[str, dict[str, object]]:
    """Return what clients read to learn which filters there are."""
    found: dict[str, dict[str, object]] = {"_selected_": {"text": "selected", "type": "boolean", "hidden": True}}
    for name, kind in columns.items():
        found[name] = {"text": name, "vot.datatype": _VOTABLE[kind], "vot.description": name}
        if name in _UNITS:
            found[name]["vot.unit"] = _UNITS[name]
    for name in ("filters", "target_classification"):
        if name in found:
            found[name]["separator"] = ";"
    return found
