"""The archive on this machine: an HTTP server, its log, and its faults."""

from __future__ import annotations

import dataclasses
import select
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from cuvee.errors import ConfigError
from cuvee.testing.archive.faults import Fault, FaultMenu
from cuvee.testing.archive.portal import service_of
from cuvee.testing.archive.reply import Delivery, Reply, plan_delivery, refusal
from cuvee.testing.archive.routes import answer
from cuvee.testing.archive.shelf import Shelf
from cuvee.testing.archive.site import Question, Site
from cuvee.testing.archive.stars import StarTables

__all__ = ["LoopbackArchive", "Request"]

_STATUS = {"404": 404, "416": 416, "429": 429, "500": 500, "503": 503, "503-range": 503}
_PIECE = 1 << 20


@dataclass(slots=True)
class Request:
    """What was asked, and what came of it.

    Parameters
    ----------
    method, path : str
        As they were sent, the path with its query.
    name : str
        The file that was meant, or the last part of the path.
    range : str
        The Range header; empty without one.
    status : int
        Of the answer.
    sent : int
        Bytes of the body that went out so far.
    """

    method: str
    path: str
    name: str
    range: str = ""
    status: int = 0
    sent: int = 0


class LoopbackArchive:
    """An archive that answers as MAST does, on 127.0.0.1, over a folder of files.

    Parameters
    ----------
    folder : Path or str
        The files, in any subfolders; looked through once, when the archive is made.
    faults : sequence of Fault
        What goes wrong; `faults` can be set again while it runs.
    port : int
        0: any that is free.
    catalogs : Path or str, optional
        Tables of stars, served below ``/missions/tess/catalogs`` and searched.

    Raises
    ------
    ConfigError
        If there is no such folder, or the port is taken.

    Examples
    --------
    >>> with LoopbackArchive("sim/raw", faults=[Fault("503", "*_ffic.fits", times=2)]) as archive:  # doctest: +SKIP
    ...     fetch(archive.url + "/api/v0.1/Download/file?uri=mast:TESS/product/NAME")
    ...     print(archive.requests, archive.hits)
    """

    def __init__(
        self, folder: Path | str, faults: Sequence[Fault] = (), port: int = 0, catalogs: Path | str | None = None
    ) -> None:
        tables = None if catalogs is None else StarTables(Path(catalogs))
        self.site = Site(Shelf(Path(folder)), tables, FaultMenu(faults))
        self._log: list[Request] = []
        self._busy = 0
        self._change = threading.Condition()
        self.closing = threading.Event()
        try:
            self._server = _Server(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise ConfigError(f"Port {port} cannot be used: {error.strerror}; choose another with --port.") from error
        self._server.archive = self
        self.site.url = self.url
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it is: ``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong; setting it begins to count anew."""
        return self.site.menu.faults

    @faults.setter
    def faults(self, faults: Sequence[Fault]) -> None:
        self.site.menu = FaultMenu(faults)

    @property
    def hits(self) -> tuple[int, ...]:
        """How many requests each of the faults has struck."""
        return self.site.menu.hits

    @property
    def requests(self) -> list[Request]:
        """Everything that was asked so far, in the order in which the answers began."""
        with self._change:
            return [dataclasses.replace(request) for request in self._log]

    def clear(self) -> None:
        """Forget the requests so far."""
        with self._change:
            self._log.clear()

    def wait_idle(self, timeout: float = 10.0) -> bool:
        """Wait until no answer is under way, and tell whether that came before the timeout (s)."""
        with self._change:
            return self._change.wait_for(lambda: self._busy == 0, timeout)

    def start(self) -> Self:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def serve(self) -> None:
        """Serve until somebody interrupts."""
        self._server.serve_forever(0.2)

    def close(self) -> None:
        """Stop; connections that hang are let go."""
        self.closing.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self) -> int:
        """Count a request in, and return how many are in work now."""
        with self._change:
            self._busy += 1
            return self._busy

    def end(self) -> None:
        """Count a request out."""
        with self._change:
            self._busy -= 1
            self._change.notify_all()

    def note(self, request: Request) -> None:
        """Add to the log."""
        with self._change:
            self._log.append(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    archive: LoopbackArchive

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that goes away in the middle is what this server is for; anything else is a mistake of ours.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "cuvee-archive"
    disable_nagle_algorithm = True
    timeout = 300

    def do_GET(self) -> None:
        """Answer, whatever the method; the server looks for one function a method."""
        archive = self.server.archive
        active = archive.begin()
        try:
            self._reply(archive, active)
        finally:
            archive.end()

    do_HEAD = do_GET  # noqa: N815 - names that http.server asks for
    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the archive keeps its own log."""

    def _reply(self, archive: LoopbackArchive, active: int) -> None:
        parts = urlsplit(self.path)
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(int(length)) if length.isdigit() else b""
        headers = {key.title(): value for key, value in self.headers.items()}
        question = Question(self.command, unquote(parts.path), parts.query, headers, body)
        names = _names(question)
        request = Request(self.command, self.path, names[0], headers.get("Range", ""))
        menu = archive.site.menu
        reply = _denial(menu, names, active, bool(request.range))
        if reply is None and "Transfer-Encoding" in headers:
            self.close_connection = True  # its body has not been read, and would pass for the next request
            reply = refusal(411, "Say how long the body is.", Connection="close")
        reply = reply or answer(archive.site, question)
        delivery = plan_delivery(reply, self.command, headers, menu, names)
        request.status = delivery.status
        archive.note(request)
        self._send(delivery, request, archive.closing)

    def _send(self, delivery: Delivery, request: Request, closing: threading.Event) -> None:
        self.send_response(delivery.status)
        for key, value in delivery.headers.items():
            self.send_header(key, value)
        if delivery.close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        connection, step = self.connection, _PIECE
        if delivery.rate:
            step = max(1, int(delivery.rate / 20))
        elif not delivery.chunked:
            step = 1 << 26
        for start in range(delivery.start, delivery.stop, step):
            stop = min(start + step, delivery.stop)
            if delivery.chunked:
                connection.sendall(f"{stop - start:x}\r\n".encode())
            delivery.content.send(connection, start, stop)
            if delivery.chunked:
                connection.sendall(b"\r\n")
            request.sent += stop - start
            if delivery.rate and closing.wait((stop - start) / delivery.rate):
                break
        if delivery.hang:
            _hang(connection, closing)
            self.close_connection = True
        elif delivery.chunked:
            connection.sendall(b"0\r\n\r\n")
        if self.close_connection:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _names(question: Question) -> list[str]:
    """Return what a request goes by: the file or the last part of the path, the path, the search service."""
    asked = parse_qs(question.query)
    file = next((asked[key][0] for key in ("uri", "product_name") if key in asked), question.path.rstrip("/"))
    return [file.rpartition("/")[2], question.path, *service_of(question)]


def _denial(menu: FaultMenu, names: Sequence[str], active: int, ranged: bool) -> Reply | None:
    """Return the refusal that a fault asks for, whatever the request is."""
    kinds = ["404", "429", "500", "503", *(["416", "503-range"] if ranged else [])]
    crowded = [f for f in menu.find(("busy",), names) if active > (1 if f.number is None else f.number)]
    kinds += ["busy"] * bool(crowded)
    fault = menu.strike(kinds, names)
    if fault is None:
        return None
    status = _STATUS.get(fault.kind, 503)
    wait = fault.kind in ("429", "503", "503-range") and fault.number is not None
    return refusal(status, f"Fault: {fault.kind}.", **({"Retry-After": f"{fault.number:g}"} if wait else {}))


def _hang(connection: socket.socket, closing: threading.Event) -> None:
    """Wait until the client gives up or the archive closes."""
    while not closing.is_set():
        with suppress(OSError):
            readable, _, _ = select.select([connection], [], [], 0.05)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                return
            if readable:
                time.sleep(0.05)
