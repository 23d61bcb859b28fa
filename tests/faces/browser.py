"""Drives a headless Chromium through its debugging pipe: no port, no package beside the browser.

Messages are JSON with a zero byte at the end; the browser reads them from descriptor 3 and writes
to 4. Whatever goes wrong in a page (an exception, an error on the console, a request for anything
but the page itself) is kept in `complaints`.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_S = 60


def find():
    """The path of a browser that answers, or None. Ubuntu's package is a stub that has none."""
    for name in NAMES:
        path = shutil.which(name)
        if path and subprocess.run([path, "--version"], capture_output=True).returncode == 0:
            return path
    return None


class Browser:
    def __init__(self, path):
        self.folder = tempfile.mkdtemp(prefix="tidemark-browser-")
        to_browser, self.out = os.pipe()
        self.inp, from_browser = os.pipe()

        def descriptors():
            # Both away from 3 and 4 first, so that neither closes the other.
            high = [os.dup(os.dup2(to_browser, 40)), os.dup(os.dup2(from_browser, 41))]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--hide-scrollbars", "--no-first-run", "--disable-background-networking",
             f"--user-data-dir={self.folder}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=descriptors, close_fds=False, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        self.number = 0
        self.session = None
        self.loaded = False
        self.page = None
        self.complaints = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        """The browser ends its own processes; what is left of it after a fault is killed."""
        self.session = None
        try:
            self.call("Browser.close")
            self.process.wait(PATIENCE_S)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self.out)
        os.close(self.inp)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _message(self):
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self.buffer:
            if not select.select([self.inp], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise RuntimeError(f"the browser said nothing for {PATIENCE_S} s")
            part = os.read(self.inp, 1 << 20)
            if not part:
                raise RuntimeError("the browser has ended")
            self.buffer += part
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method, params):
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent" and params["request"]["url"] != self.page:
            self.complaints.append(f"asked for {params['request']['url']}")

    def open(self, path, width=1400, height=1000):
        self.size(width, height)
        self.loaded = False
        self.page = path.resolve().as_uri()
        self.call("Page.navigate", url=self.page)
        while not self.loaded:
            self._message()
        self.settle()

    def settle(self):
        """Until what was asked for is drawn: two frames."""
        self.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def until(self, expression):
        """Whether it comes to hold: input reaches a page when the browser gets to it."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.js(expression):
            if time.monotonic() > deadline:
                return False
            self.settle()
        return True

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)

    def colours(self, scheme):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def js(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def click(self, selector, nth=0):
        """With the mouse, in the middle of what the selector finds."""
        place = self.js(f"""(() => {{
            const found = document.querySelectorAll({json.dumps(selector)})[{nth}];
            if (!found) return null;
            found.scrollIntoView({{block: 'center'}});
            const box = found.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        if place is None:
            raise AssertionError(f"nothing to click on: {selector} [{nth}]")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left",
                      clickCount=1)
        self.settle()

    def key(self, key, text=None):
        for kind in ("keyDown", "keyUp"):
            params = {"type": kind, "key": key}
            if text and kind == "keyDown":
                params["text"] = text
            self.call("Input.dispatchKeyEvent", **params)
        self.settle()

    def picture(self, whole=False):
        """A PNG of what is seen, or of the whole page."""
        params = {"format": "png"}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            params["captureBeyondViewport"] = True
            params["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"],
                              "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", **params)["data"])
