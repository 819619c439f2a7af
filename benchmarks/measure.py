"""What every benchmark measures with: median seconds, peak memory, and a line about the machine."""

import ctypes
import os
import platform
import statistics
import time
import tracemalloc
from importlib.metadata import version
from pathlib import Path


def seconds(task, repeats=7):
    "Median time of a call, after one that warms up."
    task()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_bytes(task):
    """Largest memory held during a call beyond what was held before.

    On Linux the resident memory of the process, which includes the workspace of the linear algebra library; elsewhere
    what Python and NumPy allocate.
    """
    if not Path("/proc/self/clear_refs").exists():
        tracemalloc.start()
        task()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak
    ctypes.CDLL(None).malloc_trim(0)  # give freed memory back, or the call would use it unnoticed
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from what is resident now
    before = _resident("VmRSS")
    task()
    return max(_resident("VmHWM") - before, 0)


def _resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def machine():
    "Processor count and versions, for the head of a report."
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "gp_literate"))
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"
