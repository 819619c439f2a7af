"Samplers that the tests of draws, stores and chains share."

import errno
import time

import numpy as np
import xarray as xr


class Walk:
    "A walk in p dimensions, with a matrix, a count, a yes/no variable and numbers recorded."

    def __init__(self, p=20, pause=0.0, labels=None, shift=0.0):
        self.p, self.pause, self.shift = p, pause, shift
        self.dims = {"x": ("marker",), "pair": ("trait", "marker"), "positive": ("marker",), "times": ("marker",)}
        self.dims |= {"first": (), "largest": ()}
        self.coords = {"marker": [f"m{i}" for i in range(p)] if labels is None else labels, "trait": ["a", "b"]}

    def start(self, rng):
        return {"x": rng.normal(0, 3, self.p), "times": np.zeros(self.p, int), "iteration": np.array(0)}

    def step(self, state, rng):
        state["x"] *= 0.7
        state["x"] += rng.standard_normal(self.p) + self.shift
        state["times"] += state["x"] > rng.random()
        state["iteration"] += 1
        if self.pause:
            time.sleep(self.pause)

    def record(self, state):
        x = state["x"]
        out = {"x": x, "pair": np.stack([x, x**2]), "positive": x > 0, "times": state["times"]}
        return out | {"first": x[0], "largest": float(x.max())}


class Broken(Walk):
    "Goes wrong in some iteration, in some way."

    def __init__(self, how, at):
        super().__init__(4)
        self.how, self.at = how, at

    def step(self, state, rng):
        super().step(state, rng)
        if state["iteration"] == self.at:
            if self.how == "raises":
                raise ZeroDivisionError("no variance left")
            if self.how == "system":
                raise PermissionError(errno.EACCES, "not yours")
            state["x"][1] = {"nan": np.nan, "inf": np.inf}[self.how]


def same(a, b):
    "Every draw and every summary equal to the last bit."
    xr.testing.assert_identical(a.draws.load(), b.draws.load())
    for name in ("mean", "sd", "chain_mean", "chain_sd"):
        xr.testing.assert_identical(getattr(a, name), getattr(b, name))


SMALL = {"n_chains": 3, "tune": 15, "draws": 40, "thin": 2, "seed": 11}
