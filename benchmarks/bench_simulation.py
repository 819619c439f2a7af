"""Simulated populations: processor seconds and peak memory, and the ratio to what cannot be avoided, copying alleles.

usage: python benchmarks/bench_simulation.py [small]

The history of Pungpapong et al. (2012): 1,000 generations of 100, then seven generations, 12,200 recorded. The NAM
population: 5,000 lines at 284,025 markers (with `small`: 1,000 at 20,000), in memory and in a memory map; the
reference is one plain write of as many bytes.
"""
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import machine, peak_bytes

from gp_literate.breeding_history import breed, founder_pairs, history_replicates, simulate_history, snp_qtl_map
from gp_literate.nam_design import founder_lines, ril_mosaic, simulate_nam
from gp_literate.trait_architecture import genetic_parts, sample_architecture


def row(what, took, unit, peak=None):
    ratio = f"ratio {took / unit:6.1f}" if unit else " " * 12
    print(f"{what:<62}{took:8.3f} s   {ratio}" + ("" if peak is None else f"   peak {peak / 2**20:7.0f} MiB"))


def seconds(task, repeats=3):
    "Median processor seconds of a call, after one that warms up."
    task()
    return statistics.median(once(task) for _ in range(repeats))


def once(task):
    "Processor seconds of one call, which other work on the machine does not lengthen much."
    start = time.process_time()
    task()
    return time.process_time() - start


def history():
    gmap, is_qtl = snp_qtl_map(1000, 1000, seed=1)
    parents, rate = founder_pairs(50, 2000, 0.5, 1), np.where(is_qtl, 2.5e-5, 2.5e-3)
    copy = seconds(lambda: [parents.haplotypes.copy() for _ in range(1000)], 3)
    step = seconds(lambda: [breed(parents, 100, gmap, rate, seed=1) for _ in range(100)], 3) * 10
    plain = seconds(lambda: [breed(parents, 100, gmap, 0.0, seed=1) for _ in range(100)], 3) * 10
    row("1,000 plain copies of 100 x 2 x 2,000 alleles", copy, copy)
    row("1,000 generations without mutation", plain, copy)
    row("1,000 generations with mutation", step, copy)
    one = lambda: simulate_history(seed=1)
    row("one replicate, 12,200 recorded", once(one), copy, peak_bytes(one))
    row("five replicates, one after the other", once(lambda: [None for _ in history_replicates(5, 2)]), copy)


def architecture():
    x = np.random.default_rng(1).binomial(2, 0.3, (2000, 5000)).astype(np.int8)
    contig = np.repeat(np.arange(10), 500)
    make = lambda: sample_architecture(x, 1000, 0.3, dominance=(0.2, 0.3), epistasis="global", contig=contig, seed=2)
    drawn = make()
    row("draw 1,000 QTL with dominance and epistasis, 2,000 x 5,000", seconds(make, 3), 0)
    row("their values", seconds(lambda: genetic_parts(x, drawn), 3), 0)


def nam(n_markers, lines):
    n = 25 * lines
    write = once(lambda: np.ones((n_markers, n), np.int8))
    row(f"one write of {n:,} x {n_markers:,} bytes ({n * n_markers / 2**20:,.0f} MiB)", write, write)
    row("26 founders", once(lambda: founder_lines(26, n_markers, seed=1)), write)
    row("breakpoints of the lines", once(lambda: ril_mosaic(n, seed=1)), write)
    whole = lambda **where: simulate_nam(25, lines, n_markers, seed=1, **where)
    row("the NAM population, in memory", once(whole), write, peak_bytes(whole))
    with tempfile.TemporaryDirectory() as folder:
        first, second = (Path(folder) / name for name in ("one.npy", "two.npy"))
        took = once(lambda: whole(store=first))
        row("the NAM population, in a memory map", took, write, peak_bytes(lambda: whole(store=second)))


def main():
    print(machine())
    history()
    architecture()
    nam(*((20_000, 40) if "small" in sys.argv[1:] else (284_025, 200)))


if __name__ == "__main__":
    main()
