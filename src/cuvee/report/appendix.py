"""The end of the page: files that cannot be used, time and space, assumptions, configuration, software."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cuvee.instruments.registry import instrument
from cuvee.report.gather import BadFrame, RunFacts
from cuvee.report.markup import NOTHING, Html, bytes_text, code, duration, join, plural, table, tag, text
from cuvee.report.section import group_title

__all__ = ["Versions", "assumed_part", "bad_files_part", "command", "configuration_part", "software_part", "work_part"]

Versions = Mapping[str, str]
"""Packages and their versions."""

_MOST_ROWS = 500
_STAGES = {
    "catalog": "read the tables of stars",
    "reference": "made the reference images",
    "targets": "chose the stars to measure",
    "prf": "learned the PRF, and where all stars are",
    "extract": "measured all stars in blocks of frames",
    "tracks": "linked what moves to paths",
    "extract-series": "measured the stars in stamps",
    "collect": "gathered light curves from the blocks",
    "summary": "wrote the numbers of each detector's stars",
    "bin": "screened and binned the photons of exposures",
    "composite": "binned exposures of one target together",
    "publish": "described the catalogue of light curves",
}
_AGAIN = "Fetch it again"
_SAME_AGAIN = f"{_AGAIN}; if it comes the same, the archive's copy is broken: remove it"
_ADVICE = {
    "duplicate": "Remove one of the two files",
    "all-nan": _SAME_AGAIN,
    "wrong-shape": _SAME_AGAIN,
    "header": _SAME_AGAIN,
    "clock": _SAME_AGAIN,
}


def command(verb: str, workspace: Path) -> str:
    """Return a command for this workspace, ready to be typed."""
    return f"cuvee {verb} -w {shlex.quote(str(workspace))}"


def bad_files_part(facts: RunFacts, workspace: Path) -> Html:
    """List the broken files, with what to do about each."""
    pieces: list[object] = [tag("h2", "Files that cannot be used", id="bad-files")]
    if not facts.bad:
        return join([*pieces, tag("p", "None: every file was read and measured.")])
    run = code(command("run", workspace))
    pieces.append(
        tag(
            "p",
            join(
                [
                    "They were set aside with a reason, and the run went on. Put a good copy in the place of each, under the same name; then ",
                    run,
                    " takes it in, and remakes the light curves of its detector and nothing else.",
                ]
            ),
        )
    )
    rows = [_bad_row(one) for one in facts.bad[:_MOST_ROWS]]
    pieces.append(
        table(("file", "reason", "what is wrong", "where it belongs", "what to do"), rows, left=5, kind="files")
    )
    if len(facts.bad) > _MOST_ROWS:
        more = f"... and {len(facts.bad) - _MOST_ROWS:,} more; all of them: "
        pieces.append(tag("p", join([more, code(command("status", workspace))])))
    return join(pieces, "\n")


def _bad_row(one: BadFrame) -> tuple[object, ...]:
    path = Path(one.path)
    where = group_title(one.group) if one.group else "unknown"
    where += f", cadence {one.cadence}" if one.cadence >= 0 else ""
    message = one.message.removeprefix(f"{one.path} ").replace(one.path, path.name)
    message = message.removesuffix("; fetch it again or leave it out.").rstrip(".")
    file = join([code(path.name), tag("span", join(["in ", code(path.parent)]), class_="below")])
    return file, one.reason, message, where, _ADVICE.get(one.reason, _AGAIN)


def work_part(facts: RunFacts) -> Html:
    """Say what each stage cost in time, memory and bytes, and which units failed."""
    pieces: list[object] = [tag("h2", "Time, memory and space", id="work")]
    if not facts.stages:
        return join([*pieces, tag("p", "Nothing has been done yet.")])
    whole = sum(stage.seconds for stage in facts.stages) or 1.0
    rows: list[tuple[object, ...]] = []
    for stage in facts.stages:
        share = f"width:{100.0 * stage.seconds / whole:.1f}%"
        bar = tag("span", tag("i", "", style=share), class_="bar", aria_hidden="true")
        outcomes = ", ".join(f"{n:,}\N{NO-BREAK SPACE}{outcome}" for outcome, n in stage.outcomes.items())
        rows.append(
            (
                join([tag("b", stage.stage), " ", tag("span", _STAGES.get(stage.stage, ""), class_="soft")]),
                outcomes,
                f"{stage.in_this_run:,}",
                join([bar, tag("span", duration(stage.seconds), class_="beside")]),
                duration(stage.longest),
                f"{stage.memory:,.0f} MiB" if stage.memory else NOTHING,
                f"{stage.n_product:,}",
                bytes_text(stage.size),
            )
        )
    total = sum(stage.size for stage in facts.stages)
    peak = max(stage.memory for stage in facts.stages)
    rows.append((tag("b", "all"), "", f"{sum(s.in_this_run for s in facts.stages):,}", duration(whole), "", f"{peak:,.0f} MiB", f"{sum(s.n_product for s in facts.stages):,}", bytes_text(total)))  # fmt: skip
    took = f" From start to finish this run took {duration(facts.seconds)}." if facts.finished else ""
    words = f"Each unit of work as it was last done, times added up over all workers; memory is the peak of one worker until then.{took}"
    head = ("stage", "units", "in this run", "time", "longest unit", "memory", "files", "bytes")
    pieces.append(table(head, rows, words, left=2))
    if facts.troubles:
        pieces.append(tag("h3", "Units that did not succeed"))
        lines = [(one.stage, code(one.unit), one.outcome, one.message) for one in facts.troubles[:_MOST_ROWS]]
        pieces.append(table(("stage", "unit", "outcome", "why"), lines, left=4))
    return join(pieces, "\n")


def assumed_part(facts: RunFacts, name: str) -> Html:
    """List what was taken for granted: missing cards, lent coordinates, the noise model."""
    device = instrument(name)
    said: dict[Html, list[str]] = defaultdict(list)
    for group, files in sorted(facts.files.items()):
        title = group_title(group)
        for card, n in files.assumed.items():
            said[join([code(card), f" was missing in {plural(n, 'file')} of {files.n_file:,}; the instrument's default stands in for it."])].append(title)  # fmt: skip
        if files.no_wcs:
            names = join((code(one) for one in files.no_wcs[:10]), ", ")
            more = f" and {len(files.no_wcs) - 10:,} more" if len(files.no_wcs) > 10 else ""
            said[join([names, more, " without coordinates (WCS); the reference image's were used."])].append(title)
        if files.subtracted:
            said[text(f"the mission had subtracted the background of {plural(files.subtracted, 'file')}; the background given here is what was left.")].append(title)  # fmt: skip
        if files.releases:
            said[text(f"data release {', '.join(str(one) for one in files.releases)}.")].append(title)
    items: list[object] = [
        join([f"{len(titles):,} detectors" if len(titles) > 2 else "; ".join(titles), ": ", words])
        for words, titles in said.items()
    ]
    items.append(
        f"The expected noise adds the star's photons, the background's, the scatter of the background's estimate and the readout; the line in the figure "
        f"uses a zero point of {device.zero_point:.2f} mag for 1 e⁻/s and a Gaussian star of {device.fwhm:g} px full width at half maximum."
    )
    items.append(
        "Times are BTJD = BJD_TDB - 2457000 at mid-exposure, in the direction of each star. Light curves are raw: no trend has been taken out."
    )
    return join([tag("h2", "What was assumed", id="assumed"), tag("ul", join(tag("li", item) for item in items))])


def configuration_part(facts: RunFacts) -> Html:
    """List every parameter, those that were set in bold."""
    rows = []
    for section, usual in facts.defaults.items():  # a run notes more than parameters: hashes of files, versions
        values = facts.config.get(section, {})
        for key, value in values.items():
            changed = value != usual.get(key, value)
            shown = tag("span", _value(value), class_="set" if changed else None)
            rows.append(
                (
                    code(f"[{section}] {key}"),
                    shown,
                    _value(usual[key]) if changed else tag("span", "default", class_="soft"),
                )
            )
    words = "The effective configuration of this run: what cuvee.toml sets is bold, with the default beside it."
    return join(
        [tag("h2", "Configuration", id="configuration"), table(("parameter", "value", "default"), rows, words, left=3)]
    )


def _value(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def software_part(facts: RunFacts, versions: Versions) -> Html:
    """List versions, and the command."""
    rows = [("cuvee, in this run", facts.version or NOTHING), *versions.items()]
    words = "The light curves were made by the first; the others are those with which this page was written."
    pieces = [tag("h2", "Software", id="software"), table(("package", "version"), rows, words, left=2)]
    if facts.command:
        pieces.append(tag("p", join(["Typed: ", code(f"cuvee {facts.command}")])))
    return join(pieces, "\n")
