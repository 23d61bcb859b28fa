"""A trace in miniature for the unit tests: the tables of the design with made-up rows, and the
JSON that the programs would have written beside it."""

import copy
import sqlite3

import driver_memory
import power
import refused

STEP_BYTES = 10_000
POWER_MW, ENERGY_MJ = 70_000, 1_000  # of the stand-in for NVML, too

SCHEMA = """
CREATE TABLE device_allocation(id INTEGER PRIMARY KEY, process_id, thread_id, layer, space, device,
  address, size, alloc_ns, free_ns, alloc_stack_id, free_stack_id, api, source);
CREATE TABLE transfer(id INTEGER PRIMARY KEY, process_id, device, stream, kind, bytes, src_space,
  dst_space, src_address, dst_address, start_ns, end_ns, correlation_id, stack_id,
  src_allocation_id, dst_allocation_id);
CREATE TABLE memset(id INTEGER PRIMARY KEY, process_id, device, stream, address, bytes, start_ns,
  end_ns, correlation_id, stack_id, allocation_id);
CREATE TABLE kernel(id INTEGER PRIMARY KEY, process_id, device, stream, name, start_ns, end_ns,
  correlation_id, graph_id, stack_id);
CREATE TABLE access(kernel_id, allocation_id);
CREATE TABLE process(id INTEGER PRIMARY KEY, pid, parent_id, command, start_ns, end_ns, exit, rank);
CREATE TABLE thread(id INTEGER PRIMARY KEY, process_id, tid, name);
CREATE TABLE frame(stack_id, depth, kind, function, file, line, module, inlined);
CREATE TABLE loss(name, severity, count);
CREATE TABLE meta(key, value);
CREATE TABLE pool_reserved(process_id, device, time_ns, reserved_bytes);
CREATE TABLE recording_window(id INTEGER PRIMARY KEY, process_id, begin_ns, end_ns);
CREATE TABLE driver_pool(process_id, device, pool, time_ns, held_bytes, used_bytes);
CREATE TABLE migration(id INTEGER PRIMARY KEY, process_id, kind, bytes);
CREATE TABLE imported_memory(id INTEGER PRIMARY KEY, process_id, size, open_ns, close_ns);
CREATE TABLE device_power(bus, time_ns, power_mw, energy_mj);
CREATE TABLE out_of_memory(id INTEGER PRIMARY KEY, process_id, thread_id, device, layer, time_ns,
  requested_bytes, allocated_bytes, reserved_bytes, stack_id);
"""

MIB = 1 << 20
STACK = 7


def empty(path):
    trace = sqlite3.connect(path)
    trace.executescript(SCHEMA)
    trace.execute("INSERT INTO process VALUES (1, 4242, NULL, 'program', 0, 1000, 0, NULL)")
    trace.execute("INSERT INTO frame VALUES (?, 0, 'native', 'cuda_trainer::Trainer::set_up()', "
                  "'trainer.cu', 1, 'cuda_trainer', 0)", (STACK,))
    trace.execute("INSERT INTO frame VALUES (?, 1, 'python', 'main', 'train.py', 12, NULL, 0)", (STACK,))
    trace.executemany("INSERT INTO thread VALUES (?, 1, ?, ?)", [(1, 4242, "python3"), (2, 4243, "pt_autograd_0")])
    trace.execute("INSERT INTO loss VALUES ('stacks_truncated', 'info', 3)")
    trace.execute("INSERT INTO loss VALUES ('events_dropped_ring_full', 'data_loss', 0)")
    return trace


def allocate(trace, layer, space, size, alloc_ns, free_ns, api, source=None):
    trace.execute(
        "INSERT INTO device_allocation(process_id, thread_id, layer, space, device, address, size, "
        "alloc_ns, free_ns, alloc_stack_id, api, source) VALUES (1, 1, ?, ?, 0, 4096, ?, ?, ?, ?, "
        "?, ?)", (layer, space, size, alloc_ns, free_ns, STACK, api, source))


def kernels(trace, names):
    trace.executemany("INSERT INTO kernel(process_id, device, name, start_ns, end_ns, stack_id, "
                      "correlation_id) VALUES (1, 0, ?, 500, 510, 7, ?)",
                      [(name, 40 + i) for i, name in enumerate(names)])


def accesses(trace, pairs):
    trace.executemany("INSERT INTO access VALUES (?, ?)", pairs)


def copy_rows(trace, kind, source, target, sizes):
    trace.executemany("INSERT INTO transfer(process_id, device, kind, bytes, src_space, dst_space, "
                      "start_ns, end_ns) VALUES (1, 0, ?, ?, ?, ?, 600, 610)",
                      [(kind, size, source, target) for size in sizes])


def memsets(trace, sizes):
    trace.executemany("INSERT INTO memset(process_id, device, bytes, start_ns, end_ns) "
                      "VALUES (1, 0, ?, 700, 705)", [(size,) for size in sizes])


