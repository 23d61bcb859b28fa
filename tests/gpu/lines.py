"""Lines of Python for the blocks of PyTorch's pool, and what a step costs in the trace.

Forward and the optimizer run in threads that run Python: each of their blocks must have a line of a file.
Backward runs in a thread of PyTorch's own, without Python: the analyzer says which line of forward a block is
for, and how it knows."""

LEAST_BACKWARD = 0.95
LEAST_TIMES_SMALLER = 10

# Blocks asked for by threads with Python and by autograd's, and those of each with a line of a file.
BLOCKS_WITH_LINES = (
    "WITH block AS MATERIALIZED (SELECT t.name LIKE 'pt_autograd%' AS backward, a.alloc_stack_id AS stack, count(*) "
    "AS n FROM device_allocation AS a JOIN thread AS t ON t.id = a.thread_id WHERE a.layer = 'pool' AND a.space = "
    "'device' GROUP BY 1, 2) SELECT backward, sum(n), sum(n * EXISTS (SELECT 1 FROM frame AS f WHERE f.stack_id = "
    "block.stack AND f.kind = 'python' AND f.line > 0)) FROM block GROUP BY 1")
EVIDENCE = ("saved_block", "order", "neighbours", "unknown")


def evidence_in(report):
    """{how a line is known: blocks} of the pool on a device, out of `report --format json`."""
    for space in report["spaces"]:
        if space["layer"] == "pool" and space["backward"]:
            return {how: space["backward"][how]["blocks"] for how in EVIDENCE}
    raise ValueError("the report knows of no backward pass")


def check_lines(checks, run, rows, evidence):
    """`rows`: of BLOCKS_WITH_LINES. `evidence`: of evidence_in()."""
    blocks = {bool(backward): (count, lines) for backward, count, lines in rows}
    count, lines = blocks.get(False, (0, 0))
    checks.holds(run, "blocks of forward and optimizer with a line of Python", f"all {count}, and some", lines,
                 lines == count and count > 0)
    count = sum(evidence.values())
    known = count - evidence["unknown"]
    checks.holds(run, "blocks of backward with a line of forward", f">= {100 * LEAST_BACKWARD:.0f} % of {count}",
                 known, count > 0 and known >= LEAST_BACKWARD * count)
    checks.figure(run, "blocks of backward by how their line is known", evidence)


def check_size(checks, run, sizes, profile):
    """`sizes`: {steps: bytes} of two traces alike. `profile`: the profiler's JSON, bytes a step."""
    (few, small), (many, large) = sorted(sizes.items())
    each = (large - small) / (many - few)
    checks.holds(run, "bytes of a step in the trace", f"<= 1/{LEAST_TIMES_SMALLER} of torch.profiler's {profile:.0f}",
                 round(each), 0 < LEAST_TIMES_SMALLER * each <= profile)
