"""Figures read from a trace with plain sqlite3, as any user would read them."""

import collections
import csv
import io
import os
import sqlite3
import statistics


class TraceError(Exception):
    """A trace that cannot be read, or lacks what must be there."""


def open_trace(path):
    if not os.path.isfile(path):
        raise TraceError(f"no trace at {path}: the recording wrote none")
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def rows(trace, query, parameters=()):
    try:
        return trace.execute(query, parameters).fetchall()
    except sqlite3.Error as error:
        raise TraceError(f"the trace cannot answer '{query}': {error}") from error


def one(trace, query, parameters=()):
    return rows(trace, query, parameters)[0][0]


def peak_of(lifetimes):
    """The most that was live at once. lifetimes: (alloc_ns, free_ns or None, bytes).

    At one and the same nanosecond a free counts before an allocation.
    """
    changes = []
    for alloc_ns, free_ns, size in lifetimes:
        if free_ns is not None and free_ns < alloc_ns:
            raise TraceError(f"freed at {free_ns} before allocated at {alloc_ns}")
        if free_ns is not None and free_ns == alloc_ns:
            continue
        changes.append((alloc_ns, 1, size))
        if free_ns is not None:
            changes.append((free_ns, 0, -size))
    live = peak = 0
    for _, _, change in sorted(changes):
        live += change
        peak = max(peak, live)
    return peak


def sole_process(trace, layer):
    """The one process that has allocations of a layer."""
    found = rows(trace, "SELECT DISTINCT process_id FROM device_allocation WHERE layer = ?",
                 (layer,))
    if len(found) != 1:
        raise TraceError(f"{len(found)} processes have {layer} allocations; exactly one should")
    return found[0][0]


def serious_losses(trace):
    """{name: count} of every loss counter that is not merely informative."""
    return dict(rows(trace, "SELECT name, count FROM loss "
                            "WHERE severity <> 'info' AND count > 0 ORDER BY name"))


def pool_figures(trace, device=0):
    """What PyTorch's caching allocator did, as the trace has it."""
    process = sole_process(trace, "pool")
    pool = rows(trace, "SELECT alloc_ns, free_ns, size FROM device_allocation WHERE layer = 'pool' "
                       "AND space = 'device' AND process_id = ? AND device = ?", (process, device))
    segments = rows(trace, "SELECT alloc_ns, free_ns, size FROM device_allocation "
                           "WHERE layer = 'driver' AND space = 'device' AND process_id = ? "
                           "AND device = ? AND source LIKE '%libc10_cuda%'", (process, device))
    return {
        "allocations": len(pool),
        "frees": sum(1 for _, free_ns, _ in pool if free_ns is not None),
        "peak_allocated": peak_of(pool),
        "peak_reserved": one(trace, "SELECT max(reserved_bytes) FROM pool_reserved "
                                    "WHERE process_id = ? AND device = ?", (process, device)),
        "segments": len(segments),
        "segments_peak": peak_of(segments),
        "without_stack": one(trace, "SELECT count(*) FROM device_allocation WHERE layer = 'pool' "
                                    "AND alloc_stack_id IS NULL"),
    }


def activity_figures(trace):
    """Kernels, copies and sets."""
    count, size = rows(trace, "SELECT count(*), coalesce(sum(bytes), 0) FROM transfer")[0]
    sets, set_bytes = rows(trace, "SELECT count(*), coalesce(sum(bytes), 0) FROM memset")[0]
    backwards = sum(one(trace, f"SELECT count(*) FROM {table} WHERE end_ns < start_ns "
                               "OR start_ns < 0") for table in ("kernel", "transfer", "memset"))
    return {
        "kernels": one(trace, "SELECT count(*) FROM kernel"),
        "memcpys": count,
        "memcpy_bytes": size,
        "memsets": sets,
        "memset_bytes": set_bytes,
        "impossible_times": backwards,
        "kernels_without_stack": one(trace, "SELECT count(*) FROM kernel WHERE stack_id IS NULL"),
    }


