"""What gpt2.py and resnet50.py say about a run: step times, PyTorch's own memory figures, and how
many kernels, copies and sets torch.profiler counted."""

import argparse
import contextlib
import json
import os
import tempfile
import time

MEMORY_FIGURES = (
    "allocation.all.allocated",
    "allocation.all.freed",
    "allocated_bytes.all.current",
    "allocated_bytes.all.peak",
    "reserved_bytes.all.current",
    "reserved_bytes.all.peak",
    "segment.all.allocated",
    "num_alloc_retries",
    "num_ooms",
)


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu")
    parser.add_argument("--json", metavar="FILE", help="write losses, times and memory figures here")
    parser.add_argument("--profile", action="store_true",
                        help="count kernels, copies and sets with torch.profiler")
    parser.add_argument("--deterministic", action="store_true",
                        help="the same losses, bit by bit, in every run")
    return parser


def prepare(args):
    """Seeds, and determinism where asked for. Call it before anything runs on the GPU."""
    if args.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    if args.deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.backends.cudnn.benchmark = False
        # The fused attention kernels add up gradients in any order.
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        torch.backends.cuda.enable_cudnn_sdp(False)
    torch.manual_seed(args.seed)


class Run:
    """Collects a run's figures; write() puts them into the file that --json names."""

    def __init__(self, args):
        self.args = args
        self.losses = []
        self.step_seconds = []
        self.profile = None
        self.started = time.perf_counter()

    def _synchronize(self):
        import torch

        if self.args.device != "cpu":
            torch.cuda.synchronize()

    @contextlib.contextmanager
    def step(self):
        self._synchronize()
        started = time.perf_counter()
        yield
        self._synchronize()
        self.step_seconds.append(time.perf_counter() - started)

    def add_loss(self, loss):
        self.losses.append(loss)
        print(f"step {len(self.losses):3d}  loss {loss:.6f}", flush=True)

    @contextlib.contextmanager
    def profiled(self):
        """With --profile, counts everything that reaches the GPU inside."""
        if not self.args.profile:
            yield
            return
        import torch

        torch.cuda.init()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
            yield
            torch.cuda.synchronize()
        self.profile = count_events(profiler)

    def write(self):
        import torch

        total = time.perf_counter() - self.started
        steps = self.step_seconds
        print(f"{len(steps)} steps, {total:.2f} s in all, last step {1e3 * steps[-1]:.1f} ms")
        if not self.args.json:
            return
        on_gpu = self.args.device != "cpu"
        memory = torch.cuda.memory_stats() if on_gpu else None
        with open(self.args.json, "w", encoding="utf-8") as file:
            json.dump({
                "arguments": vars(self.args),
                "torch": torch.__version__,
                "cuda": torch.version.cuda,
                "device_name": torch.cuda.get_device_name() if on_gpu else "cpu",
                "memory_stats": {key: memory[key] for key in MEMORY_FIGURES} if on_gpu else None,
                "losses": self.losses,
                "step_seconds": steps,
                "total_seconds": total,
                "profile": self.profile,
            }, file, indent=1)


def count_events(profiler):
    """Kernels, copies and sets, by the categories of the profiler's own trace file."""
    handle, path = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    try:
        profiler.export_chrome_trace(path)
        size = os.path.getsize(path)
        with open(path, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
    finally:
        os.unlink(path)
    counts = {"json_bytes": size, "kernels": 0, "memcpys": 0, "memcpy_bytes": 0, "memsets": 0, "memset_bytes": 0}
    for event in events:
        category = event.get("cat")
        if category == "kernel":
            counts["kernels"] += 1
        elif category == "gpu_memcpy":
            counts["memcpys"] += 1
            counts["memcpy_bytes"] += event["args"]["bytes"]
        elif category == "gpu_memset":
            counts["memsets"] += 1
            counts["memset_bytes"] += event["args"]["bytes"]
    return counts
