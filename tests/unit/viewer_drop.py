#!/usr/bin/python3
"""viewer_drop.py PROGRAM TRACE DROPPED...: drags a file onto a real window and lets it go there.

Inside xvfb-run. A drag-and-drop source as a file manager is one: XDND version 5 (freedesktop.org), the file
as text/uri-list. Each DROPPED in turn must be taken, and become the trace of which the window's title tells;
then the window is closed with Ctrl + Q and must leave with 0. Needs python3-xlib and xdotool."""

import contextlib
import pathlib
import subprocess
import sys
import time

from Xlib import X, Xatom, display
from Xlib.protocol import event

PATIENCE_SECONDS = 30
VERSION = 5


class Source:
    def __init__(self):
        self.display = display.Display()
        self.root = self.display.screen().root
        self.window = self.root.create_window(0, 0, 10, 10, 0, X.CopyFromParent)
        self.uri_list = self.atom("text/uri-list")

    def atom(self, name):
        return self.display.intern_atom(name)

    def send(self, target, kind, *words):
        data = [self.window.id, *words]
        message = event.ClientMessage(window=target, client_type=self.atom(kind),
                                      data=(32, data + [0] * (5 - len(data))))
        target.send_event(message)
        self.display.flush()

    def answer(self, request, text):
        """The target asks what is dragged."""
        request.requestor.change_property(request.property, request.target, 8, text)
        request.requestor.send_event(event.SelectionNotify(
            time=request.time, requestor=request.requestor, selection=request.selection, target=request.target,
            property=request.property))
        self.display.flush()

    def wait(self, kind, text):
        """The target's next message of this kind; its other questions are answered meanwhile."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends:
            while self.display.pending_events():
                received = self.display.next_event()
                if received.type == X.SelectionRequest:
                    self.answer(received, text)
                elif received.type == X.ClientMessage and received.client_type == self.atom(kind):
                    return received.data[1]
            time.sleep(0.01)
        sys.exit(f"the window never sent {kind}")

    def drop(self, target, path):
        text = f"{path.as_uri()}\r\n".encode()
        self.window.set_selection_owner(self.atom("XdndSelection"), X.CurrentTime)
        at = target.translate_coords(self.root, 0, 0)
        here = ((abs(at.x) + 100) << 16) | (abs(at.y) + 100)
        self.send(target, "XdndEnter", VERSION << 24, self.uri_list)
        self.send(target, "XdndPosition", 0, here, X.CurrentTime, self.atom("XdndActionCopy"))
        if not self.wait("XdndStatus", text)[1] & 1:
            sys.exit("the window does not take what is dragged over it")
        self.send(target, "XdndDrop", 0, X.CurrentTime)
        # GLFW 3.3 says how many bytes it took, where the protocol has but one bit.
        if self.wait("XdndFinished", text)[1] == 0:
            sys.exit("the window did not take what was dropped on it")


def wait_for_title(viewer, title):
    """The window's id, once it has this title."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        if viewer.poll() is not None:
            sys.exit(f"the viewer ended with {viewer.returncode}")
        found = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", "^Tidemark: "],
                               capture_output=True, text=True, check=False).stdout.split()
        for window in found:
            name = subprocess.run(["xdotool", "getwindowname", window], capture_output=True, text=True,
                                  check=False).stdout.strip()
            if name == title:
                return window
        time.sleep(0.1)
    sys.exit(f"no window with the title '{title}'")


def close(viewer, window):
    """A key that comes before the focus is lost: pressed until it is seen."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while viewer.poll() is None and time.monotonic() < ends:
        subprocess.run(["xdotool", "windowfocus", "--sync", window, "key", "ctrl+q"], check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            viewer.wait(2)
    if viewer.returncode != 0:
        sys.exit(f"the viewer closed with {viewer.returncode}")


def main():
    program, first, *dropped = sys.argv[1:]
    source = Source()
    viewer = subprocess.Popen([program, first])
    try:
        window = wait_for_title(viewer, f"Tidemark: {pathlib.Path(first).name}")
        target = source.display.create_resource_object("window", int(window))
        if target.get_full_property(source.atom("XdndAware"), Xatom.ATOM) is None:
            sys.exit("the window does not say that it takes what is dropped (XdndAware)")
        for path in dropped:
            source.drop(target, pathlib.Path(path).resolve())
            wait_for_title(viewer, f"Tidemark: {pathlib.Path(path).name}")
        close(viewer, window)
    finally:
        viewer.kill()


if __name__ == "__main__":
    main()
