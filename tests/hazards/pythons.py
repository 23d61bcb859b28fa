"""Finds CPython interpreters to test with, and says on the console which ones."""

import glob
import os
import shutil
import subprocess
import sys

OLDEST, NEWEST = (3, 8), (3, 14)
ASK = ("import sys, sysconfig; print(*sys.version_info[:3], sys.implementation.name, "
       "int(bool(sysconfig.get_config_var('Py_GIL_DISABLED'))), sysconfig.get_path('include'), "
       "sys.executable, sys.base_prefix, sysconfig.get_config_var('LIBDIR'), "
       "sysconfig.get_config_var('INSTSONAME'), sep='|')")


class Python:
    def __init__(self, path, answer):
        (major, minor, micro, self.implementation, free, self.include, executable, self.prefix,
         folder, library) = answer.split("|")
        self.path = path
        self.real = os.path.realpath(executable)
        self.version = (int(major), int(minor), int(micro))
        self.free_threaded = free == "1"
        library = os.path.join(folder, library)
        # "" when it comes as a program alone.
        self.library = library if ".so" in library and os.path.exists(library) else ""

    @property
    def name(self):
        return ".".join(map(str, self.version)) + ("t" if self.free_threaded else "")

    @property
    def supported(self):
        return self.implementation == "cpython" and OLDEST <= self.version[:2] <= NEWEST


def candidates():
    """TIDEMARK_PYTHONS (paths, separated by colons), then this one, then what is on PATH and pyenv."""
    yield from filter(None, os.environ.get("TIDEMARK_PYTHONS", "").split(":"))
    yield sys.executable
    for minor in range(OLDEST[1], NEWEST[1] + 1):
        for name in (f"python3.{minor}", f"python3.{minor}t"):
            for folder in os.environ.get("PATH", "").split(":"):
                path = shutil.which(name, path=folder)
                if path and "/shims/" not in path:  # pyenv's: shell scripts for what is found below
                    yield path
    yield from sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3")))


def find():
    found = {}
    for path in candidates():
        try:
            answer = subprocess.run([path, "-c", ASK], capture_output=True, text=True, timeout=60)
        except OSError:
            continue
        if answer.returncode != 0:
            continue
        python = Python(path, answer.stdout.strip())
        found.setdefault(python.real, python)
    return sorted(found.values(), key=lambda python: (python.version, python.free_threaded))


def supported():
    pythons = [python for python in find() if python.supported]
    print("interpreters:", ", ".join(f"{python.name} ({python.path})" for python in pythons))
    missing = [f"3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)
               if not any(python.version[1] == minor for python in pythons)]
    if missing:
        print("not here, so not tested:", ", ".join(missing))
    if not pythons:
        raise SystemExit("no CPython from 3.8 to 3.14 found: set TIDEMARK_PYTHONS to some")
    return pythons
