#!/usr/bin/env python3
"""The acceptance run on a machine with an NVIDIA GPU: see README.md beside this file."""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

import checks as checking
import figures
import lines
import coexistence
import driver_memory
import iteration_window
import memory_alone
import pools
import power
import refused

HERE = pathlib.Path(__file__).resolve().parent
LIMIT_SECONDS = 150  # for one run of a program; the whole takes seven to nine minutes
SHORT_STEPS = 3
MANY_STEPS = 23
STEP_SIZE = "size of a step of gpt2"
LAUNCH_COST_PAIRS = 5


class Setup(Exception):
    """The acceptance run cannot even begin."""


class Acceptance:
    def __init__(self, options):
        self.options = options
        self.out = options.outdir.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-gpu-"))
        self.log = open(self.out / "log.txt", "w", encoding="utf-8")
        self.checks = checking.Checks(self.say)
        self.tidemark = None
        self.cuda_trainer = None
        self.machine = {}

    def say(self, text=""):
        print(text, flush=True)
        print(text, file=self.log, flush=True)

    # ------------------------------------------------------------------------------ preparations

    def unpack(self):
        package = self.work / "package"
        if not self.options.tarball.is_file():
            raise Setup(f"{self.options.tarball} is no file: give the tarball that "
                        "scripts/package printed")
        with tarfile.open(self.options.tarball) as archive:
            safe = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
            archive.extractall(package, **safe)
        found = [path for path in package.rglob("bin/tidemark") if os.access(path, os.X_OK)]
        if len(found) != 1:
            raise Setup(f"{self.options.tarball} holds {len(found)} programs bin/tidemark")
        self.tidemark = found[0]
        self.cuda_trainer = self.find_cuda_trainer(package)

    def find_cuda_trainer(self, package):
        if self.options.cuda_trainer:
            return self.options.cuda_trainer.resolve()
        found = [path for path in package.rglob("cuda_trainer") if path.is_file()]
        found += sorted(HERE.parents[1].glob("build/*/bin/cuda_trainer"))
        return found[0] if found else None

    def describe_machine(self):
        try:
            line = subprocess.run(
                ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
                check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()[0]
        except (OSError, subprocess.SubprocessError, IndexError) as error:
            raise Setup(f"nvidia-smi names no GPU ({error}): this needs a machine with one") from error
        name, driver = (part.strip() for part in line.rsplit(",", 1))
        version = subprocess.run([self.tidemark, "--version"], capture_output=True, text=True,
                                 timeout=60, check=False)
        self.machine = {
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "gpu": name,
            "driver": driver,
            "tidemark": version.stdout.strip() or None,
            "package": self.options.tarball.name,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
            "cpus": os.cpu_count(),
        }
        for package in ("torch", "torchvision", "transformers", "cupy-cuda13x", "jax"):
            self.machine[package] = package_version(package)
        for key, value in self.machine.items():
            self.say(f"{key}: {value}")

    # -------------------------------------------------------------------------------- running

    def run(self, label, command, environment=None, folder=None):
        """Runs to the end; returns exit status and stdout. A run that hangs is an error."""
        started = time.monotonic()
        self.say(f"running {label}")
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True,
                                   cwd=folder or self.work,
                                   env={**os.environ, **(environment or {})},
                                   start_new_session=True)
        try:
            stdout, stderr = process.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # what it started, too
            process.communicate()
            raise
        status = process.returncode
        self.log.write(f"$ {' '.join(str(part) for part in command)}\n{stdout}{stderr}")
        self.say(f"        {label}: exit {status} after {time.monotonic() - started:.1f} s")
        if status != 0:
            self.say(stderr[-2000:])
        return status, stdout

    def record(self, label, trace, command, options=(), environment=None, folder=None):
        return self.run(label, [self.tidemark, "record", "-o", trace, *options, "--", *command],
                        environment, folder)

    @contextlib.contextmanager
    def part(self, name):
        """Whatever goes wrong inside is a FAIL of this part; the others still run."""
        self.say(f"\n== {name}")
        try:
            yield
        except Exception as error:  # pylint: disable=broad-except
            self.checks.broke(name, error)

    def texts(self, name, trace):
        """What the commands say about a trace, into OUTDIR, and that they can say it."""
        with open(self.out / f"{name}.txt", "w", encoding="utf-8") as file:
            for command in ("info", "report"):
                status, stdout = self.run(f"tidemark {command}", [self.tidemark, command, trace])
                file.write(f"$ tidemark {command} {trace.name}\n{stdout}\n")
                self.checks.holds(name, f"tidemark {command} answers", "exit 0 and text",
                                  f"exit {status}, {len(stdout)} characters",
                                  status == 0 and stdout.strip())
        self.checks.figure(name, "size of the trace, bytes", trace.stat().st_size)

    # ---------------------------------------------------------------------------------- parts

    def pytorch(self, name, arguments):
        command = [sys.executable, self.options.samples / "pytorch" / f"{name}.py",
                   "--deterministic", *arguments]
        json_of = {kind: self.work / f"{name}.{kind}.json"
                   for kind in ("bare", "profiled", "recorded", "bare_again")}
        trace_path = self.work / f"{name}.db"
        bare_exit, _ = self.run(f"{name} bare", [*command, "--json", json_of["bare"]])
        self.run(f"{name} under torch.profiler",
                 [*command, "--profile", "--json", json_of["profiled"]])
        exit_status, _ = self.record(f"{name} under tidemark", trace_path,
                                     [*command, "--json", json_of["recorded"]])
        self.run(f"{name} bare again", [*command, "--json", json_of["bare_again"]])
        runs = {kind: checking.load(path) for kind, path in json_of.items()}
        self.checks.equal(name, "exit status bare and recorded", (0, 0), (bare_exit, exit_status))
        with contextlib.closing(figures.open_trace(trace_path)) as trace:
            checking.check_pytorch(self.checks, name, runs["bare"], runs["profiled"],
                                   runs["recorded"], trace)
        checking.check_step_time(self.checks, name, [runs["bare"], runs["bare_again"]],
                                 runs["recorded"])
        self.touched(name, trace_path)
        self.lines(name, trace_path)
        self.texts(name, trace_path)
        return runs

    def trainer(self):
        name = "cuda_trainer"
        if self.cuda_trainer is None:
            raise Setup("no cuda_trainer in the package or under build/: give --cuda-trainer PATH")
        bare_count, recorded_count = (self.work / f"{name}.{kind}.json"
                                      for kind in ("bare", "recorded"))
        trace_path = self.work / f"{name}.db"
        bare_exit, bare_text = self.run(f"{name} bare", [self.cuda_trainer, "--count", bare_count])
        exit_status, text = self.record(f"{name} under tidemark", trace_path,
                                        [self.cuda_trainer, "--count", recorded_count])
        self.checks.equal(name, "exit status bare and recorded", (0, 0), (bare_exit, exit_status))
        self.checks.equal(name, "what it prints", bare_text, text)
        with contextlib.closing(figures.open_trace(trace_path)) as trace:
            checking.check_cuda_trainer(self.checks, name, checking.load(bare_count),
                                        checking.load(recorded_count), trace)
        self.texts(name, trace_path)

    def ask(self, trace_path, query):
        """Rows of numbers and text, for tables that only tidemark shows."""
        status, stdout = self.run("tidemark sql", [self.tidemark, "sql", trace_path, query,
                                                   "--format", "csv"])
        if status != 0:
            raise figures.TraceError(f"tidemark sql cannot answer '{query}'")
        return figures.from_csv(stdout)

    def touched(self, name, trace_path):
        """How many of the bytes of PyTorch's blocks were seen used."""
        rows = self.ask(trace_path, figures.TOUCHED_BYTES)
        if len(rows) != 1:
            raise figures.TraceError(f"tidemark sql gave {len(rows)} rows where one was asked for")
        total, touched, workspaces = (value or 0 for value in rows[0])
        checking.check_touched(self.checks, name, total - workspaces, touched)
        self.checks.figure(name, "bytes of cuBLAS workspaces that no kernel was handed", workspaces)
        self.checks.figure(name, "share of all bytes that were seen touched",
                           round(touched / total, 6) if total else None)

    def lines(self, name, trace_path):
        """Python lines of the pool's blocks, forward's and backward's."""
        _, report = self.run("tidemark report --format json",
                             [self.tidemark, "report", trace_path, "--format", "json"])
        lines.check_lines(self.checks, name, self.ask(trace_path, lines.BLOCKS_WITH_LINES),
                          lines.evidence_in(json.loads(report)))

    def accesses(self):
        """Access tracking against a program that knows what it hands to its kernels."""
        name = "accesses of cuda_trainer"
        if self.cuda_trainer is None:
            raise Setup("no cuda_trainer in the package or under build/: give --cuda-trainer PATH")
        truth_path, trace_path = self.work / "accesses.json", self.work / "accesses.db"
        exit_status, _ = self.record(name, trace_path,
                                     [self.cuda_trainer, "--accesses", truth_path])
        self.checks.equal(name, "exit status", 0, exit_status)
        truth = checking.load(truth_path)
        apis = ", ".join(f"'{api}'" for api in truth["apis"])
        own, seen = checking.check_recall(
            self.checks, name, truth,
            self.ask(trace_path, "SELECT id, name, correlation_id, graph_id FROM kernel"),
            self.ask(trace_path, "SELECT kernel_id, allocation_id FROM access"),
            [row[0] for row in self.ask(
                trace_path, "SELECT id FROM device_allocation WHERE layer = 'driver' AND api IN "
                            f"({apis}) ORDER BY id")])
        checking.check_graph_recall(self.checks, name, own, seen)
        off_path = self.work / "no_accesses.db"
        exit_status, _ = self.record(f"{name}, --access=off", off_path, [self.cuda_trainer],
                                     ["--access=off"])
        self.checks.equal(name, "exit status with --access=off", 0, exit_status)
        self.checks.equal(name, "accesses with --access=off", [[0]],
                          self.ask(off_path, "SELECT count(*) FROM access"))
        self.launch_cost()

    def launch_cost(self):
        """What a launch costs more with access tracking; printed, never demanded."""
        name = "accesses of cuda_trainer"
        small = [self.cuda_trainer, "--steps", 3000, "--batch", 8, "--width", 8]
        seconds = {"on": [], "off": []}
        launches = 0
        for turn in range(LAUNCH_COST_PAIRS):
            for access in ("on", "off") if turn % 2 == 0 else ("off", "on"):
                trace_path = self.work / "launches.db"
                exit_status, _ = self.record(f"launches, --access={access}", trace_path, small,
                                             [f"--access={access}", "--host=off",
                                              "--stacks=none"])
                if exit_status not in (0, 1):  # so small a model need not learn
                    raise Setup(f"cuda_trainer ended with {exit_status}")
                with contextlib.closing(figures.open_trace(trace_path)) as trace:
                    seconds[access].append(figures.program_seconds(trace))
                    launches = figures.activity_figures(trace)["kernels"]
        on, off = (statistics.median(seconds[key]) for key in ("on", "off"))
        self.checks.figure(name, "microseconds a launch, --access=on minus off",
                           round(1e6 * (on - off) / launches, 3) if launches else None)
        self.checks.figure(name, "seconds of the program, on and off", seconds)

    def sample_trace(self):
        """The trace that goes to samples/traces: small, from the script as it stands."""
        name = f"gpt2-{short_name(self.machine['gpu'])}"
        trace_path = self.out / f"{name}.db"
        trace_path.unlink(missing_ok=True)
        # As a user would start it: the trace keeps the command, and no folder of this machine.
        exit_status, _ = self.record(name, trace_path,
                                     ["python3", "gpt2.py", "--steps", SHORT_STEPS],
                                     ["--host=off"], folder=self.options.samples / "pytorch")
        self.checks.equal(name, "exit status", 0, exit_status)
        size = trace_path.stat().st_size
        self.checks.holds(name, "small enough for the repository", "<= 3145728 bytes", size,
                          size <= 3 << 20)
        self.texts(name, trace_path)

    def step_size(self):
        """What a step adds to the trace, beside what it adds to torch.profiler's JSON."""
        program = ["python3", "gpt2.py", "--json"]
        folder = self.options.samples / "pytorch"
        sizes = {}
        for steps in (SHORT_STEPS, MANY_STEPS):
            trace_path = self.work / f"steps{steps}.db"
            self.record(f"{STEP_SIZE}, {steps} steps", trace_path,
                        [*program, self.work / "steps.json", "--steps", steps], ["--host=off"], folder=folder)
            sizes[steps] = trace_path.stat().st_size
        path = self.work / "profiled.json"
        self.run(f"{STEP_SIZE}, profiler", [*program, path, "--steps", SHORT_STEPS, "--profile"], folder=folder)
        profile = checking.load(path)["profile"]["json_bytes"] / SHORT_STEPS
        lines.check_size(self.checks, STEP_SIZE, sizes, profile)

    def step_time(self):
        """What a step costs, by turns; printed, never demanded."""
        done = subprocess.run([sys.executable, HERE / "step_time.py", self.tidemark, self.out, "--rounds",
                               str(self.options.step_time)], capture_output=True, text=True, check=False)
        self.say(done.stdout)
        self.checks.equal("step time", "exit status", 0, done.returncode)

    def self_profiling(self, runs):
        """A program that profiles itself: two want CUPTI, and the program must not suffer."""
        name = "gpt2 profiling itself"
        json_path, trace_path = self.work / "self.json", self.work / "self.db"
        command = [sys.executable, self.options.samples / "pytorch" / "gpt2.py", "--deterministic",
                   "--profile", "--steps", SHORT_STEPS, "--json", json_path]
        exit_status, _ = self.record(name, trace_path, command, ["--host=off"])
        self.checks.equal(name, "exit status", 0, exit_status)
        result = checking.load(json_path)
        self.checks.equal(name, "training losses unchanged", runs["bare"]["losses"][:SHORT_STEPS],
                          result["losses"])
        with contextlib.closing(figures.open_trace(trace_path)) as trace:
            kernels = figures.activity_figures(trace)["kernels"]
            losses = figures.serious_losses(trace)
            pool = figures.pool_figures(trace)["allocations"]
        self.checks.equal(name, "pool allocations = allocation.all.allocated",
                          result["memory_stats"]["allocation.all.allocated"], pool)
        self.checks.holds(name, "the trace has kernels or says why not", "kernels or a loss",
                          f"{kernels} kernels, losses {losses}", kernels > 0 or losses)
        self.checks.figure(name, "kernels that its own profiler saw", result["profile"]["kernels"])

    def without_gpu(self):
        name = "cuda_trainer without a visible GPU"
        if self.cuda_trainer is None:
            raise Setup("no cuda_trainer in the package or under build/: give --cuda-trainer PATH")
        hidden = {"CUDA_VISIBLE_DEVICES": ""}
        bare_exit, _ = self.run(f"{name}, bare", [self.cuda_trainer], hidden)
        trace_path = self.work / "without_gpu.db"
        exit_status, _ = self.record(name, trace_path, [self.cuda_trainer], environment=hidden)
        self.checks.equal(name, "exit status", bare_exit, exit_status)
        with contextlib.closing(figures.open_trace(trace_path)) as trace:
            self.checks.equal(name, "kernels", 0, figures.activity_figures(trace)["kernels"])

    # ----------------------------------------------------------------------------------- all

    def all(self):
        self.unpack()
        self.describe_machine()
        with self.part("cuda_trainer"):
            self.trainer()
        with self.part("accesses of cuda_trainer"):
            self.accesses()
        runs = None
        with self.part("gpt2"):
            runs = self.pytorch("gpt2", ["--steps", 8, "--batch", 4, "--sequence", 512])
        with self.part("resnet50"):
            self.pytorch("resnet50", ["--steps", 8, "--batch", 8])
        with self.part("trace for samples/traces"):
            self.sample_trace()
        with self.part("gpt2 profiling itself"):
            if runs is None:
                raise Setup("the bare gpt2 run, which this is held against, did not succeed")
            self.self_profiling(runs)
        with self.part("cuda_trainer without a visible GPU"):
            self.without_gpu()
        memory_alone.parts(self, runs["bare"] if runs else None)
        iteration_window.parts(self, runs["profiled"] if runs else None)
        pools.parts(self)
        refused.parts(self)
        driver_memory.parts(self)
        coexistence.parts(self)
        power.parts(self)
        with self.part(STEP_SIZE):
            self.step_size()
        if self.options.step_time:
            with self.part("step time"):
                self.step_time()

    def finish(self):
        """Writes results.json; returns the exit status."""
        with open(self.out / "results.json", "w", encoding="utf-8") as file:
            json.dump({**self.machine, "failed": len(self.checks.failed),
                       "checks": self.checks.results, "figures": self.checks.figures}, file,
                      indent=1)
            file.write("\n")
        self.say("\n" + self.checks.table())
        for figure in self.checks.figures:
            self.say(f"{figure['run']}: {figure['what']}: {figure['value']}")
        self.say(f"figures: {self.out / 'results.json'}")
        self.log.close()
        if self.options.keep:
            print(f"traces kept in {self.work}")
        else:
            shutil.rmtree(self.work, ignore_errors=True)
        return 1 if self.checks.failed or not self.checks.results else 0


