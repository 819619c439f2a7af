"""Quality control and imputation at the size of the rice panel (413 x 36,901): seconds, peak memory, and ratios.

usage: python benchmarks/bench_quality_control.py

Uses the rice data where they can be had, otherwise a simulated set of the same size. Seconds are also given as a
multiple of the bare product of the genotypes with their transpose (float32), and memory as a multiple of the int8
genotypes.
"""
import time

import numpy as np
from measure import machine, peak_bytes, seconds

from gp_literate import datasets
from gp_literate.genotypes import Population
from gp_literate.imputation import MarkerImputer, em_relationship
from gp_literate.quality_control import (
    duplicate_markers,
    filter_call_rate,
    filter_duplicate_samples,
    filter_hardy_weinberg,
    filter_ld,
    filter_maf,
)


def population():
    "(Population, where it is from): 413 x 36,901 with 4 % of the calls missing."
    try:
        return datasets.fetch_rice(), "rice"
    except (AttributeError, OSError) as error:
        print(f"rice data not available ({str(error).splitlines()[0]}): simulated set instead")
    rng = np.random.default_rng(1)
    founders = rng.random((36_901, 20)) < rng.uniform(0.05, 0.95, (36_901, 1))
    calls = 2 * founders[:, rng.integers(0, 20, 413)].astype(np.int8)
    calls = np.where(rng.random(calls.shape) < 0.05, 2 - calls, calls).astype(np.int8)
    calls[rng.random(calls.shape) < 0.0434] = -1
    return Population.from_array(calls.T, missing=-1), "simulated"


def measured(task):
    "(median seconds, largest bytes held beyond what was held before)."
    return seconds(task, repeats=3), peak_bytes(task)


def bare_product(dosage):
    "Seconds of one float32 product of the genotypes with their transpose."
    floats = dosage.astype(np.float32)
    return measured(lambda: floats @ floats.T)[0]


def main():
    print(machine())
    pop, source = population()
    dosage = pop.dosage
    product = bare_product(dosage)
    imputer = lambda strategy: MarkerImputer(strategy, missing=-1, coding=pop.coding, random_state=0)
    tasks = {
        "call rate": lambda: filter_call_rate(pop, 0.8),
        "minor allele frequency": lambda: filter_maf(pop, 0.05),
        "Hardy-Weinberg": lambda: filter_hardy_weinberg(pop, 0),
        "duplicate markers, pattern": lambda: duplicate_markers(pop),
        "duplicate markers, fill, inverted": lambda: duplicate_markers(pop, "fill", True),
        "duplicate markers, ignore": lambda: duplicate_markers(pop, "ignore"),
        "duplicate samples": lambda: filter_duplicate_samples(pop),
        "pruning, r2 0.2 within 50 markers": lambda: filter_ld(pop, 0.2),
    }
    for strategy in ("mean", "most_frequent", "binomial", "knn"):
        tasks[f"impute, {strategy}"] = lambda s=strategy: imputer(s).fit_transform(dosage)
    print(f"{source}: {pop.n_samples} samples x {pop.n_variants:,} markers, {(dosage < 0).mean():.1%} missing")
    print(f"bare product {product:.3f} s, int8 genotypes {dosage.nbytes / 2**20:.1f} MiB")
    for name, task in tasks.items():
        each, peak = measured(task)
        print(f"{name:<36}{each:8.2f} s {each / product:8.1f} x product {peak / dosage.nbytes:8.1f} x genotypes")
    some = dosage[:, :: max(1, pop.n_variants // 4000)]
    some = some[:, (some.max(axis=0) > 0) & ((some == 0).any(axis=0) | (some == 1).any(axis=0))]
    start = time.perf_counter()
    result = em_relationship(some, coding=pop.coding, missing=-1)[2]
    each = (time.perf_counter() - start) / len(result.changes)
    print(f"{'EM, one iteration':<36}{each:8.2f} s for {some.shape[1]:,} markers ({len(result.changes)} iterations)")


if __name__ == "__main__":
    main()
