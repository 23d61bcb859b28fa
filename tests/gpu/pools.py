"""--pools=expose: each array of CuPy and JAX is one allocation of the driver; without it the trace
says that their pools are not split up."""

import contextlib
import importlib.util
import json
import sys

import figures

# XLA's platform allocator maps whole pages of the driver.
PAGES = {"cupy": 1, "jax": 2 << 20}


def check_exposed(checks, run, told, trace, page=1):
    """`told`: what the program printed. Its sizes are such as nothing else asks for, in bytes and in
    pages."""
    told = {key: [-(-size // page) * page for size in sizes] for key, sizes in told.items()}
    rows = [(size, free_ns) for size, free_ns in figures.rows(
        trace, "SELECT size, free_ns FROM device_allocation WHERE layer = 'driver' AND space = "
               "'device'") if size in told["sizes"]]
    checks.equal(run, "each array is one allocation of the driver", told["sizes"],
                 sorted(size for size, _ in rows))
    gone = [free_ns for size, free_ns in rows if size not in told["kept"]]
    kept = [free_ns for size, free_ns in rows if size in told["kept"] and free_ns is not None]
    freed = len(gone) > 0 and None not in gone
    checks.holds(run, "what it gave up is freed before what it kept", "freed, in this order",
                 f"{len(gone)} given up, all freed: {freed}",
                 freed and (not kept or max(gone) < min(kept)))


def check_hidden(checks, run, framework, trace):
    count = figures.one(trace, "SELECT coalesce(sum(count), 0) FROM loss WHERE name = "
                               f"'{framework}_pool_not_split_up'")
    checks.equal(run, "the trace says that the pool is not split up", 1, count)


def parts(acceptance):
    """Runs both programs both ways. A framework that is not installed is said, and is no success."""
    for framework, page in PAGES.items():
        run = f"{framework} arrays"
        if importlib.util.find_spec(framework) is None:
            acceptance.say(f"\n*** NOT TESTED: {framework} is not installed here ***")
            continue
        program = acceptance.options.samples / "arrays" / f"{framework}_arrays.py"
        with acceptance.part(run):
            for pools in ("as-they-are", "expose"):
                label = f"{run}, --pools={pools}"
                path = acceptance.work / f"{framework}.{pools}.db"
                status, text = acceptance.record(label, path, [sys.executable, program],
                                                 [f"--pools={pools}", "--host=off"])
                acceptance.checks.equal(label, "exit status", 0, status)
                with contextlib.closing(figures.open_trace(path)) as trace:
                    if pools == "expose":
                        check_exposed(acceptance.checks, label, json.loads(text), trace, page)
                    else:
                        check_hidden(acceptance.checks, label, framework, trace)
