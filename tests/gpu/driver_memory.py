#!/usr/bin/env python3
"""Memory that the driver keeps books of, and what the trace must say of it.

    driver_memory.py            the program: a memory pool of its own, managed memory that goes to
                                the device and back, and memory that another process opens;
                                prints the driver's own figures as JSON
    driver_memory.py HANDLE     that other process"""

import contextlib
import ctypes
import json
import pathlib
import subprocess
import sys

BLOCKS = (64 << 20, 32 << 20, 16 << 20)  # of the pool
MANAGED = 24 << 20
SHARED = 48 << 20
ATTRIBUTES = {"held": 5, "peak_held": 6, "used": 7, "peak_used": 8}  # CU_MEMPOOL_ATTR_*_MEM_*
RELEASE_THRESHOLD = 4
DEVICE_LOCATION = 1
PINNED_ALLOCATION = 1
ATTACH_GLOBAL = 1
CPU = -1
IPC_LAZY_PEER_ACCESS = 1


class PoolProperties(ctypes.Structure):
    _fields_ = [("allocation", ctypes.c_int), ("handles", ctypes.c_int), ("location", ctypes.c_int * 2),
                ("security", ctypes.c_void_p), ("max_size", ctypes.c_size_t), ("reserved", ctypes.c_ubyte * 56)]


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_ubyte * 64)]


class Driver:
    """The driver's calls; any that fails ends the program."""

    def __init__(self):
        self.driver = ctypes.CDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.cuInit(0)
        self.cuDeviceGet(ctypes.byref(device), 0)
        self.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
        self.cuCtxSetCurrent(context)

    def __getattr__(self, name):
        function = getattr(self.driver, name)

        def call(*arguments):
            result = function(*arguments)
            if result != 0:
                sys.exit(f"{name}: the driver says {result}")

        return call


def pool_figures(driver, pool):
    figures = {}
    for name, attribute in ATTRIBUTES.items():
        value = ctypes.c_uint64()
        driver.cuMemPoolGetAttribute(pool, attribute, ctypes.byref(value))
        figures[name] = value.value
    return figures


def use_a_pool(driver):
    pool, threshold = ctypes.c_void_p(), ctypes.c_uint64(1 << 62)  # keeps what is freed
    properties = PoolProperties(allocation=PINNED_ALLOCATION)
    properties.location[:] = (DEVICE_LOCATION, 0)
    driver.cuMemPoolCreate(ctypes.byref(pool), ctypes.byref(properties))
    driver.cuMemPoolSetAttribute(pool, RELEASE_THRESHOLD, ctypes.byref(threshold))
    blocks = []
    for size in BLOCKS:
        block = ctypes.c_uint64()
        driver.cuMemAllocFromPoolAsync(ctypes.byref(block), ctypes.c_size_t(size), pool, None)
        blocks.append(block)
    driver.cuMemFreeAsync(blocks[1], None)
    driver.cuCtxSynchronize()
    figures = pool_figures(driver, pool)
    driver.cuMemFreeAsync(blocks[0], None)
    driver.cuCtxSynchronize()
    driver.cuMemPoolTrimTo(pool, ctypes.c_size_t(0))
    trimmed = pool_figures(driver, pool)
    figures["held_trimmed"], figures["used_trimmed"] = trimmed["held"], trimmed["used"]
    driver.cuMemFreeAsync(blocks[2], None)
    driver.cuCtxSynchronize()
    driver.cuMemPoolDestroy(pool)
    return figures


def move_managed_memory(driver):
    memory = ctypes.c_uint64()
    driver.cuMemAllocManaged(ctypes.byref(memory), ctypes.c_size_t(MANAGED), ATTACH_GLOBAL)
    ctypes.memset(memory.value, 1, MANAGED)
    driver.cuMemPrefetchAsync(memory, ctypes.c_size_t(MANAGED), 0, None)
    driver.cuCtxSynchronize()
    driver.cuMemPrefetchAsync(memory, ctypes.c_size_t(MANAGED), CPU, None)
    driver.cuCtxSynchronize()
    driver.cuMemFree_v2(memory)


