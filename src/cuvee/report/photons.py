"""The page of a survey of photons: which exposures vary, which do not, of which nothing can be said."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cuvee.errors import CuveeError
from cuvee.instruments.registry import instrument
from cuvee.model.keys import DataId
from cuvee.model.photons import REASONS
from cuvee.quicklook import figure_composite, figure_exposure
from cuvee.quicklook.style import BLUE, place, styled
from cuvee.report.appendix import (
    Versions,
    bad_files_part,
    command,
    configuration_part,
    software_part,
    work_part,
)
from cuvee.report.gather import RunFacts
from cuvee.report.markup import (
    NOTHING,
    Html,
    bytes_text,
    code,
    date_text,
    duration,
    figure,
    join,
    link,
    number,
    plural,
    table,
    tag,
)
from cuvee.report.page import document, tiles
from cuvee.report.pictures import picture
from cuvee.store.photon_curves import read_exposure, read_facts
from cuvee.survey import LightCurve, Survey

__all__ = ["photon_page"]

SURE = 0.01
"""Probability below which an exposure does not look constant, or a period not accidental."""

MOST_PICTURES = 8
MOST_ROWS = 500
MOST_TARGETS = 30

Facts = Mapping[str, Any]


def photon_page(survey: Survey, run: RunFacts, versions: Versions) -> str:
    """Return the page.

    Parameters
    ----------
    survey : Survey
        The workspace.
    run : RunFacts
        What the ledger says.
    versions : mapping of str to str
        Packages and their versions.
    """
    found = _exposures(survey)
    title = instrument(survey.instrument).title
    kinds = {"interesting": [], "constant": [], "untold": []}  # type: dict[str, list[Facts]]
    for one in found:
        kinds[_kind(one)].append(one)
    lead = (
        join(
            [f"Light curves by cuvee {run.version}: run {run.number}, {date_text(run.started)}, in ", code(survey.path)]
        )
        if run.number
        else "Nothing has been run here yet."
    )
    body = [
        tag(
            "header",
            join([tag("h1", title), tag("p", lead, class_="lead"), _numbers(run, found, len(kinds["interesting"]))]),
        ),
        Html("<main>"),
        _first(run, found),
        *_tables(survey, kinds),
        *_together(survey),
        *_of_all(found),
        bad_files_part(run, survey.path),
        work_part(run),
        configuration_part(run),
        software_part(run, versions),
        Html("</main>"),
        tag(
            "footer",
            join(
                [
                    tag("p", "To go on:"),
                    tag("ul", tag("li", join([code(command("show TARGET", survey.path)), " draws an exposure"]))),
                ]
            ),
        ),
    ]
    return document(title, body)


def _exposures(survey: Survey) -> list[Facts]:
    """Return the facts of all exposures that have a light curve, by target, then time."""
    try:
        rows = survey.light_curves(columns=["segment", "detector", "series"]).to_pylist()
    except CuveeError:
        return []
    units = [DataId(survey.instrument, row["segment"], row["detector"], "events", row["series"]) for row in rows]
    found = ({**read_facts(survey.paths.exposure(unit)), "unit": unit} for unit in units)
    return sorted(found, key=lambda one: (one["target"], one["mjd"]))


def _peak(one: Facts) -> tuple[float, float]:
    """Return the period that is least likely to be an accident (s), and that probability."""
    peaks = [(peak[0], peak[2]) for peak in one["peaks"].values() if np.isfinite(peak[2])]
    return min(peaks, key=lambda peak: float(peak[1])) if peaks else (float("nan"), float("nan"))


def _kind(one: Facts) -> str:
    chance = one["statistics"]["constant"]
    if not np.isfinite(chance) or one["statistics"]["total"] == 0:
        return "untold"
    return "interesting" if chance < SURE or _peak(one)[1] < SURE / 3.0 else "constant"


def _numbers(run: RunFacts, found: Sequence[Facts], n_interesting: int) -> Html:
    n_event, n_target = sum(sum(one["events"].values()) for one in found), len({one["target"] for one in found})
    size = sum(files.size for files in run.files.values())
    took = duration(run.seconds) if run.finished else "not finished" if run.number else NOTHING
    cells = [
        (f"{n_target:,}", "target" if n_target == 1 else "targets", False),
        (
            f"{len(found):,}",
            f"exposure{'' if len(found) == 1 else 's'}, {duration(sum(one['seconds'] for one in found))} of good time",
            False,
        ),
        (f"{n_event:,}", f"events in {bytes_text(size)}", False),
        (f"{n_interesting:,}", "exposure that varies" if n_interesting == 1 else "exposures that vary", False),
        (
            f"{len(run.bad):,}",
            "files that cannot be used" if len(run.bad) != 1 else "file that cannot be used",
            bool(run.bad),
        ),
        (took, "for this run", not run.finished),
    ]
    return tiles(cells)


_TOLD = 5
"""Exposures that are named of a kind; more are counted."""


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:_TOLD])}{' ...' if len(names) > _TOLD else ''}"


def _first(run: RunFacts, found: Sequence[Facts]) -> Html:
    items: list[object] = []
    if run.number and not run.finished:
        items.append("The run was interrupted, or is still going on: run again and it goes on from there.")
    if run.bad:
        items.append(
            join([link("bad-files", f"{plural(len(run.bad), 'file')} cannot be used"), "; nothing was deleted."])
        )
    if run.troubles:
        items.append(join([link("work", f"{plural(len(run.troubles), 'unit')} of work did not succeed"), "."]))
    # X-ray missions have no such spectrum, and nobody misses it.
    dull = [one for one in found if not one["calibrated"] and one["setting"][0] in ("COS", "STIS")]
    why = {
        True: "in raw lists, whose columns have no wavelengths: rates, but no fluxes",
        False: "without an extracted spectrum (x1d) of the same exposure time: rates, but no fluxes",
    }
    for raw, words in why.items():
        if names := [one["rootname"] for one in dull if bool(one["cards"].get("raw")) == raw]:
            items.append(f"{plural(len(names), 'exposure')} {words} ({_some(names)}).")
    if names := [one["rootname"] for one in found if one.get("missing")]:
        items.append(
            f"{plural(len(names), 'exposure')} without one of the detector's segments: what is counted is of the other alone, as in composites with "
            f"such an exposure ({_some(names)})."
        )
    items += [one.message for one in run.idle[:_TOLD]]
    if len(run.idle) > _TOLD:
        items.append(f"Nothing was made of {len(run.idle) - _TOLD} more exposures or composites.")
    if poor := [one["rootname"] for one in found if one["clock_error"] > 1e-3]:
        items.append(
            f"{plural(len(poor), 'exposure')} without a TIMELINE: barycentric times are good to {1e3 * max(one['clock_error'] for one in found):.0f} ms."
        )
    if not found and run.number:
        items.append("There are no light curves yet.")
    if not items:
        return tag(
            "section",
            join(
                [
                    tag("h2", "Nothing needs attention"),
                    tag("p", "Every file could be used and every unit of work succeeded."),
                ]
            ),
            class_="look fine",
        )
    return tag(
        "section",
        join([tag("h2", "Worth knowing first"), tag("ul", join(tag("li", item) for item in items))]),
        class_="look",
    )


_HEAD = (
    "target",
    "exposure",
    "configuration",
    "good time (s)",
    "counts",
    "net (1/s)",
    "Poisson factor",
    "constant",
    "period (s)",
    "false alarm",
    "drift r",
)


def _tables(survey: Survey, kinds: Mapping[str, list[Facts]]) -> list[Html]:
    said = {
        "interesting": (
            "Exposures that vary",
            "Less likely than 1 % to be constant, or with a period as unlikely to be an accident.",
        ),
        "constant": (
            "Exposures that look constant",
            "Their counts scatter as those of a constant source and its background do.",
        ),
        "untold": ("Exposures that tell nothing", "Without counts, or with too few bins."),
    }
    pieces = []
    for name, (words, meaning) in said.items():
        every = sorted(kinds[name], key=_or_one)
        if not every:
            continue
        more = f" The first {MOST_ROWS} of {len(every):,}." if len(every) > MOST_ROWS else ""
        part = [tag("h2", words, id=name), table(_HEAD, map(_row, every[:MOST_ROWS]), meaning + more, left=3)]
        if name == "interesting":
            drawn = every[:MOST_PICTURES]
            curves = {target: survey.light_curve(target) for target in dict.fromkeys(one["target"] for one in drawn)}
            part += [_drawn(survey, one, curves[one["target"]]) for one in drawn]
        pieces.append(tag("section", join(part)))
    return pieces


def _together(survey: Survey) -> list[Html]:
    """Return the composites, those that vary first and drawn."""
    every = sorted(survey.composites(), key=lambda one: (_kind(one[0]) != "interesting", _or_one(one[0])))
    if not every:
        return []
    more = f" The first {MOST_ROWS} of {len(every):,}." if len(every) > MOST_ROWS else ""
    part = [
        tag("h2", "Exposures of one configuration together", id="together"),
        table(
            ["exposures" if name == "exposure" else name for name in _HEAD], [_row(one) for one, _ in every[:MOST_ROWS]],
            "Those that vary first: a period may show that no exposure shows alone." + more, left=3,
        ),
    ]  # fmt: skip
    for facts, points in [one for one in every if _kind(one[0]) == "interesting"][:MOST_PICTURES]:
        words = f"Flux, error, rates and background of {len(facts['members'])} exposures of {facts['target']}, one behind the other."
        part.append(figure(picture(figure_composite(points, facts), 96), words))
    return [tag("section", join(part))]


def _or_one(one: Facts) -> float:
    chance = float(one["statistics"]["constant"])
    return chance if np.isfinite(chance) else 1.0


def _row(one: Facts) -> tuple[object, ...]:
    found, (period, chance) = one["statistics"], _peak(one)
    return (
        one["target"], one.get("rootname") or len(one["members"]), " ".join(word for word in one["setting"] if word), number(one["seconds"], 0), f"{found['total']:,}",
        _short(found["mean"]), number(found["poisson_factor"], 2), _short(found["constant"]), _short(period), _short(chance),
        number(found["pearson_r"], 2),
    )  # fmt: skip


def _short(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else NOTHING


def _drawn(survey: Survey, one: Facts, curve: LightCurve) -> Html:
    points = curve.only(one["rootname"])
    image = picture(figure_exposure(points, read_exposure(survey.paths.exposure(one["unit"]))), 96)
    return figure(
        image, f"Light curve, counts image, spectrum, pulse heights and cumulative counts of {one['rootname']}."
    )


def _of_all(found: Sequence[Facts]) -> list[Html]:
    if not found:
        return []
    counts = {name: sum(one["reasons"].get(name, 0) for one in found) for name in REASONS}
    n_event = sum(sum(one["events"].values()) for one in found)
    rows = [
        (name.replace("_", " "), REASONS[name], f"{n:,}", f"{100.0 * n / max(n_event, 1):.2f} %")
        for name, n in counts.items()
        if n
    ]
    screened = [
        tag("h2", "What was left out", id="screened"),
        table(
            ("reason", "an event is left out when", "events", "share"), rows, "For the first reason that holds.", left=2
        )
        if rows
        else tag("p", "None: every event was counted."),
    ]
    seconds: dict[str, float] = defaultdict(float)
    for one in found:
        seconds[one["target"]] += one["seconds"]
    settings = Counter(" ".join(word for word in one["setting"] if word) for one in found)
    most = sorted(seconds.items(), key=lambda item: -item[1])[:MOST_TARGETS]
    those = f"the {len(most)} targets that have most of it" if len(seconds) > len(most) else "each target"
    words = f"Good time of {those}, and exposures by configuration."
    drawn = [
        tag("h2", "Exposure times and configurations", id="times"),
        figure(picture(_bars(most, settings.most_common(MOST_TARGETS)), 96), words, words),
    ]
    return [tag("section", join(screened)), tag("section", join(drawn))]


@styled
def _bars(seconds: Sequence[tuple[str, float]], settings: Sequence[tuple[str, int]]) -> Figure:
    n = max(len(seconds), len(settings))
    height = 1.6 + 0.3 * n
    drawn = Figure(figsize=(13.33, height))
    for (left, right), pairs, label, scale in (
        ((2.6, 6.4), seconds, "good time (ks)", 1e-3),
        ((9.6, 12.9), settings, "exposures", 1.0),
    ):
        ax = place(drawn, left, right, height - 0.4 - 0.3 * max(len(pairs), 1), height - 0.3)
        ax.barh(np.arange(len(pairs)), [scale * value for _, value in pairs], color=BLUE, height=0.7)
        ax.set_yticks(np.arange(len(pairs)), [name for name, _ in pairs], fontsize=11)
        ax.invert_yaxis()
        ax.set_xlabel(label)
        ax.grid(visible=False, axis="y")
    return drawn