def package_version(name):
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def short_name(gpu):
    """'NVIDIA H100 80GB HBM3' -> 'h100'; a name without such a model number, in one piece."""
    model = re.search(r"\b[A-Z]{1,3}\d{1,4}[a-z]?\b", gpu)
    text = model.group() if model else gpu.replace("NVIDIA", "").replace("GeForce", "")
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def main():
    parser = argparse.ArgumentParser(prog="scripts/test-gpu", description=__doc__)
    parser.add_argument("tarball", type=pathlib.Path, help="the package, from scripts/package")
    parser.add_argument("outdir", type=pathlib.Path, help="for results.json, texts and the sample")
    parser.add_argument("--samples", type=pathlib.Path, default=HERE.parents[1] / "samples")
    parser.add_argument("--cuda-trainer", type=pathlib.Path,
                        help="default: from the package, else from build/")
    parser.add_argument("--step-time", type=int, default=0, metavar="ROUNDS",
                        help="also time steps bare and recorded, two to three minutes a round")
    parser.add_argument("--keep", action="store_true", help="keep the recorded traces")
    options = parser.parse_args()
    options.samples = options.samples.resolve()
    acceptance = Acceptance(options)
    try:
        acceptance.all()
    except Setup as error:
        acceptance.checks.broke("setup", error)
    return acceptance.finish()


if __name__ == "__main__":
    sys.exit(main())
