"""NeuralLasso on whatever device Keras sees: time per step, models per second, share of memory bandwidth and of FLOP/s.

Usage: KERAS_BACKEND=tensorflow|jax|torch python bench_neural_lasso_gpu.py [lines] [markers]

Default 300 × 33,569. Without a graphics processor it runs on the processor, with few models, and says so. The bandwidth
and the FLOP/s it is held against are measured first, by a copy and a matrix product of single precision in Keras.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from gp_literate.neural_training import Job, KerasPasses, compiled, device_name, learning_rates, step_sizes
from gp_literate.neural_window import import_keras, make_window, start_parameters

STEPS = 3000  # of one model, as in the paper


def wall(task, repeats):
    "Seconds a call, after one that compiles."
    task()
    begin = time.perf_counter()
    for _ in range(repeats):
        task()
    return (time.perf_counter() - begin) / repeats


def reachable(gpu):
    "Bytes per second of x + 1, FLOP per second of a matrix product; part of each result is fetched, to wait for it."
    ops = import_keras().ops
    n, side = (2**28, 8192) if gpu else (2**25, 2048)
    x, A = ops.ones((n,), "float32"), ops.ones((side, side), "float32")
    copy, product = compiled(lambda x: x + 1.0), compiled(lambda A: ops.matmul(A, A))
    fetch = ops.convert_to_numpy
    bytes_per_second = 2 * 4 * n / wall(lambda: fetch(copy(x)[:1]), 5)
    return bytes_per_second, 2 * side**3 / wall(lambda: fetch(product(A)[:1, :1]), 5)


def work(way, models, n, p, offsets=5):
    "Least bytes moved and FLOP of a step: genotypes once each way, parameters and Adam's moments read and written."
    state = models * 2 * offsets * p * 3 * 2 * 4
    if way == "product":
        return 2 * 4 * n * 2 * p + state, 2 * 2 * models * n * 2 * p
    return 2 * 4 * n * p + state, models * n * p * offsets * 10


def main(n=300, p=33_569):
    device, rng = device_name(), np.random.default_rng(0)
    gpu = "CPU" not in device
    note = "" if gpu else "; no graphics processor here, so this is the processor"
    print(f"{device}; {n:,} lines × {p:,} markers{note}")
    bandwidth, flops = reachable(gpu)
    print(f"reachable: {bandwidth / 1e9:.0f} GB/s, {flops / 1e12:.2f} TFLOP/s (single precision)", flush=True)
    Z = rng.binomial(2, 0.3, (n, p)).astype(np.int8)
    y, window, sizes = rng.standard_normal(n).astype(np.float32), make_window(), step_sizes(learning_rates(STEPS))
    for way, counts in {"product": (1, 16, 256) if gpu else (1, 8), "window": (1, 16) if gpu else (1,)}.items():
        for models in counts:
            ones, lam = np.ones((models, n), np.float32), np.full(models, 20, np.float32)
            job = Job(window, np.repeat(y[None], models, 0), ones, lam)
            passes = KerasPasses(job, Z, sizes, table=way == "product")
            state, steps = passes.start(*start_parameters(window, p)), 100 if gpu else 3
            seconds = wall(lambda s=state, k=steps, run=passes.run: run(list(s), 0, k), 3 if gpu else 1) / steps
            moved, done = work(way, models, n, p)
            rate = (
                f"{1e3 * seconds:.2f} ms a step, {models / (STEPS * seconds):.3f} models of {STEPS:,} steps per second"
            )
            shares = f"{moved / seconds / bandwidth:.0%} of the bandwidth, {done / seconds / flops:.0%} of the FLOP/s"
            print(f"{way}, {models} models: {rate}, {shares}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
