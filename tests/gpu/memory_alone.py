"""`--device=memory`: every block and segment as with everything, and nothing of what uses them."""

import contextlib
import sys

import checks as checking
import figures

RUN = "gpt2, memory alone"
STEPS = 3


def check_memory_alone(checks, run, bare_losses, recorded, trace, accesses, report):
    """`recorded`: the program's JSON. `trace`: open connection. `accesses`: rows of a table that only
    tidemark shows. `report`: text."""
    pool = figures.pool_figures(trace)
    checking.check_pool(checks, run, recorded["memory_stats"], pool)
    activity = figures.activity_figures(trace)
    checks.equal(run, "kernels, copies, sets, accesses", [0, 0, 0, 0],
                 [activity["kernels"], activity["memcpys"], activity["memsets"], accesses])
    checks.equal(run, "pool allocations without a stack", 0, pool["without_stack"])
    checking.check_losses(checks, run, bare_losses, recorded["losses"])
    checks.equal(run, "serious losses of events", {}, figures.serious_losses(trace))
    remarks = [line for line in report.splitlines() if "--device=memory" in line]
    checks.holds(run, "the report says what is missing", "a line with --device=memory", remarks,
                 bool(remarks))


def parts(acceptance, bare):
    """`bare`: the JSON of the bare run of gpt2, of more steps; None: there is none."""
    with acceptance.part(RUN):
        if bare is None:
            raise ValueError("the bare gpt2 run, which this is held against, did not succeed")
        json_path, path = acceptance.work / "memory_alone.json", acceptance.work / "memory_alone.db"
        status, _ = acceptance.record(
            RUN, path, [sys.executable, acceptance.options.samples / "pytorch" / "gpt2.py",
                        "--deterministic", "--steps", STEPS, "--batch", 4, "--sequence", 512,
                        "--json", json_path], ["--host=off", "--device=memory"])
        acceptance.checks.equal(RUN, "exit status", 0, status)
        _, report = acceptance.run(f"{RUN}, report", [acceptance.tidemark, "report", path])
        accesses = acceptance.ask(path, "SELECT count(*) FROM access")[0][0]
        with contextlib.closing(figures.open_trace(path)) as trace:
            check_memory_alone(acceptance.checks, RUN, bare["losses"][:STEPS],
                               checking.load(json_path), trace, accesses, report)
