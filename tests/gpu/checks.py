"""Holds a trace against what the program, or PyTorch, counted itself."""

import collections
import json
import os

import figures


class Checks:
    """The list of comparisons: each prints ok or FAIL with both figures as it is made."""

    def __init__(self, out=print):
        self.results = []
        self.figures = []
        self._out = out

    def equal(self, run, what, expected, measured):
        self._add(run, what, expected, measured, expected == measured)

    def at_least(self, run, what, expected, measured):
        self._add(run, what, f">= {expected}", measured, measured >= expected)

    def holds(self, run, what, expected, measured, good):
        self._add(run, what, expected, measured, bool(good))

    def broke(self, run, error):
        """A part that could not be checked at all is a failure of its own."""
        self._add(run, "could be checked", "yes", f"{type(error).__name__}: {error}", False)

    def figure(self, run, what, value):
        """A figure worth knowing, which nothing is demanded of."""
        self.figures.append({"run": run, "what": what, "value": value})
        self._out(f"        {run}: {what}: {value}")

    def _add(self, run, what, expected, measured, good):
        self.results.append({"run": run, "what": what, "expected": expected, "measured": measured,
                             "ok": good})
        self._out(f"{'ok   ' if good else 'FAIL '}   {run}: {what}: "
                  f"expected {_short(expected)}, trace {_short(measured)}")

    @property
    def failed(self):
        return [result for result in self.results if not result["ok"]]

    def table(self):
        cells = [("", "run", "check", "expected", "measured")]
        cells += [("ok" if r["ok"] else "FAIL", r["run"], r["what"], _short(r["expected"]),
                   _short(r["measured"])) for r in self.results]
        widths = [max(len(line[i]) for line in cells) for i in range(5)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                 for line in cells]
        lines.append(f"{len(self.results)} checks, {len(self.failed)} failed")
        return "\n".join(lines)


