"""From what a request asks for to what is sent: ranges, versions, and the faults of the transfer."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime

from cuvee.testing.archive.content import Content, other_version, text_content
from cuvee.testing.archive.faults import Fault, FaultMenu

__all__ = ["MAINTENANCE", "Delivery", "Reply", "plan_delivery", "refusal"]

MAINTENANCE = "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body>The archive is down for maintenance.</body></html>\n"

_BODY = ("truncate", "drop", "stall", "flip", "no-length", "chunked", "wrong-length", "slow")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before ranges and faults.

    Parameters
    ----------
    content : Content
        The whole body.
    media : str
        Content-Type.
    status : int
        Of HTTP.
    name : str
        The file it is; empty for what is no file.
    headers : mapping of str to str
        More headers.
    """

    content: Content
    media: str = "application/json"
    status: int = 200
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Delivery:
    """What is sent.

    Parameters
    ----------
    status : int
        Of HTTP.
    headers : dict of str to str
        All of them.
    content : Content
        The body is a part of it.
    start, stop : int
        Which part.
    rate : float
        Bytes a second; 0: as fast as it goes.
    hang : bool
        Whether the connection then stays, silent.
    close : bool
        Whether it is closed after the body.
    chunked : bool
        Whether the body comes in chunks.
    """

    status: int
    headers: dict[str, str]
    content: Content
    start: int
    stop: int
    rate: float = 0.0
    hang: bool = False
    close: bool = False
    chunked: bool = False


def refusal(status: int, text: str, **headers: str) -> Reply:
    """Return an answer that is an error."""
    return Reply(text_content(text + "\n"), "text/plain", status, headers=headers)


def plan_delivery(
    reply: Reply, method: str, asked: Mapping[str, str], menu: FaultMenu, names: Sequence[str]
) -> Delivery:
    """Work out what is sent.

    Parameters
    ----------
    reply : Reply
        The whole answer.
    method : str
        A HEAD is answered as a GET would be; it is no strike of the faults of a body.
    asked : mapping of str to str
        The request's headers.
    menu : FaultMenu
        What goes wrong.
    names : sequence of str
        What the request goes by.
    """
    body = method != "HEAD"
    content = reply.content
    if reply.status == 200 and _struck("html", menu, names, body):
        return _whole(text_content(MAINTENANCE), {"Content-Type": "text/html; charset=utf-8"}, 200)
    if content.path is not None and reply.status == 200 and menu.strike_version(reply.name, body):
        content = other_version(content)
    headers = {"Content-Type": reply.media, **reply.headers}
    if content.etag:
        headers |= {"ETag": content.etag, "Last-Modified": formatdate(content.modified, usegmt=True)}
        if not _struck("no-accept-ranges", menu, names, body):
            headers["Accept-Ranges"] = "bytes"
    if content.etag and (match := asked.get("If-Match")) and match != "*" and content.etag not in match.split(", "):
        return _whole(
            text_content("The file has changed.\n"), {"Content-Type": "text/plain", "ETag": content.etag}, 412
        )
    delivery = _whole(content, headers, reply.status)
    if content.etag and "Range" in asked and reply.status == 200 and not _struck("no-range", menu, names, body):
        delivery = _part(delivery, asked)
    if delivery.status in (200, 206):
        for kind in _BODY:
            if fault := _struck(kind, menu, names, body):
                _spoil(delivery, fault, body)
    return delivery


def _struck(kind: str, menu: FaultMenu, names: Sequence[str], body: bool) -> Fault | None:
    # A HEAD sees what a GET would see, and uses nothing up.
    if body:
        return menu.strike((kind,), names)
    return next(iter(menu.find((kind,), names)), None)


def _whole(content: Content, headers: dict[str, str], status: int) -> Delivery:
    return Delivery(status, headers | {"Content-Length": str(content.size)}, content, 0, content.size)


def _part(delivery: Delivery, asked: Mapping[str, str]) -> Delivery:
    content, match = delivery.content, _RANGE.fullmatch(asked["Range"].replace(" ", ""))
    if match is None or not any(match.groups()) or not _same_version(content, asked.get("If-Range", "")):
        return delivery
    if match[1]:
        start, stop = int(match[1]), min(int(match[2] or content.size), content.size - 1) + 1
        if match[2] and int(match[2]) < start:
            return delivery
    else:
        start, stop = max(0, content.size - int(match[2])), content.size
    if start >= content.size:
        headers = {"Content-Type": "text/plain", "Content-Range": f"bytes */{content.size}"}
        return _whole(text_content("There are no such bytes.\n"), headers, 416)
    delivery.headers |= {
        "Content-Range": f"bytes {start}-{stop - 1}/{content.size}",
        "Content-Length": str(stop - start),
    }
    return dataclasses.replace(delivery, status=206, start=start, stop=stop)


def _same_version(content: Content, condition: str) -> bool:
    if not condition or condition == content.etag:
        return True
    if condition.startswith(('"', "W/")):
        return False
    try:
        return parsedate_to_datetime(condition).timestamp() == int(content.modified)
    except ValueError:
        return False


def _spoil(delivery: Delivery, fault: Fault, body: bool) -> None:
    size, number = delivery.stop - delivery.start, fault.number
    match fault.kind:
        case "truncate" | "drop" | "stall":
            kept = min(size, size // 2 if number is None else int(number))
            delivery.stop = delivery.start + kept
            delivery.close |= fault.kind == "drop"
            delivery.hang |= fault.kind == "stall"
            if fault.kind == "truncate" and body:
                delivery.headers["Content-Length"] = str(kept)
        case "flip":
            offset = delivery.start + size // 2 if number is None else int(number)
            if offset < delivery.content.size:
                delivery.content = delivery.content.patched((offset, bytes([delivery.content.byte(offset) ^ 1])))
        case "no-length" | "chunked":
            delivery.headers.pop("Content-Length", None)
            delivery.chunked = fault.kind == "chunked"
            delivery.close |= fault.kind == "no-length"
            delivery.headers |= {"Transfer-Encoding": "chunked"} if delivery.chunked else {}
        case "wrong-length":
            delivery.headers["Content-Length"] = str(size + (1000 if number is None else int(number)))
            delivery.close = True
        case _:
            delivery.rate = number or 10_000.0
