"""What the chain runner adds to a sampler: microseconds an iteration, and the store against a plain file.

usage: python benchmarks/bench_chains.py

The sampler does nothing, so that all time is the runner's. Its draw is that of a model of marker effects: p effects, p
yes/no indicators and four numbers. The overhead of an iteration is processor time, the difference of a long and a short
run divided by the iterations between them. The store gets 160 MB of draws of 20,000 float32 each, in blocks of 8 MB;
beside it stand the same bytes written to one plain file in the same blocks. Processor time counts all threads and the
system; seconds depend on what else the machine and its disk have to do.
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import machine

from gp_literate.chains import estimate, sample
from gp_literate.draw_store import open_posterior


class Nothing:
    "Records p effects and indicators and four numbers, and does nothing."

    dims = {"effect": ("marker",), "included": ("marker",)} | {name: () for name in "abcd"}
    coords = {}

    def __init__(self, p):
        self.p = p
        self.draw = {"effect": np.random.default_rng(1).normal(size=p), "included": np.zeros(p, bool)}
        self.draw |= dict.fromkeys("abcd", 1.0)

    def start(self, rng):
        return {"effect": np.zeros(self.p)}

    def step(self, state, rng):
        pass

    def record(self, state):
        return self.draw


def overhead(p, keep, recorded, n):
    "Microseconds that one iteration takes."

    def once(count):
        begun = time.process_time()
        sizes = {"tune": 0, "draws": count} if recorded else {"tune": count, "draws": 1}
        sample(Nothing(p), n_chains=1, keep=keep, seed=1, **sizes)
        return time.process_time() - begun

    once(2)
    return statistics.median((once(n) - once(max(n // 10, 1))) / (n - max(n // 10, 1)) for _ in range(5)) * 1e6


def plain_file(path, block, n):
    "The bytes of the store in one file."
    with open(path, "wb") as file:
        for _ in range(n):
            file.write(block)


def wall_and_processor(task, repeats=5):
    "Median seconds of a call, on the wall clock and of the processors."
    task()
    found = []
    for _ in range(repeats):
        begun = time.perf_counter(), time.process_time()
        task()
        found.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    return [statistics.median(column) for column in zip(*found, strict=True)]


def main():
    print(machine())
    print(f"{'one iteration':<44}{'markers':>9}{'microseconds':>14}")
    for text, recorded, keep in (("not recorded", False, []), ("recorded: mean and sd of everything", True, []),
                                 ("recorded, all draws kept in memory", True, "all")):  # fmt: skip
        for p, n in ((1_000, 20_000), (10_000, 5_000), (100_000, 400)):
            if recorded or p == 1_000:
                taken = overhead(p, keep, recorded, n if recorded else 200_000)
                print(f"{text:<44}{p if recorded else '':>9}{taken:>14.2f}")

    p, draws = 20_000, 2_000
    size = p * draws * 4
    folder = Path(tempfile.mkdtemp())
    one = {"n_chains": 1, "tune": 0, "draws": draws, "seed": 1, "keep": ["effect"]}
    block = np.random.default_rng(1).normal(size=(104, p)).astype(np.float32)

    def stored(checkpoint):
        shutil.rmtree(folder / "run", ignore_errors=True)
        sample(Nothing(p), store=folder / "run", checkpoint=checkpoint, **one)

    rows = {
        "a plain file": lambda: plain_file(folder / "plain", block, draws // len(block)),
        "no store, means and sds only": lambda: sample(Nothing(p), **one | {"keep": []}),
        "no store, draws in memory": lambda: sample(Nothing(p), **one),
        "store": lambda: stored(1e9),
        "store, a checkpoint every tenth of a second": lambda: stored(0.1),
        "reading it back": lambda: open_posterior(folder / "run").draws["effect"].load(),
    }
    print(f"\n{size / 1e6:.0f} MB of draws, {p:,} float32 each\n{'':<44}{'seconds':>9}{'MB/s':>8}{'processor s':>13}")
    for text, task in rows.items():
        wall, processor = wall_and_processor(task)
        print(f"{text:<44}{wall:>9.3f}{size / 1e6 / wall:>8.0f}{processor:>13.3f}")
    shutil.rmtree(folder)
    print(f"\nestimate for 100,000 markers, 4 × 5,000 draws:\n{estimate(Nothing(100_000), draws=5000, timed=False)}")


if __name__ == "__main__":
    main()
