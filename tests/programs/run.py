#!/usr/bin/env python3
"""Runs real programs bare and recorded: same output, exit status and files, a consistent trace.

    run.py [--size small|full] [--keep FOLDER] [CASE…]     run.py --list      run.py --packages

Ends with a table and exit status 1 if anything differs. Environment: TIDEMARK, TRACE_CONSISTENCY
(paths of the programs). Times are printed, not judged; CPU time of a recorded run is the program's
and the collector's together.
"""

import argparse
import hashlib
import importlib
import json
import os
import pathlib
import pwd
import resource
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import program_case  # noqa: E402

# Counters of severity info that say nothing is wrong: not judged, and printed with the rest.
SUSPICIOUS_INFO = {"frees_of_unknown_memory"}


def all_cases():
    found = {}
    for path in sorted((HERE / "cases").glob("*.py")):
        module = importlib.import_module(f"cases.{path.stem}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, program_case.Case) and value.name:
                found[value.name] = value
    return found


class Run:
    """One run of a case's command: what it printed, how it ended, what it left."""

    def __init__(self, case, work, tidemark_command=()):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        case.random.seed(case.name)
        case.prepare(work)
        inputs = snapshot(work)
        options = {}
        if case.runs_as:
            user = pwd.getpwnam(case.runs_as)
            give(work, user)
            options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        home = work.parent / "home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        if case.runs_as:
            give(home, user)
        # Nothing of the caller's environment, so that the same is seen everywhere.
        environment = {"PATH": program_case.PATH, "HOME": str(home), "LANG": "C.UTF-8",
                       "TZ": "UTC", **case.environment(work)}
        begin = time.monotonic(), cpu_seconds()
        done = subprocess.run([*tidemark_command, *map(str, case.command(work))], cwd=work,
                              env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=case.timeout_s, **options)
        self.seconds = time.monotonic() - begin[0]
        self.cpu = cpu_seconds() - begin[1]
        self.status = done.returncode
        self.out = done.stdout
        self.err = done.stderr
        left = snapshot(work, case)
        self.files = {path: data for path, data in left.items() if inputs.get(path) != data}
        self.files.update({path: "deleted" for path in inputs
                           if path not in left and not case.left_out(path)})


def cpu_seconds():
    """Of everything that has ended: the recorded program and, when it is recorded, the collector."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def give(folder, user):
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def snapshot(folder, case=None):
    """Path → digest of content (or a link's target) of all that lies in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if case and case.left_out(name):
            continue
        if path.is_symlink():
            found[name] = "link to " + os.readlink(path)
        elif path.is_file():
            data = path.read_bytes()
            found[name] = hashlib.sha256(case.content(name, data) if case else data).hexdigest()
    return found


def own_lines(text, trace_path):
    """A recorded program's standard error: its own, Tidemark's notices before it, the summary."""
    text, marker, summary = text.partition(f"tidemark: {trace_path} (".encode())
    own, notices = [], []
    for line in text.splitlines(keepends=True):
        (notices if line.startswith(b"tidemark: ") else own).append(line)
    return b"".join(own), b"".join(notices).decode().splitlines(), (marker + summary).decode()


class Trace:
    def __init__(self, tidemark, path):
        self.tidemark = tidemark
        self.path = path

    def sql(self, query):
        done = subprocess.run([self.tidemark, "sql", self.path, query, "--format", "json"],
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def value(self, query):
        return next(iter(self.sql(query)[0].values()))


def differences(case, bare, recorded, trace_path):
    found = []
    if bare.status != case.exit_status:
        found.append(f"the bare program ended with {bare.status}, not {case.exit_status}: "
                     + bare.err.decode(errors="replace")[-500:])
    if recorded.status != bare.status:
        found.append(f"exit status {recorded.status} instead of {bare.status}: "
                     + recorded.err.decode(errors="replace")[-500:])
    own, notices, summary = own_lines(recorded.err, trace_path)
    for what, one, other in (
            ("stdout", case.stdout(bare.out), case.stdout(recorded.out)),
            ("stderr", case.stderr(bare.err), case.stderr(own))):
        if one != other:
            found.append(f"{what} differs: {first_difference(one, other)}")
    for path in sorted(set(bare.files) | set(recorded.files)):
        if bare.files.get(path) != recorded.files.get(path):
            found.append(f"file {path}: "
                         + ("only bare" if path not in recorded.files else
                            "only recorded" if path not in bare.files else "other content"))
    return found, notices, summary


def first_difference(one, other):
    for number, (a, b) in enumerate(zip(one.splitlines(), other.splitlines()), 1):
        if a != b:
            return f"line {number}: bare {a[:200]!r}, recorded {b[:200]!r}"
    return f"bare has {len(one.splitlines())} lines, recorded {len(other.splitlines())}: " \
           f"{one[len(other):][:200]!r} {other[len(one):][:200]!r}"


def check_trace(case, trace, checker):
    done = subprocess.run([checker, trace.path], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        return [f"trace_consistency: {done.stderr.strip()}"], None
    facts = json.loads(done.stdout)
    found = list(facts["shown_problems"])
    if facts["problems"] > len(found):
        found.append(f"… {facts['problems']} problems in all")
    for name, loss in facts["losses"].items():
        judged = loss["severity"] != "info" or name in SUSPICIOUS_INFO
        if judged and name not in case.explained:
            found.append(f"loss: {loss['count']} {name} ({loss['severity']})")
    for name in case.explained:
        if name not in facts["losses"] and name not in case.may_be_absent:
            found.append(f"expected the trace to name {name}: {case.explained[name]}")
    if facts["allocations"] < case.least_allocations:
        found.append(f"only {facts['allocations']} allocations, not {case.least_allocations}")
    if facts["processes"] < case.least_processes:
        found.append(f"only {facts['processes']} processes, not {case.least_processes}")
    return found + case.check_trace(trace), facts


def run_case(case, options, folder):
    work = folder / case.name / "work"
    trace_path = folder / case.name / "trace.db"
    if case.runs_as:
        for path in (folder, folder / case.name):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)
    bare = Run(case, work)
    trace_path.unlink(missing_ok=True)
    recorded = Run(case, work, [options.tidemark, "record", "-o", str(trace_path),
                                *options.record_options, "--"])
    problems, notices, summary = differences(case, bare, recorded, trace_path)
    row = {"bare": bare, "recorded": recorded, "files": len(bare.files),
           "facts": None, "trace_bytes": 0, "notices": notices}
    if trace_path.exists():
        trace = Trace(options.tidemark, str(trace_path))
        of_trace, row["facts"] = check_trace(case, trace, options.checker)
        problems += of_trace
        row["trace_bytes"] = trace_path.stat().st_size
    else:
        problems.append("there is no trace: " + summary)
    if problems and bare.files != (again := Run(case, work)).files:
        changed = sorted(path for path in set(bare.files) | set(again.files)
                         if bare.files.get(path) != again.files.get(path))
        problems.append(f"(two bare runs differ as well: {', '.join(changed[:10])})")
    row["problems"] = problems
    return row


def print_row(name, row):
    facts = row["facts"] or {"allocations": 0, "frees": 0, "processes": 0, "threads": 0,
                             "losses": {}}
    bare, recorded = row["bare"], row["recorded"]
    print(f"{name:16} {'differs' if row['problems'] else 'same':8}"
          f"{facts['allocations'] + facts['frees']:>12,} {facts['processes']:>5}"
          f"{facts['threads']:>6} {row['files']:>6} {bare.seconds:>7.2f} {recorded.seconds:>8.2f}"
          f" {recorded.seconds / bare.seconds:>5.1f} {bare.cpu:>7.2f} {recorded.cpu:>8.2f}"
          f" {recorded.cpu / bare.cpu:>5.1f} {row['trace_bytes'] / 2**20:>9.1f}  "
          + ", ".join(f"{loss['count']} {key}" for key, loss in facts["losses"].items()))


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--size", choices=("small", "full"), default="full")
    parser.add_argument("--keep", type=pathlib.Path, help="work here, and leave all as it is")
    parser.add_argument("--record-options", default="", help="passed to tidemark record")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--packages", action="store_true", help="what the cases need from Debian")
    options = parser.parse_args()
    options.record_options = options.record_options.split()
    options.tidemark = os.environ.get("TIDEMARK")
    options.checker = os.environ.get("TRACE_CONSISTENCY")
    return parser, options


def main():
    parser, options = parse()
    cases = all_cases()
    unknown = [name for name in options.cases if name not in cases]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(cases)}")
    chosen = [cases[name] for name in options.cases or cases]
    if options.list or options.packages:
        lines = [case.name for case in chosen] if options.list else \
            sorted({package for case in chosen for package in case.packages})
        print("\n".join(lines))
        return 0
    if not options.tidemark or not options.checker:
        parser.error("TIDEMARK and TRACE_CONSISTENCY must name the programs under test")
    failed = []
    rows = {}
    with tempfile.TemporaryDirectory(prefix="tidemark-programs-") as temporary:
        folder = options.keep or pathlib.Path(temporary)
        for kind in chosen:
            case = kind(options.size)
            lacking = case.missing()
            if lacking:
                failed.append(f"{case.name}: {lacking}; scripts/test-programs installs it")
                continue
            rows[case.name] = row = run_case(case, options, folder)
            print_row(case.name, row)
            for line in row["notices"]:
                print(f"    said: {line}")
            for problem in row["problems"]:
                failed.append(f"{case.name}: {problem}")
                print(f"    {problem}")
            sys.stdout.flush()
    print(f"\n{'program':16} {'output':8}{'events':>12} {'procs':>5}{'thrds':>6} {'files':>6}"
          f" {'bare s':>7} {'recorded':>8} {'ratio':>5} {'cpu s':>7} {'recorded':>8} {'ratio':>5}"
          f" {'trace MiB':>9}  counters")
    for name, row in rows.items():
        print_row(name, row)
    print(f"\n{len(rows)} programs, {len(failed)} problems")
    for line in failed:
        print(f"  {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