def share(driver):
    memory, handle = ctypes.c_uint64(), Handle()
    driver.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(SHARED))
    driver.cuIpcGetMemHandle(ctypes.byref(handle), memory)
    subprocess.run([sys.executable, __file__, bytes(handle).hex()], check=True)
    driver.cuMemFree_v2(memory)


def open_shared(driver, text):
    """Twice: closed at once, and kept open to the end."""
    handle, memory = Handle.from_buffer_copy(bytes.fromhex(text)), ctypes.c_uint64()
    for close in (True, False):
        driver.cuIpcOpenMemHandle_v2(ctypes.byref(memory), handle, IPC_LAZY_PEER_ACCESS)
        driver.cuMemsetD8_v2(memory, 1, ctypes.c_size_t(SHARED))
        driver.cuCtxSynchronize()
        if close:
            driver.cuIpcCloseMemHandle(memory)


def main():
    driver = Driver()
    if len(sys.argv) > 1:
        open_shared(driver, sys.argv[1])
        return
    pool = use_a_pool(driver)
    move_managed_memory(driver)
    share(driver)
    print(json.dumps(pool))


def check_driver_memory(checks, run, told, pools, moved, imports, theirs, report):
    """`told`: the driver's figures, which the program printed. `pools`: held and used bytes in order of
    time. `moved`: bytes by kind. `imports`: size, whether closed, in order of opening; `theirs`: allocations
    of the process that imported. `report`: text."""
    checks.equal(run, "memory pool: most held, most used", [told["peak_held"], told["peak_used"]],
                 [max((row[0] for row in pools), default=None), max((row[1] for row in pools), default=None)])
    checks.holds(run, "memory pool: held and used in between", [told["held"], told["used"]], pools,
                 [told["held"], told["used"]] in pools)
    trimmed = [told["held_trimmed"], told["used_trimmed"]]
    checks.holds(run, "memory pool: held and used when it was trimmed", trimmed, pools, trimmed in pools)
    checks.equal(run, "memory pool: held and used when it was created and destroyed", [[0, 0], [0, 0]],
                 [pools[0], pools[-1]] if pools else None)
    checks.equal(run, "managed pages: bytes to the device and back", [MANAGED, MANAGED],
                 [moved.get("HtoD"), moved.get("DtoH")])
    checks.equal(run, "imported memory: size, closed", [[SHARED, 1], [SHARED, 0]], imports)
    checks.equal(run, "device allocations of the process that imported", 0, theirs)
    for said in ("The driver's memory pool on device:0", "Pages of managed memory", "opened through IPC"):
        checks.holds(run, "the report says", said, "" if said in report else report[:200], said in report)


def parts(acceptance):
    run = "the driver's own books"
    with acceptance.part(run):
        import figures

        path = acceptance.work / "driver_memory.db"
        status, text = acceptance.record(run, path, [sys.executable, pathlib.Path(__file__)], ["--host=off"])
        acceptance.checks.equal(run, "exit status", 0, status)
        _, report = acceptance.run(f"{run}, report", [acceptance.tidemark, "report", path])
        with contextlib.closing(figures.open_trace(path)) as trace:
            pools = [list(row) for row in figures.rows(
                trace, "SELECT held_bytes, used_bytes FROM driver_pool ORDER BY time_ns")]
            moved = dict(figures.rows(trace, "SELECT kind, sum(bytes) FROM migration GROUP BY kind"))
            imports = [list(row) for row in figures.rows(
                trace, "SELECT size, close_ns IS NOT NULL FROM imported_memory ORDER BY open_ns")]
            theirs = figures.rows(trace, "SELECT count(*) FROM device_allocation WHERE process_id IN "
                                         "(SELECT process_id FROM imported_memory)")[0][0]
            check_driver_memory(acceptance.checks, run, json.loads(text), pools, moved, imports,
                                theirs, report)
            acceptance.checks.equal(run, "serious losses of events", {}, figures.serious_losses(trace))


if __name__ == "__main__":
    main()