def refused_trace(path):
    """A block of the driver, and a request for more than there is."""
    trace = empty(path)
    allocate(trace, "driver", "device", refused.HELD, 100, None, "cuMemAlloc")
    trace.execute("INSERT INTO out_of_memory(process_id, device, layer, time_ns, requested_bytes) "
                  "VALUES (1, 0, 'driver', 200, ?)", (refused.ASKED,))
    trace.commit()
    trace.close()


DRIVER_MEMORY_TOLD = {"held": 128, "peak_held": 128, "used": 80, "peak_used": 112, "held_trimmed": 32,
                      "used_trimmed": 16}


def driver_memory_trace(path):
    """A pool of the driver, pages that go to the device and back, and the other process's imports."""
    trace = empty(path)
    trace.executemany("INSERT INTO driver_pool VALUES (1, 0, 9, ?, ?, ?)",
                      [(1, 0, 0), (2, 128, 112), (3, 128, 80), (4, 32, 16), (5, 0, 0)])
    trace.executemany("INSERT INTO migration(process_id, kind, bytes) VALUES (1, ?, ?)",
                      [("HtoD", driver_memory.MANAGED - 5), ("HtoD", 5), ("DtoH", driver_memory.MANAGED)])
    trace.executemany("INSERT INTO imported_memory(process_id, size, open_ns, close_ns) VALUES (2, ?, ?, ?)",
                      [(driver_memory.SHARED, 1, 2), (driver_memory.SHARED, 3, None)])
    trace.commit()
    trace.close()


BESIDE_TRAINING_TOLD = {"pid": 4711, "losses": [2.5, 2.25], "blocks": 2, "spawned_status": 0, "forked_status": 7,
                        "spawned": {"pid": 4712, "total": 1.0, "blocks": 1}}


def beside_training_trace(path):
    """Two processes with blocks, one of them with a thread that pins, its copies and a kernel of torch.compile's."""
    trace = empty(path)
    trace.execute("DELETE FROM process")
    trace.execute("DELETE FROM thread")
    trace.executemany("INSERT INTO process(id, pid) VALUES (?, ?)", [(1, 4711), (2, 4712)])
    trace.executemany("INSERT INTO thread(id, process_id, tid) VALUES (?, ?, ?)", [(1, 1, 4711), (2, 1, 4799)])
    trace.executemany("INSERT INTO device_allocation(process_id, thread_id, layer, space) VALUES (?, ?, ?, ?)",
                      [(1, 1, "pool", "device"), (1, 1, "pool", "device"), (2, 3, "pool", "device"),
                       (1, 2, "driver", "pinned")])
    copy_rows(trace, "HtoD", "pinned", "device", [8, 8, 8, 8])
    kernels(trace, ["triton_poi_fused_gelu_0"])
    trace.commit()
    trace.close()


def pytorch_trace(path, steps=0):
    """Two segments, three blocks: 600 and 300 live together, then 300 and 500. The file grows with the steps."""
    trace = empty(path)
    trace.execute("INSERT INTO meta VALUES ('steps', zeroblob(?))", (steps * STEP_BYTES,))
    allocate(trace, "driver", "device", 2 * MIB, 100, None, "cudaMalloc", "/x/libc10_cuda.so")
    allocate(trace, "driver", "device", 20 * MIB, 200, None, "cudaMalloc", "/x/libc10_cuda.so")
    allocate(trace, "driver", "device", 64 * MIB, 250, None, "cudaMalloc", "/x/libcublas.so.13")
    allocate(trace, "driver", "pinned", 4096, 260, None, "cudaHostAlloc", "/x/libc10_cuda.so")
    allocate(trace, "pool", "device", 600, 110, 300, "c10")
    allocate(trace, "pool", "device", 300, 120, None, "c10")
    allocate(trace, "pool", "device", 500, 300, 400, "c10")
    trace.executemany("INSERT INTO pool_reserved VALUES (1, 0, ?, ?)",
                      [(110, 2 * MIB), (300, 22 * MIB), (400, 22 * MIB)])
    kernels(trace, ["a", "b", "b", "c"])
    copy_rows(trace, "HtoD", "pinned", "device", [100, 50])
    memsets(trace, [8])
    accesses(trace, [(1, 5), (2, 6), (3, 5)])
    trace.execute("INSERT INTO meta VALUES ('start_monotonic_ns', '1000')")
    trace.execute("INSERT INTO meta VALUES ('cuda.device.0.pci_bus', '0000:1B:00.0')")
    # Of another board, which the program leaves alone: no reading of the first admits its energy.
    trace.execute("INSERT INTO device_power VALUES ('0000:1c:00.0', 2, 70000, 1)")
    trace.executemany("INSERT INTO device_power VALUES ('0000:1b:00.0', ?, ?, ?)",
                      [(time_ns, POWER_MW, ENERGY_MJ) for time_ns in range(power.LEAST_ROWS)])
    trace.execute("UPDATE transfer SET dst_allocation_id = 7 WHERE bytes = 50")
    trace.commit()
    trace.close()


ITERATIONS = [{"begin_ns": 100 * number, "end_ns": 100 * number + 100} for number in range(1, 9)]


