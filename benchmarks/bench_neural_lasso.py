"""NeuralLasso on a processor: plain TensorFlow step, matrix product and compiled passes; one model and many.

Usage: python bench_neural_lasso.py [one] [many]

300 lines × 33,569 markers, N = 2, as in the paper's rice data. Milliseconds of processor time per training step: the
machine may be shared, and every way runs on one thread.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np  # noqa: E402
from measure import machine  # noqa: E402

from gp_literate.neural_passes import BytePasses, CarrierPasses, list_carriers  # noqa: E402
from gp_literate.neural_training import Job, KerasPasses, learning_rates, step_sizes  # noqa: E402
from gp_literate.neural_window import make_window, start_parameters, window_layer  # noqa: E402

LINES, MARKERS = 300, 33_569
SIZES = step_sizes(learning_rates(3000))


def population(seed=0):
    "Called genotypes (markers, lines) with rarer allele counted, and a phenotype."
    rng = np.random.default_rng(seed)
    frequency = rng.uniform(0.05, 0.5, (MARKERS, 1))
    G = rng.binomial(2, frequency, (MARKERS, LINES)).astype(np.int8)
    y = rng.standard_normal(50) @ G[rng.choice(MARKERS, 50, replace=False)]
    return G, ((y - y.mean()) / y.std() + rng.standard_normal(LINES)).astype(np.float32)


def job_of(y, models):
    lam = np.geomspace(5, 50, models).astype(np.float32)
    return Job(make_window(), np.repeat(y[None], models, 0), np.ones((models, LINES), np.float32), lam)


def step_ms(passes, steps, models=1):
    "Processor time of a step and model, after a call that compiles."
    state = passes.start(*start_parameters(passes.job.window, MARKERS, (0.001, 0.001, 0.0)))
    passes.run(state, 0, 2)
    begin = time.process_time()
    passes.run(state, 2, 2 + steps)
    return 1e3 * (time.process_time() - begin) / steps / models


def tensorflow_ms(G, y, steps=3):
    "The step as a TensorFlow program has it: the layer, GradientTape, Keras' Adam, a graph without XLA."
    import keras
    import tensorflow as tf

    layer, Z, target = (
        window_layer()(models=1, window=make_window(), lam=20.0),
        tf.constant(G.T, tf.float32),
        y[:, None],
    )
    layer.build(Z.shape)
    adam = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 3000, alpha=1e-2))
    adam.build(layer.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((target - layer(Z)) ** 2) + sum(layer.losses)
        adam.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)

    step()
    begin = time.process_time()
    for _ in range(steps):
        step()
    return 1e3 * (time.process_time() - begin) / steps


def one(G, y):
    program = tensorflow_ms(G, y)
    plain = step_ms(KerasPasses(job_of(y, 1), G.T, SIZES), 4)
    product = step_ms(KerasPasses(job_of(y, 1), G.T, SIZES, table=True), 10)
    fast = step_ms(BytePasses(job_of(y, 1), G, SIZES), 40)
    print(f"one model, ms per step: TensorFlow {program:.0f}, window compiled by XLA {plain:.0f}, ", end="")
    print(f"matrix product compiled by XLA {product:.1f}, bytes {fast:.2f}")
    ratios = f"TensorFlow {program / fast:.0f}, window {plain / fast:.0f}, product {product / fast:.1f}"
    print(f"  as many times as long as bytes: {ratios}", flush=True)
    return plain, product, fast


def many(G, y, alone=None):
    plain, product, fast = alone or one(G, y)
    carriers = list_carriers(G)
    print(f"carriers: {carriers.lines.nbytes / G.nbytes:.2f} bytes a genotype")
    for models in (8, 32, 64):
        together = step_ms(CarrierPasses(job_of(y, models), carriers, SIZES), 5, models)
        print(f"{models} models together, carriers: {together:.2f} ms per step and model; one after another takes")
        ways = {"bytes": fast, "matrix product": product, "plain": plain}
        print("  " + ", ".join(f"{each / together:.1f} × as long by {name}" for name, each in ways.items()), flush=True)
    together = step_ms(KerasPasses(job_of(y, 16), G.T, SIZES, table=True), 4, 16)
    print(f"16 models together, matrix product: {together:.2f} ms; one after another: {product / together:.1f} ×")
    together = step_ms(KerasPasses(job_of(y, 4), G.T, SIZES), 2, 4)
    print(f"4 models together, plain: {together:.0f} ms; one after another: {plain / together:.1f} ×")


if __name__ == "__main__":
    print(machine(), "| processor time, one thread")
    G, y = population()
    parts = sys.argv[1:] or ["one", "many"]
    alone = one(G, y)
    if "many" in parts:
        many(G, y, alone)
