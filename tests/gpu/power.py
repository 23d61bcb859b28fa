"""Power and energy in a trace against NVML's own figures, read beside the recording.

The counter of energy only rises, so what the trace says of a time must lie between what was read last
before it and first after it. The first reading is taken before the recording, the last one after it."""

import bisect
import contextlib
import ctypes
import sys
import threading
import time

import figures

PERIOD_SECONDS = 0.02
LEAST_ROWS = 5
WATTS_SLACK = 1.05  # a reading every 20 ms can miss a figure that the recorder saw


class Nvml:
    """The device on a bus, as `nvidia-smi` counts it."""

    def __init__(self):
        self.nvml = ctypes.CDLL("libnvidia-ml.so.1")
        self.must(self.nvml.nvmlInit_v2())
        self.device = ctypes.c_void_p()

    @staticmethod
    def must(result):
        if result != 0:
            raise OSError(f"NVML says {result}")

    def choose(self, index):
        self.must(self.nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(self.device)))

    def read(self):
        """(milliwatts, millijoules since the driver was loaded)"""
        power, energy = ctypes.c_uint(), ctypes.c_ulonglong()
        self.must(self.nvml.nvmlDeviceGetPowerUsage(self.device, ctypes.byref(power)))
        self.must(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.device, ctypes.byref(energy)))
        return power.value, energy.value


class Readings:
    """Reads in a thread until it is closed: [(monotonic ns before, after, mW, mJ)]."""

    def __init__(self, nvml):
        self.nvml = nvml
        self.rows = []
        self.done = threading.Event()
        self.read()
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def read(self):
        before = time.monotonic_ns()
        power, energy = self.nvml.read()
        self.rows.append((before, time.monotonic_ns(), power, energy))

    def loop(self):
        while not self.done.wait(PERIOD_SECONDS):
            self.read()

    def close(self):
        self.done.set()
        self.thread.join()
        self.read()


def outside(readings, rows):
    """Those rows (monotonic ns, mW, mJ) whose energy no reading around them admits."""
    ends = [after for _, after, _, _ in readings]
    begins = [before for before, _, _, _ in readings]
    wrong = []
    for time_ns, power, energy in rows:
        before = bisect.bisect_right(ends, time_ns) - 1
        after = bisect.bisect_left(begins, time_ns)
        low = readings[before][3] if before >= 0 else 0
        high = readings[after][3] if after < len(readings) else readings[-1][3]
        if energy is None or not low <= energy <= high:
            wrong.append((time_ns, power, energy, low, high))
    return wrong


def check_power(checks, run, readings, rows):
    """`rows`: (monotonic ns, mW, mJ) of the trace, in order of time."""
    checks.holds(run, "rows of device_power", f">= {LEAST_ROWS}", len(rows), len(rows) >= LEAST_ROWS)
    wrong = outside(readings, rows)
    checks.equal(run, "rows whose energy lies outside of NVML's readings around them", [], wrong[:3])
    most = max(power for _, _, power, _ in readings)
    highest = max((power for _, power, _ in rows), default=0)
    checks.holds(run, "highest power, W", f"above 0, at most what NVML said: {most / 1000:.0f}",
                 round(highest / 1000), 0 < highest <= WATTS_SLACK * most)


def parts(acceptance):
    run = "power of gpt2"
    with acceptance.part(run):
        nvml = Nvml()
        nvml.choose(0)
        path = acceptance.work / "power.db"
        readings = Readings(nvml)
        try:
            status, _ = acceptance.record(
                run, path, [sys.executable, acceptance.options.samples / "pytorch" / "gpt2.py", "--steps", "40"],
                ["--host=off"])
        finally:
            readings.close()
        acceptance.checks.equal(run, "exit status", 0, status)
        with contextlib.closing(figures.open_trace(path)) as trace:
            start = int(figures.one(trace, "SELECT value FROM meta WHERE key = 'start_monotonic_ns'"))
            rows = [(start + time_ns, power, energy) for time_ns, power, energy in figures.rows(
                trace, "SELECT time_ns, power_mw, energy_mj FROM device_power WHERE bus = (SELECT lower(value) "
                       "FROM meta WHERE key = 'cuda.device.0.pci_bus') ORDER BY time_ns")]
        check_power(acceptance.checks, run, readings.rows, rows)
        acceptance.texts("power", path)
        _, report = acceptance.run(f"{run}, report", [acceptance.tidemark, "report", path])
        said = [line for line in report.splitlines() if line.startswith("Power of device:0")]
        acceptance.checks.equal(run, "lines of the report about power", 1, len(said))
        acceptance.checks.figure(run, "what the report says", said)
