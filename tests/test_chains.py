"""The chain runner: the same draws however they were made, and errors that say where."""

import os
import signal
import time

import joblib
import numpy as np
import pytest
import xarray as xr
from chain_samplers import SMALL, Broken, Walk, same

from gp_literate import chains
from gp_literate.chains import ChainError, estimate, open_posterior, sample


def test_jobs_threads_and_processes_give_the_same_draws():
    one = sample(Walk(), **SMALL)
    same(one, sample(Walk(), n_jobs=2, **SMALL))
    with joblib.parallel_config(backend="loky", n_jobs=2):
        same(one, sample(Walk(), **SMALL))


def test_processes_can_share_a_store(tmp_path):
    with joblib.parallel_config(backend="loky", n_jobs=2):
        stored = sample(Walk(), store=tmp_path / "run", **SMALL)
        with pytest.raises(ChainError, match=r"chain \d stopped at iteration 30 of 95.*no variance left"):
            sample(Broken("raises", 30), **SMALL)
    same(stored, sample(Walk(), store=tmp_path / "other", **SMALL))


def test_a_chain_does_not_depend_on_how_many_there_are():
    few, many = sample(Walk(), **SMALL), sample(Walk(), **SMALL | {"n_chains": 5})
    xr.testing.assert_identical(few.draws, many.draws.isel(chain=slice(0, 3)))
    assert not np.array_equal(many.draws["x"][0], many.draws["x"][1])


class Pressed(Walk):
    "Presses Ctrl-C once, in the 300th iteration of a chain."

    pressed = False

    def step(self, state, rng):
        super().step(state, rng)
        if state["iteration"] == 300:
            if not self.pressed:
                self.pressed = True
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.15)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupted(tmp_path, n_jobs):
    options = {"n_chains": 2, "tune": 100, "draws": 2000, "seed": 5, "n_jobs": n_jobs}
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="to go on"):
        sample(Pressed(), store=tmp_path / "run", **options)
    with pytest.raises(KeyboardInterrupt, match="nothing was stored"):
        sample(Pressed(), **options)
    assert signal.getsignal(signal.SIGINT) is before
    assert min(open_posterior(tmp_path / "run").info["count"]) < 2000
    same(sample(Walk(), store=tmp_path / "run", **options), sample(Walk(), **options))


@pytest.mark.parametrize("how", ["raises", "system", "nan", "inf"])
@pytest.mark.parametrize("at", [7, 30])
def test_errors_name_chain_and_iteration(how, at):
    place = 15 if how in ("nan", "inf") and at < 15 else at + (at - 15) % 2 if how in ("nan", "inf") else at
    words = {"raises": "ZeroDivisionError: no variance", "system": "not yours"}.get(how, "not finite")
    with pytest.raises(ChainError, match=rf"chain 0 stopped at iteration {place} of 95: .*{words}"):
        sample(Broken(how, at), **SMALL)


def test_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(chains, "available_memory", lambda: 2e5)
    sample(Walk(), **SMALL)
    with pytest.raises(MemoryError, match='keep="scalars"'):
        sample(Walk(), **SMALL | {"draws": 5000})
    sample(Walk(), keep="scalars", **SMALL | {"draws": 500})
    assert chains.available_memory() == 2e5


def test_estimate(tmp_path):
    walk = Walk(1000)
    posterior = sample(walk, **SMALL)
    guess = estimate(walk, n_chains=3, tune=15, draws=40, thin=2)
    assert guess.draws == sum(values.nbytes for values in posterior.draws.data_vars.values())
    assert guess.store == 0 and 0 < guess.iteration < 0.01 and guess.seconds == pytest.approx(guess.iteration * 95 * 3)
    assert "iterations/s" in repr(guess)
    options = {"n_chains": 3, "tune": 15, "draws": 40, "thin": 2}
    stored = estimate(walk, store=tmp_path / "run", timed=False, **options)
    assert not (tmp_path / "run").exists() and np.isnan(stored.iteration)
    sample(walk, store=tmp_path / "run", seed=1, **options)
    size = sum(file.stat().st_size for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert size < stored.store * 1.1 + 50_000
    assert chains.available_memory() > 1e6


def test_progress(capsys):
    sample(Walk(), progress=True, n_jobs=2, **SMALL)
    assert "285/285" in capsys.readouterr().err


def test_sampling_in_a_thread_of_another():
    "Cross-validation folds run side by side, each with chains: no signal handler there, the same draws."
    found = joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(sample)(Walk(), **SMALL) for _ in range(2))
    same(*found)
