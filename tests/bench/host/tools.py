"""Runs one program bare or under a recorder, measures it from outside, and counts what was recorded.

A figure of a recorder that loses events is worth nothing, so every recording answers how many
allocations and frees of the heap it holds.
"""

import dataclasses
import json
import os
import shutil
import signal
import struct
import subprocess
import threading
import time

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


TIMEOUT_S = 200
# heaptrack's interpreter can take all there is (programs/pairs.cpp tells when).
PEER_ADDRESS_SPACE = 6 << 30


class BenchError(Exception):
    """What went wrong, in one line for the user."""


class PeerFailed(BenchError):
    """A peer could not record this program: a finding, not an end."""


@dataclasses.dataclass
class Outcome:
    stdout: str
    wall_s: float
    own_cpu_s: float  # of the process that was started: for a recorder, the recorder itself
    children_cpu_s: float  # of those it started and waited for: the recorded program

    def json(self):
        return json.loads(self.stdout.strip().splitlines()[-1])


def run(command, env=None, cwd=None):
    """Runs to the end; processor times by /proc, which tells own from children's, at exit."""
    start = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, **(env or {})}, cwd=cwd, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
    late = threading.Timer(TIMEOUT_S, os.killpg, (process.pid, signal.SIGKILL))
    late.start()
    stdout, stderr = _read(process)
    late.cancel()
    wall_s = time.monotonic() - start
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    process.wait()
    if process.returncode != 0:
        names = " ".join(os.path.basename(part) for part in map(str, command))
        raise BenchError(f"{names[:200]}: exit status {process.returncode} after "
                         f"{wall_s:.0f} s\n{stderr.strip()}")
    own, children = (int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14]))
    return Outcome(stdout, wall_s, own * TICK_S, children * TICK_S)


def _read(process):
    texts = {}

    def drain(name, stream):
        texts[name] = stream.read()
    threads = [threading.Thread(target=drain, args=item)
               for item in (("out", process.stdout), ("err", process.stderr))]
    for thread in threads:
        thread.start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    for thread in threads:
        thread.join()
    return texts["out"], texts["err"]


@dataclasses.dataclass
class Counts:
    allocations: int
    frees: int

    def __sub__(self, other):
        return Counts(self.allocations - other.allocations, self.frees - other.frees)

    @property
    def events(self):
        return self.allocations + self.frees


class Bare:
    name = "bare"

    def run(self, command, env=None, cwd=None):
        return run(command, env, cwd)


class Tidemark:
    def __init__(self, program, folder, options=(), name="tidemark"):
        self.name = name
        self.program = program
        self.trace = os.path.join(folder, "bench.db")
        self.options = list(options)

    def run(self, command, env=None, cwd=None):
        if os.path.exists(self.trace):
            os.remove(self.trace)
        return run([self.program, "record", "--device", "off", *self.options, "-o", self.trace,
                    "--", *command], env, cwd)

    def _ask(self, *arguments):
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise BenchError(f"tidemark {' '.join(arguments)}: exit status {done.returncode}\n"
                             f"{done.stderr.strip()}")
        return json.loads(done.stdout)

    def sql(self, query):
        return self._ask("sql", self.trace, query, "--format", "json")

    def all_counts(self):
        """Of heap and mappings, read back from the trace; a loss of data is an error here."""
        info = self._ask("info", self.trace, "--json")
        lost = {loss["name"]: loss["count"] for loss in info["losses"]
                if loss["severity"] != "info" and loss["count"]}
        if lost:
            raise BenchError(f"tidemark lost events: {lost}")
        return Counts(info["events"].get("allocation", 0), info["events"].get("free", 0))

    def counts(self):
        """Of the heap."""
        mapped = self.sql("select count(*) as allocations, count(free_ns) as frees "
                          "from host_allocation where layer = 'os'")[0]
        return self.all_counts() - Counts(**mapped)

    def trace_bytes(self):
        return os.path.getsize(self.trace)


class Heaptrack:
    def __init__(self, folder, raw=False):
        self.name = "heaptrack --raw" if raw else "heaptrack"
        self.raw = raw
        self.out = os.path.join(folder, "heaptrack")
        self.trace = self.out + (".raw.zst" if raw else ".zst")

    @staticmethod
    def missing():
        for program in ("heaptrack", "zstd"):
            if shutil.which(program) is None:
                return f"{program} is not installed"
        return None

    @staticmethod
    def version():
        return subprocess.run(["heaptrack", "--version"], capture_output=True,
                              text=True).stdout.strip()

    def run(self, command, env=None, cwd=None):
        if os.path.exists(self.trace):
            os.remove(self.trace)
        # Its script writes about itself to standard output before and after the program does.
        try:
            outcome = run(["prlimit", f"--as={PEER_ADDRESS_SPACE}", "heaptrack",
                           *(["--raw"] if self.raw else []), "-o", self.out, *command], env, cwd)
        except BenchError as error:
            raise PeerFailed(f"{self.name}: {error}") from error
        if subprocess.run(["zstd", "-tq", self.trace], capture_output=True).returncode != 0:
            raise PeerFailed(f"{self.name} left a broken file")
        lines = [line for line in outcome.stdout.splitlines() if line.startswith("{")]
        return dataclasses.replace(outcome, stdout="\n".join(lines))

    def counts(self):
        count = {}
        for sign in "+-":
            out = subprocess.run(f"zstd -dc '{self.trace}' | grep -c '^{sign}'", shell=True,
                                 capture_output=True, text=True).stdout
            count[sign] = int(out)
        return Counts(count["+"], count["-"])

    def trace_bytes(self):
        return os.path.getsize(self.trace)


class Memray:
    """Only for programs of the interpreter that it is installed in."""
    name = "memray"

    def __init__(self, python, folder):
        self.python = python
        self.trace = os.path.join(folder, "memray.bin")

    def missing(self):
        if self.python is None:
            return "no interpreter with memray was given"
        found = subprocess.run([self.python, "-c", "import memray"], capture_output=True)
        return None if found.returncode == 0 else f"memray is not installed for {self.python}"

    def version(self):
        code = "import memray; print('memray', memray.__version__)"
        return subprocess.run([self.python, "-c", code], capture_output=True,
                              text=True).stdout.strip()

    def run(self, command, env=None, cwd=None):
        if command[0] != self.python:
            raise BenchError(f"memray runs programs of {self.python}, not {command[0]}")
        try:
            return run([self.python, "-m", "memray", "run", "--native",
                        "--trace-python-allocators", "-q", "-f", "-o", self.trace, *command[1:]],
                       env, cwd)
        except BenchError as error:
            raise PeerFailed(f"memray: {error}") from error

    def trace_bytes(self):
        return os.path.getsize(self.trace)


class CallCounter:
    """Runs a program under a recorder together with count_calls.cpp, which counts on its own."""

    def __init__(self, library, folder):
        self.library = library
        self.path = os.path.join(folder, "count")

    def run(self, recorder, beside, command, env=None, cwd=None):
        with open(self.path, "wb") as file:
            file.write(bytes(16))
        recorder.run(command, {**(env or {}), "LD_PRELOAD": self.library, "COUNT_CALLS": self.path,
                               "COUNT_CALLS_BESIDE": beside}, cwd)
        with open(self.path, "rb") as file:
            return Counts(*struct.unpack("=QQ", file.read(16)))
