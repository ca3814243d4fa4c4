"""An HTTP proxy in front of a real MLflow server that misbehaves on request."""

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class FaultyProxy:
    """Forwards requests, and tunnels what is asked by CONNECT; faults are set from outside, at any time.

    Attributes:
        upstream: Address of the server; another may take its place.
        fault: Asked with "METHOD /path" before a request is forwarded. None forwards it; (status, content type, body)
            answers so without forwarding, with a Retry-After if a fourth names one; "drop" closes the connection;
            "hang" leaves it open and never answers.
        guard: A header that every request must bring, the value that it must have, and what others are answered:
            see ``basic``, ``bearer`` and ``proxy_basic``.
        brought: The guarded header of every request so far.
        after: Called with "METHOD /path" when the server has carried a request out and its answer is not yet passed on.
        seen: Every request so far.

    Args:
        upstream: Address of the server.
        port: To listen on; a free one by default.
        tls: Speaks TLS with it.
        prefix: Of every path, such as "/mlflow"; without it there is nothing.
    """

    def __init__(self, upstream: str, port: int = 0, *, tls: ssl.SSLContext | None = None, prefix: str = "") -> None:
        self.fault: Callable[[str], tuple[int, str, bytes] | tuple[int, str, bytes, str] | str | None]
        self.fault = lambda request: None
        self.after: Callable[[str], None] = lambda request: None
        self.guard: tuple[str, str, int] | None = None
        self.brought: list[str | None] = []
        self._is_closed = False
        self.seen: list[str] = []
        self.upstream = upstream
        self.released = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = urlsplit(self.path)
                request = f"{self.command} {asked.path.removeprefix(prefix)}"
                proxy.seen.append(request)
                if proxy.guard is not None:
                    header, expected, status = proxy.guard
                    proxy.brought.append(self.headers.get(header))
                    if proxy.brought[-1] != expected:
                        self.reply(status, "text/html", b"<html>who are you?</html>")
                        return
                if not asked.path.startswith(prefix):
                    self.reply(404, "text/html", b"<html>nothing here</html>")
                    return
                fault = proxy.fault(request)
                if fault == "drop" or proxy._is_closed:  # clients keep their connections
                    self.close_connection = True
                    return
                if fault == "hang":
                    proxy.released.wait(60)
                    self.close_connection = True
                    return
                if isinstance(fault, tuple):
                    self.reply(*fault)
                    return
                at = urlsplit(proxy.upstream)
                upstream_call = http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                target = asked.path.removeprefix(prefix) + (f"?{asked.query}" if asked.query else "")
                upstream_call.request(self.command, target, body, headers)
                answer = upstream_call.getresponse()
                content = answer.read()
                upstream_call.close()
                proxy.after(request)
                self.reply(answer.status, answer.getheader("Content-Type", "application/json"), content)

            def do_CONNECT(self) -> None:
                """A tunnel to the server, whatever host is named: what goes through it is not for this proxy."""
                proxy.seen.append(f"CONNECT {self.path}")
                if proxy.guard is not None and self.headers.get(proxy.guard[0]) != proxy.guard[1]:
                    self.reply(proxy.guard[2], "text/html", b"<html>who are you?</html>")
                    return
                at = urlsplit(proxy.upstream)
                with socket.create_connection((str(at.hostname), at.port or 0)) as there:
                    self.send_response(200)
                    self.end_headers()
                    threading.Thread(target=_pump, args=(there, self.connection), daemon=True).start()
                    _pump(self.connection, there)
                self.close_connection = True

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

            def reply(self, status: int, kind: str, content: bytes, retry_after: str | None = None) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(content)))
                    if retry_after is not None:
                        self.send_header("Retry-After", retry_after)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True  # the client is gone

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request: Any, client_address: Any) -> None:
                if tls is None:
                    super().finish_request(request, client_address)
                    return
                with tls.wrap_socket(request, server_side=True) as wrapped:
                    super().finish_request(wrapped, client_address)

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Quiet(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.uri = f"http{'s' if tls else ''}://127.0.0.1:{self.port}{prefix}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        self._is_closed = True
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def _pump(source: socket.socket, drain: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(1 << 16):
            drain.sendall(content)
        drain.shutdown(socket.SHUT_WR)


def basic(user: str, password: str) -> tuple[str, str, int]:
    """A guard that asks for a user name and password, as HTTP's basic authentication sends them."""
    return "Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}", 401


def proxy_basic(user: str, password: str) -> tuple[str, str, int]:
    """The guard of a proxy that clients know to be one."""
    return f"Proxy-{basic(user, password)[0]}", basic(user, password)[1], 407


def bearer(token: str) -> tuple[str, str, int]:
    """A guard that asks for a token."""
    return "Authorization", f"Bearer {token}", 401


def answer_json(status: int, code: str) -> tuple[int, str, bytes]:
    """What MLflow answers when it refuses."""
    return status, "application/json", f'{{"error_code": "{code}", "message": "made up"}}'.encode()


def wait_until(true: Callable[[], object], seconds: float = 20) -> None:
    """Return when `true()` is; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
