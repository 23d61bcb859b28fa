"""The rows of the table. Each takes a Bench, runs its programs, and adds findings to the report."""

import os
import re
import subprocess

from callgrind import NotRecorded
from figures import Series, interleave
from tools import BenchError, CallCounter, Counts, PeerFailed, run

PYTHON_ENV = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def check_pairs(bench, recorder, shape, threads, made):
    """The trace must hold what the program made beyond what it holds when it makes none."""
    key = (recorder.name, threads)
    got = recorder.counts()
    if key not in bench.without_pairs:
        recorder.run(bench.program("pairs", shape, 0, threads))
        bench.without_pairs[key] = recorder.counts()
    wrong = got - bench.without_pairs[key] - Counts(made, made)
    if recorder.name.startswith("heaptrack") and abs(wrong.allocations) > made / 20:
        raise PeerFailed(f"{recorder.name}: {wrong.allocations:+d} of {made} allocations")
    bench.report.checked(f"pairs {shape}, {threads} thread(s)", recorder.name, Counts(made, made),
                         wrong)


def _time_pairs(bench, shape, threads, pairs):
    def side(recorder):
        def measure():
            with bench.quiet():
                outcome = recorder.run(bench.program("pairs", shape, pairs, threads))
            answer = outcome.json()
            if recorder.name != "bare":
                check_pairs(bench, recorder, shape, threads, answer["pairs"])
            answer["recorder_cpu_s"] = outcome.own_cpu_s
            answer["trace_bytes"] = recorder.trace_bytes() if recorder.name != "bare" else 0
            return answer
        return measure
    sides = {recorder.name: side(recorder) for recorder in bench.pair_recorders()}
    return _rounds(bench, f"pairs {shape}", bench.size.rounds, sides)


def one_thread(bench):
    """Added time a pair; also what the same runs say of trace size and collector."""
    for shape in ("constant", "walk", "jump"):
        results = _time_pairs(bench, shape, 1, bench.size.pairs)
        wall = {name: Series(r["wall_ns"] / r["pairs"] for r in rows)
                for name, rows in results.items()}
        cpu = {name: Series(1e9 * r["cpu_s"] / r["pairs"] for r in rows)
               for name, rows in results.items()}
        bench.report.data["pairs"][shape] = {
            name: {"wall_ns_per_pair": wall[name].to_json(), "cpu_ns_per_pair": cpu[name].to_json(),
                   "added_ns": wall[name].added_to(wall["bare"]).to_json(),
                   "added_cpu_ns": cpu[name].added_to(cpu["bare"]).to_json()}
            for name in results}
        ours = results["tidemark"]
        events = 2 * ours[0]["pairs"]
        sizes = {name: rows[0]["trace_bytes"] / events for name, rows in results.items()
                 if name in ("tidemark", "heaptrack")}
        bench.report.data["bytes_per_event"][f"pairs {shape}"] = {"events": events, **sizes}
        bench.report.data["collector"][f"pairs {shape}"] = {
            "events": events, "events_per_cpu_s": Series(
                events / max(row["recorder_cpu_s"], 1e-9) for row in ours).to_json()}