def cut_to_window(path):
    """One of four kernels is of the two iterations of eight, the others are counted."""
    with sqlite3.connect(path) as trace:
        trace.execute("DELETE FROM kernel WHERE id <> (SELECT min(id) FROM kernel)")
        trace.execute("INSERT INTO loss VALUES ('kernels_outside_window', 'info', 3)")
        trace.execute("INSERT INTO recording_window(process_id, begin_ns, end_ns) VALUES (1, 280, 480)")


PYTORCH_RUN = {
    "memory_stats": {
        "allocation.all.allocated": 3,
        "allocation.all.freed": 2,
        "allocated_bytes.all.peak": 900,
        "reserved_bytes.all.peak": 22 * MIB,
        "segment.all.allocated": 2,
        "num_alloc_retries": 0,
    },
    "losses": [3.5, 3.25, 3.0, 2.5],
    "step_seconds": [9.0, 1.0, 0.5, 0.25],
    "total_seconds": 12.0,
    "profile": None,
}
PROFILE = {"json_bytes": 3_000_000, "kernels": 4, "memcpys": 2, "memcpy_bytes": 150, "memsets": 1, "memset_bytes": 8}


def pytorch_runs():
    """bare, profiled, recorded"""
    profiled = copy.deepcopy(PYTORCH_RUN)
    profiled["profile"] = dict(PROFILE)
    return copy.deepcopy(PYTORCH_RUN), profiled, copy.deepcopy(PYTORCH_RUN)


def cuda_trainer_trace(path):
    trace = empty(path)
    allocate(trace, "driver", "device", 1000, 10, 90, "cudaMalloc")
    allocate(trace, "driver", "device", 2000, 20, 90, "cudaMalloc")
    allocate(trace, "driver", "device", 512, 30, 40, "cudaMallocAsync")
    allocate(trace, "driver", "device", 512, 50, 60, "cudaMallocAsync")
    allocate(trace, "driver", "pinned", 4096, 15, 95, "cudaMallocHost")
    allocate(trace, "driver", "managed", 4, 16, 95, "cudaMallocManaged")
    allocate(trace, "driver", "device", 7777, 1, None, "cuda module")
    kernels(trace, ["_ZN12cuda_trainer8add_biasEv", "_ZN12cuda_trainer8add_biasEv",
                    "_ZN12cuda_trainer11adam_updateEv"])
    copy_rows(trace, "HtoD", "host", "device", [1000])
    copy_rows(trace, "HtoD", "pinned", "device", [4096, 4096])
    copy_rows(trace, "DtoH", "device", "host", [4])
    memsets(trace, [1000, 2000])
    accesses(trace, [(1, 1), (1, 3), (2, 4), (3, 2), (3, 6), (4, 6), (5, 6)])
    trace.executemany("INSERT INTO kernel(process_id, device, name, start_ns, end_ns, stack_id, "
                      "correlation_id, graph_id) VALUES (1, 0, 'clear_norm', 520, 530, 7, 43, 1)",
                      [(), ()])
    trace.commit()
    trace.close()


# The driver's allocations above have the ids 1 to 7, the program's own numbers count from 0.
CUDA_TRAINER_ACCESSES = {
    "apis": ["cudaMalloc", "cudaMallocAsync", "cudaMallocHost", "cudaMallocManaged"],
    "launches": [["add_bias", [0, 2]], ["add_bias", [3]], ["adam_update", [1, 5]]],
    "graph_nodes": [["clear_norm", [5]]],
    "graph_launches": 2,
}

CUDA_TRAINER_COUNT = {
    "device_name": "made up",
    "calls": {"cudaMalloc": 2, "cudaFree": 3},
    "allocations": {
        "cudaMalloc": {"count": 2, "bytes": 3000},
        "cudaMallocAsync": {"count": 2, "bytes": 1024},
        "cudaMallocHost": {"count": 1, "bytes": 4096},
        "cudaMallocManaged": {"count": 1, "bytes": 4},
    },
    "frees": {
        "cudaMalloc": {"count": 2, "bytes": 3000},
        "cudaMallocAsync": {"count": 2, "bytes": 1024},
        "cudaMallocHost": {"count": 1, "bytes": 4096},
        "cudaMallocManaged": {"count": 1, "bytes": 4},
    },
    "peak_bytes": {"device": 3512, "pinned": 4096, "managed": 4},
    "copies": [
        {"kind": "HtoD", "src_space": "host", "dst_space": "device", "count": 1, "bytes": 1000},
        {"kind": "HtoD", "src_space": "pinned", "dst_space": "device", "count": 2, "bytes": 8192},
        {"kind": "DtoH", "src_space": "device", "dst_space": "host", "count": 1, "bytes": 4},
    ],
    "memsets": {"count": 2, "bytes": 3000},
    "kernels": 5,
    "kernels_by_name": {"add_bias": 2, "adam_update": 1, "clear_norm": 2},
    "losses": [5.5, 2.5, 0.25],
}
