"""Samplers, seeds, moments and the posterior: what is recorded is what comes back."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from chain_samplers import SMALL, Walk, same

from gp_literate import draws
from gp_literate.chains import ChainError, load_arviz, sample
from gp_literate.draws import Posterior


def test_seeds():
    root = np.random.SeedSequence(11)
    root.spawn(3)  # what was spawned before does not matter
    same(sample(Walk(), **SMALL), sample(Walk(), **SMALL | {"seed": root}))
    root = np.random.SeedSequence(np.array([11, 12]), spawn_key=(3,))
    assert draws.seed_root(root).entropy == [11, 12]  # as it is written to a store
    same(sample(Walk(), **SMALL | {"seed": root}), sample(Walk(), **SMALL | {"seed": draws.seed_root(root)}))
    from_generator = [sample(Walk(), **SMALL | {"seed": np.random.default_rng(1)}) for _ in range(2)]
    same(*from_generator)
    unseeded = [sample(Walk(), **SMALL | {"seed": None}) for _ in range(2)]
    assert not np.array_equal(unseeded[0].draws["x"], unseeded[1].draws["x"])
    assert unseeded[0].info["seed"] > 2**64
    expected = [np.random.Generator(np.random.PCG64(child)).random() for child in np.random.SeedSequence(11).spawn(4)]
    assert [draws.chain_generator(draws.seed_root(11), k).random() for k in range(4)] == expected


def test_moments_equal_those_of_the_draws():
    posterior = sample(Walk(), **SMALL | {"draws": 300})
    draws = posterior.draws.astype(float)
    for name in posterior.mean:
        tolerance = {"rtol": 1e-5, "atol": 1e-6}  # arrays are kept in single precision
        np.testing.assert_allclose(posterior.mean[name], draws[name].mean(("chain", "draw")), **tolerance)
        np.testing.assert_allclose(posterior.sd[name], draws[name].std(("chain", "draw"), ddof=1), **tolerance)
        np.testing.assert_allclose(posterior.chain_mean[name], draws[name].mean("draw"), **tolerance)
        np.testing.assert_allclose(posterior.chain_sd[name], draws[name].std("draw", ddof=1), **tolerance)


def test_moments_far_from_zero():
    x = 1e12 + np.random.default_rng(1).standard_normal((1000, 3))
    mean, square = np.zeros(3), np.zeros(3)
    for t, row in enumerate(x, 1):
        assert draws.add_to_moments(row, t, mean, square) == 0
    np.testing.assert_allclose(np.sqrt(square / 999), x.std(axis=0, ddof=1), rtol=1e-4)


def test_types_dimensions_and_labels():
    draws = sample(Walk(), **SMALL).draws
    assert draws["pair"].dims == ("chain", "draw", "trait", "marker")
    types = {name: str(values.dtype) for name, values in draws.items()}
    expected = {"x": "float32", "pair": "float32", "positive": "bool", "times": "int64"}
    assert types == expected | {"first": "float64", "largest": "float64"}
    assert list(draws["trait"].values) == ["a", "b"] and draws.sizes["draw"] == 40


@pytest.mark.parametrize("store", [False, True])
def test_keep(store, tmp_path):
    everything = sample(Walk(), **SMALL)
    for keep, names in {"scalars": ["first", "largest"], ("x", "first"): ["x", "first"], (): []}.items():
        path = tmp_path / str(len(names)) / str(keep[:1]) if store else None
        some = sample(Walk(), keep=keep, store=path, **SMALL)
        assert list(some.draws) == names
        xr.testing.assert_identical(some.sd, everything.sd)
        xr.testing.assert_equal(some.draws.load()[names], everything.draws[names])
    with pytest.raises(ValueError, match="no draws were kept"):
        some.to_arviz()
    assert some.summary()["ess_bulk"].isna().all() and some.summary()["mean"].notna().all()


def test_labels_as_numbers_and_none(tmp_path):
    labels = np.array([0.5, 1.25, 7.0])
    for path in (None, tmp_path / "numbers"):
        posterior = sample(Walk(3, labels=labels), store=path, **SMALL)
        assert posterior.draws.sel(marker=1.25)["x"].shape == (3, 40)
        assert posterior.mean["marker"].dtype == float
    unnamed = Walk(3)
    unnamed.coords = {}
    assert list(sample(unnamed, **SMALL).draws["marker"]) == [0, 1, 2]
    objects = pd.Index(["rs1", "rs2", "rs3"], dtype=object)
    stored = sample(Walk(3, labels=objects), store=tmp_path / "objects", **SMALL)
    assert stored.draws.sel(marker="rs2")["x"].shape == (3, 40)


def test_one_draw_and_no_tuning():
    one = sample(Walk(), n_chains=1, tune=0, draws=1, seed=1)
    assert np.isfinite(one.mean["x"]).all() and one.sd["x"].isnull().all() and one.n_draws == 1
    assert np.isnan(one.summary().loc["first", "r_hat"])


def test_arviz(tmp_path):
    for path in (None, tmp_path / "run"):
        posterior = sample(Walk(), store=path, **SMALL | {"draws": 100})
        data = posterior.to_arviz()
        assert data.posterior["x"].dims == ("chain", "draw", "marker")
        arviz = load_arviz()
        table = arviz.summary(data, var_names=["first", "x"], coords={"marker": ["m1"]}, round_to="none")
        assert list(table.index) == ["first", "x[m1]"]
        ours = posterior.summary()
        assert list(ours.index) == ["first", "largest"]
        for column in ("mean", "sd", "mcse_mean", "ess_bulk", "ess_tail", "r_hat"):
            np.testing.assert_allclose(ours.loc["first", column], table.loc["first", column], rtol=1e-9)
        assert posterior.summary(["pair"]).index[3] == "pair[a, m3]"
        with pytest.raises(ValueError, match="were not recorded"):
            posterior.summary(["y"])


def test_representation(tmp_path):
    posterior = sample(Walk(), keep="scalars", store=tmp_path / "run", **SMALL)
    assert "20 marker, mean and sd only" in repr(posterior) and "on disk" in repr(posterior)
    assert "<table" in posterior._repr_html_() and isinstance(posterior, Posterior)


@pytest.mark.parametrize(
    "bad, error",
    [
        ({"draws": 0}, ValueError), ({"draws": 1.5}, TypeError), ({"n_chains": 0}, ValueError),
        ({"thin": 0}, ValueError), ({"tune": -1}, ValueError), ({"tune": True}, TypeError),
        ({"seed": "a"}, TypeError), ({"seed": -1}, TypeError),
        ({"keep": "some"}, ValueError), ({"keep": ["nothing"]}, ValueError), ({"checkpoint": -1}, ValueError),
    ],
)  # fmt: skip
def test_bad_arguments(bad, error):
    with pytest.raises(error, match=next(iter(bad))):
        sample(Walk(), **SMALL | bad)


def test_bad_samplers():
    with pytest.raises(TypeError, match="lacks start, step"):
        sample(object())
    for attribute, value, words in (
        ("dims", {}, "lacks"),
        ("dims", Walk().dims | {"x": ()}, "has 1 axes"),
        ("dims", Walk().dims | {"x": ("draw",)}, "are taken"),
        ("dims", Walk().dims | {"x": ("first",)}, "names of variables and of axes"),
        ("coords", {"marker": ["a"]}, "has 1 labels"),
        ("coords", {"marker": [object()] * 20}, "must be one row"),
        ("record", lambda state: {"x": "text"}, "must be a number"),
    ):
        walk = Walk()
        setattr(walk, attribute, value)
        with pytest.raises(ValueError, match=words):
            sample(walk, **SMALL)
    walk = Walk()
    walk.start = lambda rng: {"x": 1.0}
    with pytest.raises(TypeError, match="must be a NumPy array"):
        sample(walk, **SMALL)


def test_a_record_that_changes_shape():
    class Growing(Walk):
        def record(self, state):
            out = super().record(state)
            return out | {"x": np.ones(20 + (state["iteration"] > 40))}

    with pytest.raises(ChainError, match="'x' has 21 values, the first record had 20"):
        sample(Growing(), **SMALL)