def two_threads(bench):
    for shape in ("constant", "walk"):
        results = _time_pairs(bench, shape, 2, bench.size.pairs // 2)
        bench.report.data["two_threads"][shape] = {
            name: Series(1e3 * r["pairs"] / r["wall_ns"] for r in rows).to_json()
            for name, rows in results.items()}


def instructions(bench):
    """Exact and the same under any load: instructions of the recorded program a pair, by callgrind."""
    try:
        for shape in ("constant", "walk", "jump"):
            bench.report.data["instructions"][shape] = {
                "bare": bench.profiler.per_pair(None, shape),
                "tidemark": bench.profiler.per_pair(bench.tidemark, shape),
                "tidemark --stacks=none": bench.profiler.per_pair(bench.tidemark_no_stacks, shape)}
    except NotRecorded as error:
        bench.report.left_out.append(str(error))


def _verify_calls(bench, what, command, env=None, cwd=None):
    """Counter and recorder in one process: every call that reached the allocator is in the trace."""
    counter = CallCounter(bench.count_library, bench.folder)
    called = counter.run(bench.tidemark, "libtidemark_preload", command, env, cwd)
    bench.report.checked(what, "tidemark", called, bench.tidemark.counts() - called)
    return called


def _heaptrack_is_plausible(bench, what, called):
    """Its interpreter may die and its wrapper end in order: then there are events missing."""
    wrong = bench.heaptrack.counts() - called
    if abs(wrong.allocations) > called.allocations / 20:
        raise PeerFailed(f"heaptrack: {wrong.allocations:+d} of {called.allocations} allocations")
    bench.report.checked(what, "heaptrack", called, wrong)


def _rounds(bench, what, rounds, sides):
    """Interleaves; a peer that cannot record the program is left out, and that is said."""
    failed = set()

    def guarded(name, side):
        def measure():
            if name in failed:
                return None
            try:
                return side()
            except PeerFailed as error:
                failed.add(name)
                bench.report.left_out.append(f"{what}: {error}")
                return None
        return measure
    results = interleave(rounds, {name: guarded(name, side) for name, side in sides.items()})
    return {name: rows for name, rows in results.items() if name not in failed}


def _time_program(bench, what, command, recorders, env=None, cwd=None, inner=False):
    """Wall times of a real program; `inner`: those that it measured itself."""
    called = _verify_calls(bench, what, command, env, cwd)
    extra = {}

    def side(recorder):
        def measure():
            with bench.quiet():
                outcome = recorder.run(command, env, cwd)
            if recorder.name == "tidemark":
                wrong = recorder.counts() - called
                if abs(wrong.allocations) > called.allocations / 100:
                    raise BenchError(f"{what}: {wrong} events other than in the counted run")
                extra["collector"] = (called.events, outcome.own_cpu_s)
            if recorder.name == "heaptrack":
                _heaptrack_is_plausible(bench, what, called)
            if recorder.name != "bare":
                extra.setdefault("bytes", {})[recorder.name] = recorder.trace_bytes()
            return (outcome.json() if inner else None, outcome.wall_s)
        return measure
    results = _rounds(bench, what, bench.size.program_rounds,
                      {recorder.name: side(recorder) for recorder in recorders})
    whole = {name: Series(row[1] for row in rows) for name, rows in results.items()}
    entry = {name: {"wall_s": whole[name].to_json(),
                    "slowdown": whole[name].times(whole["bare"]).to_json()} for name in results}
    if inner:
        for key in ("wall", "cpu"):
            work = {name: Series(row[0][key + "_s"] for row in rows)
                    for name, rows in results.items()}
            for name in results:
                entry[name][f"work_{key}_s"] = work[name].to_json()
                entry[name][f"work_{key}_slowdown"] = work[name].times(work["bare"]).to_json()
    events, cpu_s = extra["collector"]
    if cpu_s > 0.2:  # less is mostly start and end
        bench.report.data["collector"][what] = {
            "events": events, "events_per_cpu_s": Series([events / cpu_s]).to_json()}
    bench.report.data["bytes_per_event"][what] = {
        "events": events, **{name: size / events for name, size in extra["bytes"].items()}}
    return entry


def python(bench):
    command = [bench.python, os.path.join(bench.source, "programs", "mix.py"),
               str(bench.size.python_rounds)]
    recorders = [bench.bare, bench.tidemark, *bench.peers_of_programs()]
    if bench.memray is not None:
        recorders.append(bench.memray)
    bench.report.data["python"] = _time_program(
        bench, "python3 mix.py", command, recorders, PYTHON_ENV, inner=True)


CXX_SOURCE = """\
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>
"""
CXX_UNIT = """
struct T{i} {{ int a[{n}]; std::string s; bool operator<(const T{i}& o) const {{ return s < o.s; }} }};
int f{i}(int x) {{
  std::map<T{i}, std::vector<int>> m;
  std::unordered_map<std::string, std::function<int(int)>> g;
  g["k"] = [x](int y) {{ return x * {n} + y; }};
  for (int j = 0; j < x; ++j) m[T{i}{{{{}}, std::to_string(j)}}].push_back(g["k"](j));
  std::vector<T{i}> v;
  for (auto& p : m) v.push_back(p.first);
  std::sort(v.begin(), v.end());
  return static_cast<int>(v.size());
}}
"""


def programs(bench):
    recorders = [bench.bare, bench.tidemark, *bench.peers_of_programs()]
    source = os.path.join(bench.folder, "large.cpp")
    with open(source, "w") as file:
        file.write(CXX_SOURCE + "".join(CXX_UNIT.format(i=i, n=i + 1)
                                        for i in range(bench.size.cxx_units)))
    # The compiler proper: heaptrack does not follow the driver into it.
    compiler = run(["g++", "-print-prog-name=cc1plus"]).stdout.strip()
    preprocessed = os.path.join(bench.folder, "large.ii")
    run(["g++", "-std=c++20", "-E", source, "-o", preprocessed])
    table = bench.report.data["programs"]
    table["cc1plus -O2"] = _time_program(
        bench, "cc1plus -O2", [compiler, "-quiet", "-O2", "-std=c++20", preprocessed, "-o",
                               os.path.join(bench.folder, "large.s")], recorders)
    database = os.path.join(bench.folder, "bulk.sqlite")
    load = (f"create table if not exists t(a primary key, b); delete from t; "
            f"with recursive n(i) as (select 1 union all select i + 1 from n "
            f"where i < {bench.size.sqlite_rows}) "
            f"insert into t select 'key ' || i, hex(i * 7919) from n; "
            f"select count(*), sum(length(b)) from (select * from t order by b);")
    table["sqlite3 bulk load"] = _time_program(
        bench, "sqlite3 bulk load", ["sqlite3", database, load], recorders)
    if bench.has_numpy():
        table["python3 -c 'import numpy'"] = _time_program(
            bench, "python3 -c 'import numpy'", [bench.python, "-c", "import numpy"], recorders,
            {"PYTHONHASHSEED": "0"})
    else:
        bench.report.left_out.append("import numpy: not installed for the interpreter given")


def memory(bench):
    for threads in bench.size.memory_threads:
        row = {}
        for recorder in (bench.bare, bench.tidemark, *bench.peers_of_programs()):
            answer = recorder.run(bench.program("threads", threads)).json()
            row[recorder.name] = answer
        bench.report.data["memory"][str(threads)] = {
            name: {"rss_added": answer["rss_bytes"] - row["bare"]["rss_bytes"],
                   "pss_added": answer["pss_bytes"] - row["bare"]["pss_bytes"]}
            for name, answer in row.items()}


def collector_bench(bench):
    """The collector alone, beside the figures from end to end."""
    program = os.path.join(bench.build, "bin", "collector_bench")
    if not os.path.exists(program):
        bench.report.left_out.append("collector_bench: not built")
        return
    with bench.quiet():
        out = run([program, "--benchmark_format=csv"]).stdout
    for line in out.splitlines():
        fields = line.split(",")
        if fields[0].startswith('"') and fields[-1]:
            bench.report.data["collector"]["collector_bench " + fields[0].strip('"')] = {
                "events_per_cpu_s": Series([float(fields[-1])]).to_json()}


def reading(bench):
    """What reading_bench says of a trace of that many events; wall seconds."""
    program = os.path.join(bench.build, "bin", "reading_bench")
    if not os.path.exists(program):
        bench.report.left_out.append("reading_bench: not built")
        return
    with bench.quiet():
        out = run([program, str(bench.size.read_events)]).stdout
    seconds = {what: float(wall) for what, wall in
               re.findall(r"^(\S.*?) +[\d.]+ s CPU +([\d.]+) s", out, re.MULTILINE)}
    live = [wall for what, wall in seconds.items() if what.startswith("live at")]
    scans = [wall for what, wall in seconds.items() if what.startswith("full scan")]
    if not live or not scans:
        raise BenchError(f"reading_bench: no scan or no live set in its output:\n{out}")
    bench.report.data["reading"] = {
        "events": bench.size.read_events, "output": out, "scan_s": scans, "live_set_s": live}