def _short(value):
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def load(path):
    """A JSON file that must be there and whole."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} was not written")
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def check_pool(checks, run, memory, pool):
    """`memory`: what PyTorch counted itself. `pool`: figures.pool_figures()."""
    for what, expected, measured in (
            ("pool allocations = allocation.all.allocated",
             memory["allocation.all.allocated"], pool["allocations"]),
            ("peak of pool bytes = allocated_bytes.all.peak",
             memory["allocated_bytes.all.peak"], pool["peak_allocated"]),
            ("peak reserved = reserved_bytes.all.peak",
             memory["reserved_bytes.all.peak"], pool["peak_reserved"]),
            ("peak of libc10_cuda driver bytes = reserved_bytes.all.peak",
             memory["reserved_bytes.all.peak"], pool["segments_peak"]),
            ("libc10_cuda driver allocations = segment.all.allocated",
             memory["segment.all.allocated"], pool["segments"])):
        checks.equal(run, what, expected, measured)
    # At exit Python frees tensors that PyTorch's figures, taken earlier, still had as live.
    checks.at_least(run, "pool frees >= allocation.all.freed", memory["allocation.all.freed"],
                    pool["frees"])


def check_pytorch(checks, run, bare, profiled, recorded, trace):
    """bare, profiled, recorded: the JSON of the three runs. trace: open connection."""
    memory = recorded["memory_stats"]
    pool = figures.pool_figures(trace)
    check_pool(checks, run, memory, pool)
    for key in ("allocation.all.allocated", "allocated_bytes.all.peak", "reserved_bytes.all.peak"):
        checks.equal(run, f"recording leaves {key} alone", bare["memory_stats"][key], memory[key])

    counted = profiled["profile"]
    if counted is None:
        raise ValueError("the --profile run wrote no profile")
    activity = figures.activity_figures(trace)
    for key, what in (("kernels", "kernels"), ("memcpys", "copies"), ("memcpy_bytes", "bytes copied"),
                      ("memsets", "sets"), ("memset_bytes", "bytes set")):
        checks.equal(run, f"{what} = torch.profiler's", counted[key], activity[key])
    checks.equal(run, "device events with impossible times", 0, activity["impossible_times"])
    check_losses(checks, run, bare["losses"], recorded["losses"], profiled["losses"])
    checks.equal(run, "serious losses of events", {}, figures.serious_losses(trace))
    checks.figure(run, "pool allocations without a stack", pool["without_stack"])
    checks.figure(run, "kernels without a stack", activity["kernels_without_stack"])
    checks.figure(run, "times retried after running out of memory", memory["num_alloc_retries"])


def check_recall(checks, run, truth, kernels, accesses, allocations):
    """Which kernel was handed which block, against what the program says of itself.

    truth: what `cuda_trainer --accesses` wrote. kernels: (id, name, correlation_id, graph_id).
    accesses: (kernel_id, allocation_id). allocations: the ids of what the program allocated, in
    order: its own numbers count the same.
    """
    numbers = {identity: number for number, identity in enumerate(allocations)}
    handed = collections.defaultdict(set)
    for kernel, allocation in accesses:
        handed[kernel].add(numbers.get(allocation, -1))
    # One thread launches: correlation ids ascend as its calls do.
    plain = [(name, handed[identity]) for identity, name, _, _ in
             sorted((k for k in kernels if not k[3]), key=lambda k: k[2])]
    checks.equal(run, "kernels launched one by one", len(truth["launches"]), len(plain))
    found = missed = false = 0
    for (own_name, own), (name, seen) in zip(truth["launches"], plain):
        if own_name not in name:
            raise ValueError(f"kernel {name} where the program launched {own_name}")
        found += len(seen & set(own))
        missed += len(set(own) - seen)
        false += len(seen - set(own))
    checks.equal(run, "blocks handed to kernels that were not seen", 0, missed)
    checks.equal(run, "blocks seen that were not handed to the kernel", 0, false)
    checks.holds(run, "blocks handed to kernels that were seen", "> 0", found, found > 0)
    # The nodes of a graph run in any order.
    own = collections.Counter()
    for name, blocks in truth["graph_nodes"]:
        own[(name, tuple(sorted(blocks)))] += truth["graph_launches"]
    seen = collections.Counter()
    for identity, name, _, graph in kernels:
        if graph:
            known = [node for node, _ in truth["graph_nodes"] if node in name]
            seen[(known[0] if known else name, tuple(sorted(handed[identity])))] += 1
    return own, seen


def check_graph_recall(checks, run, own, seen):
    """The same for kernels of graphs, as check_recall() has put them together."""
    checks.equal(run, "kernels of graphs whose blocks differ from what they were handed", {},
                 {str(key): (own[key], seen[key]) for key in own | seen if own[key] != seen[key]})


def check_touched(checks, run, total_bytes, touched_bytes, least=0.999):
    """The share of the bytes of a framework's blocks that a kernel, copy or set was seen to use;
    workspaces that no kernel was handed do not count."""
    share = touched_bytes / total_bytes if total_bytes else 0.0
    checks.holds(run, "share of the pool's bytes that were seen touched", f">= {least}",
                 round(share, 6), share >= least)


def check_losses(checks, run, bare, recorded, bare_again=None):
    checks.holds(run, "training losses unchanged", bare, recorded, bool(bare) and bare == recorded)
    if bare_again is not None and bare_again != bare:
        checks.figure(run, "two runs without tidemark already differ", [bare, bare_again])


def check_step_time(checks, run, bare_runs, recorded):
    """Prints; a time is never demanded."""
    bare = [1e3 * figures.steady_step_seconds(b["step_seconds"]) for b in bare_runs]
    slow = 1e3 * figures.steady_step_seconds(recorded["step_seconds"])
    mean = sum(bare) / len(bare)
    checks.figure(run, "median step bare, ms", [round(value, 3) for value in bare])
    checks.figure(run, "median step recorded, ms", round(slow, 3))
    checks.figure(run, "step time recorded / bare", round(slow / mean, 4))
    checks.figure(run, "whole run bare, s", [round(b["total_seconds"], 2) for b in bare_runs])
    checks.figure(run, "whole run recorded, s", round(recorded["total_seconds"], 2))


def check_cuda_trainer(checks, run, bare, recorded, trace):
    """bare, recorded: what `cuda_trainer --count` wrote without and with tidemark."""
    apis = recorded["allocations"]
    if not apis:
        raise ValueError("the program counted no allocation")
    by_api, peaks = figures.driver_figures(trace, apis)
    for api, own in sorted(apis.items()):
        checks.equal(run, f"{api} calls", own["count"], by_api[api]["count"])
        checks.equal(run, f"{api} bytes", own["bytes"], by_api[api]["bytes"])
        checks.equal(run, f"{api} freed", recorded["frees"].get(api, {"count": 0})["count"],
                     by_api[api]["freed"])
    checks.equal(run, "allocations by calls that were not made", {},
                 figures.unexpected_driver_apis(trace, apis))
    for space, expected in sorted(recorded["peak_bytes"].items()):
        checks.equal(run, f"peak bytes {space}", expected, peaks.get(space, 0))
    checks.equal(run, "allocations whose stack lacks the trainer's own functions", 0,
                 figures.allocations_without_frame(trace, list(apis), "Trainer"))

    activity = figures.activity_figures(trace)
    checks.equal(run, "kernels", recorded["kernels"], activity["kernels"])
    for name, expected in sorted(recorded["kernels_by_name"].items()):
        checks.equal(run, f"kernels {name}", expected, figures.kernels_with_name(trace, name))
    copies = figures.copies_by_spaces(trace)
    for copy in recorded["copies"]:
        key = (copy["kind"], copy["src_space"], copy["dst_space"])
        checks.equal(run, f"copies {key[0]} {key[1]} to {key[2]} (count, bytes)",
                     (copy["count"], copy["bytes"]), copies.pop(key, (0, 0)))
    checks.equal(run, "copies that the program did not make", {}, copies)
    checks.equal(run, "sets", recorded["memsets"]["count"], activity["memsets"])
    checks.equal(run, "bytes set", recorded["memsets"]["bytes"], activity["memset_bytes"])
    checks.equal(run, "device events with impossible times", 0, activity["impossible_times"])
    checks.equal(run, "recording changes none of the program's own counts",
                 {key: bare[key] for key in ("calls", "allocations", "peak_bytes", "kernels")},
                 {key: recorded[key] for key in ("calls", "allocations", "peak_bytes", "kernels")})
    check_losses(checks, run, bare["losses"], recorded["losses"])
    checks.equal(run, "serious losses of events", {}, figures.serious_losses(trace))
    checks.figure(run, "kernels without a stack", activity["kernels_without_stack"])
