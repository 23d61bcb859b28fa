"""`--window=iterations:3:5`: two iterations of eight, and all that is left out counted."""

import contextlib
import json
import sys

import figures

RUN = "gpt2, two iterations"
STEPS, FIRST, END = 8, 3, 5
SLACK = 0.1  # of an iteration's share of all kernels: the first one sets up


def check_iteration_window(checks, run, kernels, kept, outside, windows, iterations):
    """`kernels`: torch.profiler's count of a whole run. `kept`, `outside`: the trace's. `windows`: begin and
    end. `iterations`: begin and end of each as the report finds them in the pool, which is recorded throughout;
    they begin with forward, a window begins before it, with the optimizer's step."""
    checks.equal(run, "kernels kept and left out = torch.profiler's", kernels, kept + outside)
    share = (END - FIRST) / STEPS * kernels
    checks.holds(run, "kernels kept", f"{share:.0f}, give or take {SLACK:.0%}", kept,
                 abs(kept - share) <= SLACK * share)
    checks.equal(run, "windows, iterations", [1, STEPS], [len(windows), len(iterations)])
    begins = [begin for begin, _ in iterations]
    for which, at, number in (("begins", 0, FIRST), ("ends", 1, END)):
        moment = windows[0][at] if windows else None
        between = begins[number - 2:number]
        checks.holds(run, f"the window {which} at the end of iteration {number - 1}", f"within {between}", moment,
                     moment is not None and len(between) == 2 and between[0] < moment <= between[1])


def parts(acceptance, profiled):
    """`profiled`: the JSON of the run of gpt2 under torch.profiler; None: there is none."""
    with acceptance.part(RUN):
        if profiled is None:
            raise ValueError("the profiled gpt2 run, which this is held against, did not succeed")
        path = acceptance.work / "iteration_window.db"
        status, _ = acceptance.record(
            RUN, path, [sys.executable, acceptance.options.samples / "pytorch" / "gpt2.py", "--deterministic",
                        "--steps", STEPS, "--batch", 4, "--sequence", 512],
            ["--host=off", f"--window=iterations:{FIRST}:{END}"])
        acceptance.checks.equal(RUN, "exit status", 0, status)
        _, report = acceptance.run(f"{RUN}, report", [acceptance.tidemark, "report", path, "--format", "json"])
        iterations = [(one["begin_ns"], one["end_ns"]) for one in json.loads(report)["training"]["iterations"]]
        with contextlib.closing(figures.open_trace(path)) as trace:
            kept = figures.one(trace, "SELECT count(*) FROM kernel")
            outside = figures.one(
                trace, "SELECT coalesce(sum(count), 0) FROM loss WHERE name = 'kernels_outside_window'")
            windows = figures.rows(trace, "SELECT begin_ns, end_ns FROM recording_window")
            check_iteration_window(acceptance.checks, RUN, profiled["profile"]["kernels"], kept, outside, windows,
                                   iterations)
            acceptance.checks.equal(RUN, "serious losses of events", {}, figures.serious_losses(trace))