def driver_figures(trace, apis):
    """{api: {count, bytes, freed}} and {space: peak bytes} of the named calls."""
    by_api = {api: {"count": 0, "bytes": 0, "freed": 0} for api in apis}
    lifetimes = collections.defaultdict(list)
    for api, space, size, alloc_ns, free_ns in rows(
            trace, "SELECT api, space, size, alloc_ns, free_ns FROM device_allocation "
                   "WHERE layer = 'driver'"):
        if api not in by_api:
            continue
        by_api[api]["count"] += 1
        by_api[api]["bytes"] += size
        by_api[api]["freed"] += free_ns is not None
        lifetimes[space].append((alloc_ns, free_ns, size))
    return by_api, {space: peak_of(found) for space, found in lifetimes.items()}


def unexpected_driver_apis(trace, apis):
    """{api: count} of runtime calls in the trace that the program did not make."""
    found = dict(rows(trace, "SELECT api, count(*) FROM device_allocation WHERE layer = 'driver' "
                             "AND api LIKE 'cuda%' AND api <> 'cuda module' GROUP BY api"))
    return {api: count for api, count in found.items() if api not in apis}


def copies_by_spaces(trace):
    """{(kind, src_space, dst_space): (count, bytes)}"""
    return {(kind, source, target): (count, size) for kind, source, target, count, size in rows(
        trace, "SELECT kind, src_space, dst_space, count(*), sum(bytes) FROM transfer "
               "GROUP BY kind, src_space, dst_space")}


def kernels_with_name(trace, part):
    return one(trace, "SELECT count(*) FROM kernel WHERE instr(name, ?) > 0", (part,))


def allocations_without_frame(trace, apis, part):
    """Allocations whose stack has no frame with this text in its function's name."""
    marks = ", ".join("?" for _ in apis)
    return one(trace, "SELECT count(*) FROM device_allocation AS a WHERE layer = 'driver' "
                      f"AND api IN ({marks}) AND NOT EXISTS (SELECT 1 FROM frame AS f "
                      "WHERE f.stack_id = a.alloc_stack_id AND instr(f.function, ?) > 0)",
               (*apis, part))


# Bytes of a pool's blocks on a device, of those that a kernel, copy or set was seen to use, and of
# those others that are workspaces of cuBLAS, which are there in case a kernel wants one.
TOUCHED_BYTES = (
    "SELECT sum(size), sum(CASE WHEN touched THEN size ELSE 0 END), sum(CASE WHEN NOT touched AND "
    "EXISTS (SELECT 1 FROM frame AS f WHERE f.stack_id = alloc_stack_id AND "
    "instr(f.function, 'Workspace') > 0) THEN size ELSE 0 END) FROM (SELECT size, alloc_stack_id, "
    "coalesce(id IN (SELECT allocation_id FROM access UNION "
    "SELECT src_allocation_id FROM transfer UNION SELECT dst_allocation_id FROM transfer UNION "
    "SELECT allocation_id FROM memset), 0) AS touched FROM device_allocation "
    "WHERE layer = 'pool' AND space = 'device')")


def from_csv(text):
    """The rows of `tidemark sql --format csv` behind its header: numbers as numbers, '' as None."""
    def value(cell):
        if cell == "":
            return None
        try:
            return int(cell)
        except ValueError:
            return cell
    return [[value(cell) for cell in row] for row in list(csv.reader(io.StringIO(text)))[1:]]


def program_seconds(trace):
    """How long the device was busy with the program, from its first kernel to its last."""
    return one(trace, "SELECT (max(end_ns) - min(start_ns)) / 1e9 FROM kernel")


def steady_step_seconds(step_seconds):
    """The median step, the first two left out: they set up libraries and optimizer state."""
    steady = step_seconds[2:]
    if not steady:
        raise TraceError("a run needs three steps or more to have a steady one")
    return statistics.median(steady)
