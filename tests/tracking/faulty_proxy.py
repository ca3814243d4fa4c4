"""An HTTP proxy in front of a real MLflow server that misbehaves on request."""

import base64
import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class FaultyProxy:
    """Forwards requests; faults are set from outside, at any time.

    Attributes:
        upstream: Address of the server; another may take its place.
        fault: Asked with "METHOD /path" before a request is forwarded. None forwards it; (status, content type, body)
            answers so without forwarding, with a Retry-After if a fourth names one; "drop" closes the connection;
            "hang" leaves it open and never answers.
        credentials: "user:password" that every request must bring, in the header of HTTP's basic authentication.
        after: Called with "METHOD /path" when the server has carried a request out and its answer is not yet passed on.
        seen: Every request so far.
    """

    def __init__(self, upstream: str, port: int = 0) -> None:
        self.fault: Callable[[str], tuple[int, str, bytes] | tuple[int, str, bytes, str] | str | None]
        self.fault = lambda request: None
        self.after: Callable[[str], None] = lambda request: None
        self.credentials: str | None = None
        self._is_closed = False
        self.seen: list[str] = []
        self.upstream = upstream
        self.released = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = f"{self.command} {urlsplit(self.path).path}"
                proxy.seen.append(request)
                expected = f"Basic {base64.b64encode((proxy.credentials or '').encode()).decode()}"
                if proxy.credentials is not None and self.headers.get("Authorization") != expected:
                    self.reply(401, "text/html", b"<html>who are you?</html>")
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
                upstream_call.request(self.command, self.path, body, headers)
                answer = upstream_call.getresponse()
                content = answer.read()
                upstream_call.close()
                proxy.after(request)
                self.reply(answer.status, answer.getheader("Content-Type", "application/json"), content)

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

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Quiet(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        self._is_closed = True
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def answer_json(status: int, code: str) -> tuple[int, str, bytes]:
    """What MLflow answers when it refuses."""
    return status, "application/json", f'{{"error_code": "{code}", "message": "made up"}}'.encode()


def wait_until(true: Callable[[], object], seconds: float = 20) -> None:
    """Return when `true()` is; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
