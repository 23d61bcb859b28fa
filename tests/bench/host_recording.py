#!/usr/bin/env python3
"""Host recording beside its peers: prints the table of targets from one run (scripts/bench-host).

Every figure of ours comes with a count: what the trace holds must be what the program did, or the
exit status is 1. No figure decides the exit status.
"""

import argparse
import contextlib
import dataclasses
import datetime
import fcntl
import os
import platform
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "host"))

import rows  # noqa: E402
from callgrind import Profiler  # noqa: E402
from report import Report  # noqa: E402
from tools import Bare, BenchError, Heaptrack, Memray, Tidemark  # noqa: E402


@dataclasses.dataclass
class Size:
    rounds: int
    pairs: int
    program_rounds: int
    python_rounds: int
    cxx_units: int
    sqlite_rows: int
    memory_threads: tuple
    read_events: int


FULL = Size(rounds=5, pairs=2_000_000, program_rounds=3, python_rounds=60, cxx_units=20,
            sqlite_rows=400_000, memory_threads=(1, 8, 64), read_events=50_000_000)
QUICK = Size(rounds=3, pairs=500_000, program_rounds=2, python_rounds=30, cxx_units=3,
             sqlite_rows=200_000, memory_threads=(1, 8, 64), read_events=50_000_000)
SMOKE = Size(rounds=1, pairs=3_000, program_rounds=1, python_rounds=1, cxx_units=1,
             sqlite_rows=1_000, memory_threads=(1, 4), read_events=100_000)

ROWS = {"pairs": rows.one_thread, "threads": rows.two_threads, "instructions": rows.instructions,
        "python": rows.python, "programs": rows.programs, "memory": rows.memory,
        "collector": rows.collector_bench, "reading": rows.reading}


class Bench:
    """What the rows need: programs, recorders, sizes, the report."""

    def __init__(self, arguments, folder):
        self.source = os.path.dirname(os.path.abspath(__file__))
        self.build = arguments.build
        self.folder = folder
        self.size = {"full": FULL, "quick": QUICK, "smoke": SMOKE}[arguments.size]
        self.python = arguments.python
        self.lock = arguments.lock
        self.without_pairs = {}
        self.report = Report(machine())
        tidemark = os.path.join(self.build, "bin", "tidemark")
        self.programs = os.path.join(self.build, "tests", "bench", "programs")
        self.count_library = os.path.join(self.programs, "libcount_calls.so")
        for needed in (tidemark, self.count_library):
            if not os.path.exists(needed):
                raise BenchError(f"{needed} is not there: build it, or name the build with --build")
        self.bare = Bare()
        self.tidemark = Tidemark(tidemark, folder)
        self.tidemark_no_stacks = Tidemark(tidemark, folder, ["--stacks", "none"],
                                           "tidemark --stacks=none")
        # As heaptrack and memray take them: of allocations alone.
        self.tidemark_alloc_stacks = Tidemark(tidemark, folder, ["--free-stacks", "off"],
                                              "tidemark --free-stacks=off")
        self.heaptrack = self._peer(Heaptrack(folder))
        self.memray = self._peer(Memray(arguments.memray_python, folder))
        if self.memray is not None:
            self.python = arguments.memray_python  # one interpreter for all sides
        self.profiler = Profiler(self.program("pairs")[0], folder)
        self.report.data["machine"]["versions"] = [
            version_of(tidemark), *(peer.version() for peer in (self.heaptrack, self.memray)
                                    if peer is not None),
            platform_python(self.python)]

    def _peer(self, peer):
        why = peer.missing()
        if why is None:
            return peer
        self.report.left_out.append(f"{peer.name}: {why}")
        return None

    def program(self, name, *arguments):
        return [os.path.join(self.programs, "bench_" + name), *map(str, arguments)]

    def pair_recorders(self):
        recorders = [self.bare, self.tidemark, self.tidemark_alloc_stacks, self.tidemark_no_stacks]
        if self.heaptrack is not None:
            recorders += [self.heaptrack, Heaptrack(self.folder, raw=True)]
        return recorders

    def peers_of_programs(self):
        return [] if self.heaptrack is None else [self.heaptrack]

    def has_numpy(self):
        return subprocess.run([self.python, "-c", "import numpy"],
                              capture_output=True).returncode == 0

    @contextlib.contextmanager
    def quiet(self):
        """Alone among those who ask for the same lock."""
        if self.lock is None:
            yield
            return
        with open(self.lock, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def machine():
    with open("/proc/cpuinfo") as file:
        cpu = re.search(r"model name\s*:\s*(.+)", file.read())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": cpu[1] if cpu else platform.machine(), "cores": os.cpu_count(),
            "kernel": platform.release(), "memory_gib": round(memory / (1 << 30)),
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "load_before": f"{os.getloadavg()[0]:.1f}"}


def version_of(tidemark):
    out = subprocess.run([tidemark, "--version"], capture_output=True, text=True).stdout.strip()
    return out if out.startswith("tidemark") else f"tidemark {out}"


def platform_python(python):
    return subprocess.run([python, "--version"], capture_output=True, text=True).stdout.strip()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help="a build folder with target bench_host built")
    parser.add_argument("--size", choices=("full", "quick", "smoke"), default="full")
    parser.add_argument("--only", choices=ROWS, nargs="+", default=list(ROWS), help="these rows")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the Python programs")
    parser.add_argument("--memray-python", help="an interpreter with memray; then used for all sides")
    parser.add_argument("--lock", help="hold this file's lock around each timed run, where others "
                        "time their programs on the same machine")
    parser.add_argument("--output", help="write OUTPUT.md and OUTPUT.json")
    parser.add_argument("--profile", choices=("constant", "walk", "jump"),
                        help="only print where the instructions of a pair go")
    return parser.parse_args()


def write(output, report):
    for suffix, text in (("md", report.markdown()), ("json", report.to_json() + "\n")):
        with open(f"{output}.{suffix}", "w") as file:
            file.write(text)


def bench(arguments, folder):
    it = Bench(arguments, folder)
    if Profiler.missing() is not None and "instructions" in arguments.only:
        it.report.left_out.append(f"instructions: {Profiler.missing()}")
        arguments.only.remove("instructions")
    if arguments.profile:
        print(it.profiler.breakdown(it.tidemark, arguments.profile))
        return 0
    for name in arguments.only:
        print(f"… {name}", file=sys.stderr, flush=True)
        ROWS[name](it)
        it.report.data["machine"]["load_after"] = f"{os.getloadavg()[0]:.1f}"
        if arguments.output:  # after each row: an hour's figures outlive a failure at its end
            write(arguments.output, it.report)
    print(it.report.markdown())
    for failure in it.report.failures():
        print(f"bench: {failure}", file=sys.stderr)
    return 1 if it.report.failures() else 0


def main():
    arguments = parse()
    try:
        with tempfile.TemporaryDirectory(prefix="tidemark-bench-") as folder:
            return bench(arguments, folder)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
