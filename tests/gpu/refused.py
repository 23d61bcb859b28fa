#!/usr/bin/env python3
"""A program without a framework that the driver refuses memory, and what its trace must say of it.

    refused.py      the program: holds 64 MiB, asks for more than there is, and says so in JSON"""

import contextlib
import ctypes
import json
import pathlib
import sys

HELD = 64 << 20
ASKED = 1 << 50
OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY


def main():
    cuda = ctypes.CDLL("libcuda.so.1")
    device, context = ctypes.c_int(), ctypes.c_void_p()
    for result in (cuda.cuInit(0), cuda.cuDeviceGet(ctypes.byref(device), 0),
                   cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device),
                   cuda.cuCtxSetCurrent(context)):
        if result != 0:
            sys.exit(f"the driver says {result}")
    held, more = ctypes.c_uint64(), ctypes.c_uint64()
    result = cuda.cuMemAlloc_v2(ctypes.byref(held), ctypes.c_size_t(HELD))
    refused = cuda.cuMemAlloc_v2(ctypes.byref(more), ctypes.c_size_t(ASKED))
    print(json.dumps({"held": result, "refused": refused}))


def check_refused(checks, run, told, rows, report):
    """`told`: what the program printed. `rows`: layer, requested bytes, driver bytes then live."""
    checks.equal(run, "the driver refused what the program asked for", {"held": 0, "refused": OUT_OF_MEMORY}, told)
    checks.equal(run, "out_of_memory rows: layer, bytes asked for, bytes live", [["driver", ASKED, HELD]], rows)
    opening = report.find("OUT OF MEMORY")
    layers = report.find("Memory by layer")
    checks.holds(run, "the report opens with it", "before the table of layers", opening, 0 <= opening < layers)


def parts(acceptance):
    run = "refused by the driver"
    with acceptance.part(run):
        import figures

        path = acceptance.work / "refused.db"
        status, text = acceptance.record(run, path, [sys.executable, pathlib.Path(__file__)], ["--host=off"])
        acceptance.checks.equal(run, "exit status", 0, status)
        with contextlib.closing(figures.open_trace(path)) as trace:
            rows = [list(row) for row in figures.rows(
                trace, "SELECT o.layer, o.requested_bytes, (SELECT sum(a.size) FROM device_allocation a "
                       "WHERE a.api = 'cuMemAlloc' AND a.alloc_ns <= o.time_ns) FROM out_of_memory o")]
        _, report = acceptance.run(f"{run}, report", [acceptance.tidemark, "report", path])
        check_refused(acceptance.checks, run, json.loads(text), rows, report)


if __name__ == "__main__":
    main()
