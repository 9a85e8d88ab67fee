"""Asking the archive with the standard library's client, which knows nothing of it."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from cuvee.testing.archive import LoopbackArchive


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    archive: LoopbackArchive,
    path: str,
    method: str = "GET",
    body: str | None = None,
    **headers: str,
) -> Answer:
    """Ask once, over a connection of its own; underscores in the names of headers are dashes."""
    connection = http.client.HTTPConnection(urlsplit(archive.url).netloc, timeout=20)
    try:
        connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def file_path(name: str) -> str:
    return f"/api/v0.1/Download/file?uri=mast:TESS/product/{name}"


def invoke(archive: LoopbackArchive, service: str, page: int = 1, size: int = 1000, **params: Any) -> Any:
    """Search as the portal is asked to."""
    request = json.dumps(
        {"service": service, "params": params, "format": "json", "pagesize": size, "page": page, "cacheBreaker": "x"}
    )
    return ask(archive, "/api/v0/invoke", "POST", f"request={quote(request)}").json
