"""Reading genotypes: seconds and peak memory of the process, each in a process of its own.

usage: python benchmarks/bench_genotype_files.py [SAMPLES MARKERS]      (default 5000 284025)

A table of letters as large as the rice panel (413 x 36,901), and a PLINK .bed of random bytes into memory, into a Zarr
store, and into a memory map. Ratios: to a plain read of the same bytes, and peak memory to the one-byte genotypes.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TASKS = {
    "imports only": "pass",
    "letters, 413 x 36,901": "read_letters(folder / 'letters.csv')",
    ".ped, 413 x 36,901": "read_ped(folder / 'letters.ped')",
    ".bed: plain read of its bytes": "(folder / 'big.bed').read_bytes()",
    ".bed into memory": "read_plink(folder / 'big')",
    ".bed into a Zarr store": "read_plink(folder / 'big', store=folder / 'big.zarr')",
    ".bed into a memory map": "read_plink(folder / 'big', store=folder / 'big.npy')",
    "allele frequencies from the store": "open_zarr(folder / 'big.zarr').allele_frequency()",
    "GG' of 1,000 samples from the store": "grm(open_zarr(folder / 'big.zarr').sel(samples=slice(0, 1000)))",
    ".bed written from the store": "write_plink(open_zarr(folder / 'big.zarr'), folder / 'copy')",
}
CHILD = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from gp_literate.genotype_files import read_letters, read_ped, read_plink, write_plink
from gp_literate.genotypes import open_zarr

def grm(pop):
    K = np.zeros((len(pop), len(pop)), np.float64)
    for block in pop.blocks(1024):
        G = block.dosage.astype(np.float32)
        K += G @ G.T
    return K

def peak():
    "Largest resident memory; ru_maxrss also remembers the process that started this one."
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(row.split()[1]) for row in status.read_text().splitlines() if row.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

folder = Path(sys.argv[1])
start = time.perf_counter()
result = {task}
seconds = time.perf_counter() - start
print(json.dumps([seconds, peak()]))
"""


def make_bed(prefix, n, p):
    "Random bytes are a valid .bed, if the last byte of a marker is filled up with zeros."
    rng, width = np.random.default_rng(1), -(-n // 4)
    with open(f"{prefix}.bed", "wb") as file:
        file.write(bytes([0x6C, 0x1B, 0x01]))
        for start in range(0, p, 4096):
            block = rng.integers(0, 256, (min(4096, p - start), width), np.uint8)
            if n % 4:
                block[:, -1] &= 4 ** (n % 4) - 1
            file.write(block.tobytes())
    Path(f"{prefix}.bim").write_text("".join(f"{1 + j // 15000} m{j} 0 {j} A G\n" for j in range(p)))
    Path(f"{prefix}.fam").write_text("".join(f"f s{i} 0 0 0 -9\n" for i in range(n)))


def make_letters(folder, n=413, p=36_901):
    "A table of letters and a .ped of the same calls, 4 % missing and a heterozygote in every eighth row."
    rng = np.random.default_rng(2)
    calls = rng.choice(np.array(["A", "G", "0"]), (p, n), p=[0.6, 0.36, 0.04])
    header = ",".join(["id", "chr", "position", *(f"line{i}" for i in range(n))])
    last = np.where(np.arange(p) % 8 == 0, "A/G", calls[:, -1])
    rows = [",".join([f"s{j}", "1", str(j), *row[:-1], last[j]]) for j, row in enumerate(calls)]
    (folder / "letters.csv").write_text("\n".join([header, *rows, ""]))
    with open(folder / "letters.ped", "w") as file:
        for i, row in enumerate(calls.T):
            file.write(f"f line{i} 0 0 0 -9 {' '.join(f'{c} {c}' for c in row)}\n")
    (folder / "letters.map").write_text("".join(f"1 s{j} 0 {j}\n" for j in range(p)))


def run(task, folder):
    "(seconds, peak memory) of a task in a fresh process."
    out = subprocess.run([sys.executable, "-c", CHILD.replace("{task}", task.replace("pass", "None")), str(folder)],
                         capture_output=True, text=True, check=True)
    return json.loads(out.stdout.splitlines()[-1])


def main():
    n, p = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (5000, 284_025)
    with tempfile.TemporaryDirectory() as folder:
        folder, start = Path(folder), time.perf_counter()
        make_letters(folder)
        make_bed(folder / "big", n, p)
        print(f".bed of {n:,} x {p:,}: {(folder / 'big.bed').stat().st_size / 2**20:,.0f} MiB, "
              f"{n * p / 2**20:,.0f} MiB at a byte a call; made in {time.perf_counter() - start:.0f} s")
        print(f"{'':<38}{'s':>8}{'peak MiB':>10}  peak beyond the imports / int8 genotypes")
        base = 0
        for name, task in TASKS.items():
            seconds, peak = run(task, folder)
            base = base or peak
            size = 413 * 36_901 if "413" in name else n * p
            print(f"{name:<38}{seconds:>8.2f}{peak / 2**20:>10,.0f}{(peak - base) / size:>10.2f}")


if __name__ == "__main__":
    main()
