"""A real browser that is led by clicks: Chromium over its debugging pipe, with no package in between."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

PROGRAM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS: Final = (
    "headless no-sandbox disable-gpu disable-dev-shm-usage disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync window-size=1600,1000 remote-debugging-pipe"
)
_SECONDS: Final = 60.0
"""Only a hang takes as long."""

_FIND: Final = """((wanted, within) => [...document.querySelectorAll(within)].find(one =>
    one.textContent.trim() === wanted && one.getClientRects().length))"""
_CENTRE: Final = """(one => { if (!one || !one.getClientRects().length) return null;
    one.scrollIntoView({block: 'center', inline: 'nearest'});
    const box = one.getClientRects()[0], x = box.left + box.width / 2, y = box.top + box.height / 2;
    const hit = document.elementFromPoint(x, y); return hit && (one.contains(hit) || hit.contains(one)) ? [x, y] : null;
})"""


class Page:
    """A tab.

    Args:
        browser: It is of.
        session: Its name there.
    """

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One call of the DevTools protocol."""
        return self._browser.call(method, session=self._session, **params)

    def open(self, url: str) -> None:
        """Type an address."""
        self.call("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """What an expression is in the page."""
        reply = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of an expression as soon as it is true."""
        deadline = time.monotonic() + _SECONDS
        while not (found := self.value(script)):
            assert time.monotonic() < deadline, f"{script}\nnever came; {self.address}\n{self.text[:2000]}"
            time.sleep(0.05)
        return found

    def shows(self, *texts: str) -> None:
        """Wait until all of the texts are seen."""
        self.wait(f"{json.dumps(texts)}.every(text => document.body.innerText.includes(text))")

    def click(self, text: str, *, within: str = "a, button, [role=tab], [role=menuitem], summary") -> None:
        """Click where the element with exactly this text is, as soon as nothing covers it."""
        self.click_on(f"{_FIND}({json.dumps(text)}, {json.dumps(within)})")

    def click_on(self, element: str) -> None:
        """The same of the element that an expression is."""
        x, y = self.wait(f"{_CENTRE}({element})")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    @property
    def text(self) -> str:
        """What a reader sees."""
        return str(self.value("document.body.innerText"))

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self.value("location.href"))

    def frame(self, wanted: str) -> "Page":
        """The frame in the page whose document has this in its text, in a session of its own or in the page's."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            for frame in self.call("Page.getFrameTree")["frameTree"].get("childFrames", ()):
                world = self.call("Page.createIsolatedWorld", frameId=frame["frame"]["id"])
                context = world["executionContextId"]
                script = "document.body ? document.body.innerText : ''"
                reply = self.call("Runtime.evaluate", expression=script, contextId=context)
                if wanted in str(reply["result"].get("value")):
                    return Frame(self._browser, self._session, context)
            time.sleep(0.05)
        raise AssertionError(f"no frame shows {wanted!r}; {self.address}\n{self.text[:2000]}")

    def picture(self, path: Path) -> None:
        """Write what is seen as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


class Frame(Page):
    """A document inside a page, to be read."""

    def __init__(self, browser: "Browser", session: str, context: int) -> None:
        super().__init__(browser, session)
        self._context = context

    def value(self, script: str) -> Any:
        reply = self.call("Runtime.evaluate", expression=script, contextId=self._context, returnByValue=True)
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")


class Browser:
    """Chromium with a fresh profile.

    Args:
        profile: An empty folder.

    Attributes:
        events: What it has reported, the oldest first.
    """

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        self.events: list[dict[str, Any]] = []
        (theirs_in, self._in), (self._out, theirs_out) = os.pipe(), os.pipe()

        def give_pipes() -> None:  # the protocol's: 3 to read from, 4 to write to
            safe_in, safe_out = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(safe_in, 3)
            os.dup2(safe_out, 4)

        command = [PROGRAM, *(f"--{flag}" for flag in _FLAGS.split()), f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            command, close_fds=False, preexec_fn=give_pipes, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._count, self._rest = 0, b""

    def call(self, method: str, *, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Ask, and wait for the answer; what is reported meanwhile goes to `events`."""
        self._count += 1
        asked: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if session is not None:
            asked["sessionId"] = session
        os.write(self._in, json.dumps(asked).encode() + b"\0")
        while (reply := self._read()).get("id") != self._count:
            self.events.append(reply)
        if "error" in reply:
            raise AssertionError(f"{method}: {reply['error']}")
        return dict(reply["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._out, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def page(self) -> Page:
        """A new tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Network"):
            page.call(f"{domain}.enable")
        return page

    def newest(self, page: Page) -> Page:
        """The tab that a click has opened beside `page`."""
        known = page.call("Target.getTargetInfo")["targetInfo"]["targetId"]
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            for found in self.call("Target.getTargets")["targetInfos"]:
                if found["type"] == "page" and found.get("openerId") == known:
                    session = self.call("Target.attachToTarget", targetId=found["targetId"], flatten=True)["sessionId"]
                    return Page(self, session)
            time.sleep(0.05)
        raise AssertionError("no tab was opened")

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError, AssertionError):
            self.call("Browser.close")
        for end in (self._in, self._out):
            os.close(end)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


@contextlib.contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser for a test, which is skipped where there is none."""
    if PROGRAM is None:
        pytest.skip("there is no chromium here")
    browser = Browser(profile)
    try:
        yield browser
    finally:
        browser.close()
