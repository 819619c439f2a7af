"""All 179,101 crosses of the wheat lines: seconds, peak memory, and the ratio to the bare matrix products.

usage: python benchmarks/bench_crosses.py

Uses the wheat data where they can be had, otherwise a simulated set of the same size (599 x 1,279).
"""
import numpy as np
from measure import machine, peak_bytes, seconds

from gp_literate.crosses import cross_table, linked_progeny_sd
from gp_literate.simulation import uniform_map


def markers():
    "(G, where it is from): (599, 1279) int8 codes -1/1."
    try:
        from gp_literate.datasets import fetch_wheat

        return fetch_wheat().markers("-1/1").to_numpy(), "wheat"
    except OSError as error:
        print(f"wheat data not available ({str(error).splitlines()[0]}): simulated set instead")
    return np.random.default_rng(1).choice(np.array([-1, 1], np.int8), (599, 1279)), "simulated"


def main():
    print(machine())
    G, source = markers()
    n, p = G.shape
    u = np.random.default_rng(2).normal(0, 0.01, p)
    double, single, weighted = G.astype(float), G.astype(np.float32), G * u**2
    gmap = uniform_map(p, 21)
    products = seconds(lambda: (weighted @ double.T, single @ single.T))
    table = seconds(lambda: cross_table(G, u))
    linked = seconds(lambda: linked_progeny_sd(G, u, gmap), repeats=3)
    peak = peak_bytes(lambda: cross_table(G, u))
    kept = cross_table(G, u).memory_usage(deep=True).sum()
    print(f"{source}: {n} lines x {p} markers, {n * (n - 1) // 2:,} crosses")
    print(f"{'bare products (float64 and float32)':<40}{products:8.3f} s")
    print(f"{'cross_table':<40}{table:8.3f} s   ratio {table / products:.1f}")
    print(f"{'linked_progeny_sd, 21 chromosomes':<40}{linked:8.3f} s   ratio {linked / products:.1f}")
    print(f"{'peak memory of cross_table':<40}{peak / 2**20:8.1f} MiB, of which the table {kept / 2**20:.1f} MiB; "
          f"int8 markers {G.nbytes / 2**20:.2f} MiB, n x n float64 {8 * n * n / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
