"""Convergence diagnostics on chains whose answer is known."""

import warnings

import numpy as np
import pytest
import xarray as xr
from sklearn.exceptions import ConvergenceWarning

from gp_literate.chains import load_arviz, sample
from gp_literate.diagnostics import (
    Limits,
    as_draws,
    band_reference,
    calibration_table,
    convergence_report,
    gelman_rubin,
    geweke_joint_test,
    geweke_z,
    joint_p,
    plot_chains,
    plot_joint_test,
    plot_ranks,
    rank_among,
    rank_band,
    simulation_based_calibration,
    verdict,
    warn_unconverged,
)


def walk(rho, n=1000, chains=4, seed=1, size=()):
    "Chains with distribution N(0, 1) that remember a share ρ of the last draw."
    rng = np.random.default_rng(seed)
    x = np.empty((chains, n, *size))
    x[:, 0] = rng.standard_normal((chains, *size))
    for t in range(1, n):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * rng.standard_normal((chains, *size))
    return x


class NormalMean:
    "Mean of normal data with variance 1 and prior N(0, 1), drawn exactly; `bias` plants a mistake."

    dims, coords = {"mean": ()}, {}

    def __init__(self, n=5, bias=1.0):
        self.y, self.bias = np.zeros(n), bias

    def start(self, rng):
        return {"mean": np.array(0.0)}

    def step(self, state, rng):
        precision = 1 + len(self.y)
        state["mean"][...] = self.y.sum() / precision + self.bias * rng.standard_normal() / np.sqrt(precision)

    def record(self, state):
        return {"mean": float(state["mean"])}


def mean_prior(model, rng):
    return {"mean": np.array(rng.standard_normal())}


def mean_data(model, state, rng):
    model.y = state["mean"] + rng.standard_normal(len(model.y))


def mean_quantities(model, state):
    return {"mean": float(state["mean"]), "likelihood": -0.5 * ((model.y - state["mean"]) ** 2).sum(), "constant": 1.0}


OWN = dict(quantities=mean_quantities, draw_prior=mean_prior, draw_data=mean_data)


def test_all_forms_of_draws_give_the_same_report():
    x = walk(0.3)
    posterior = sample(NormalMean(), n_chains=2, tune=5, draws=200, seed=1)
    forms = [x, {"x": x}, xr.DataArray(x, dims=("chain", "draw")), xr.Dataset({"x": (("chain", "draw"), x)})]
    reports = [convergence_report(form) for form in forms]
    for report in reports[1:]:
        assert report.equals(reports[0])
    assert list(as_draws(posterior)) == ["mean"] and list(convergence_report(posterior).index) == ["mean"]


def test_report_is_arviz():
    x, az = walk(0.5), load_arviz()
    row = convergence_report(x).loc["x"]
    assert np.isclose(row["r_hat"], az.rhat(x)) and np.isclose(row["ess_bulk"], az.ess(x))
    assert np.isclose(row["ess_tail"], az.ess(x, method="tail"))
    assert np.isclose(row["mcse"], az.mcse(x) / x.std(), rtol=1e-3)


def test_report_shows_the_worst_element_and_leaves_constants_out():
    x = walk(0.2, size=(6,))
    x[3, :, 2] += 3
    x[:, :, 4] = 7
    report = convergence_report({"x": x, "flat": np.ones((4, 1000))})
    assert np.isclose(report.loc["x", "r_hat"], load_arviz().rhat(x[:, :, 2]))
    assert list(report["verdict"]) == ["not converged", "constant"]


@pytest.mark.parametrize(("rho", "words"), [(0.0, "good"), (0.9, "means only"), (0.999, "not converged")])
def test_verdicts(rho, words):
    assert convergence_report(walk(rho)).loc["x", "verdict"] == words


def test_limits_can_be_changed():
    row = convergence_report(walk(0.9)).loc["x"]
    assert verdict(row, 4, Limits(ess=5, r_hat=1.1)) == "good"
    assert verdict(row, 4, Limits(usable_ess=1000)) == "not converged"


def test_single_chain_is_split():
    drift = walk(0.2, chains=1) + np.linspace(0, 4, 1000)
    assert convergence_report(drift).loc["x", "verdict"] == "not converged"
    assert convergence_report(walk(0.2, n=4000, chains=1)).loc["x", "verdict"] == "good"


def test_warning_names_the_culprit_and_says_what_to_do():
    x = {"fine": walk(0.2), "bad": walk(0.2) + np.array([[0], [0], [0], [3]])}
    with pytest.warns(ConvergenceWarning, match=r"BayesC has not converged for bad .*run about") as caught:
        warn_unconverged(x, fit="BayesC", stacklevel=2)
    assert "fine" not in str(caught[0].message) and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unconverged(x, ["fine"])


def test_bad_draws_are_refused():
    with pytest.raises(ValueError, match="axes"):
        as_draws(np.zeros(100))
    with pytest.raises(ValueError, match="at least 20"):
        as_draws(np.zeros((4, 5)))
    with pytest.raises(ValueError, match="not among the draws"):
        convergence_report(walk(0.1), ["speed"])
    with pytest.raises(ValueError, match="two of them"):
        gelman_rubin(np.zeros((1, 50)))


def test_gelman_rubin_against_its_definition():
    x = walk(0.6, n=300, chains=5, seed=2) + np.array([0, 0.1, 0.2, 0, -0.3])[:, None]
    m, n = x.shape
    s2, mean = x.var(axis=1, ddof=1), x.mean(axis=1)
    W, B = s2.mean(), n * mean.var(ddof=1)
    V = (n - 1) * W / n + (1 + 1 / m) * B / n
    covariance = n / m * (np.cov(s2, mean**2)[0, 1] - 2 * x.mean() * np.cov(s2, mean)[0, 1])
    var_V = (n - 1) ** 2 / n**2 * s2.var(ddof=1) / m + ((m + 1) / (m * n)) ** 2 * 2 / (m - 1) * B**2
    var_V += 2 * (m + 1) * (n - 1) / (m * n**2) * covariance
    d = 2 * V**2 / var_V
    factor, upper = gelman_rubin(x)
    assert np.isclose(factor, np.sqrt((d + 3) / (d + 1) * V / W)) and upper > factor
    stacked = gelman_rubin(np.stack([x, walk(0.1, 300, 5)], axis=2))
    assert np.isclose(stacked[0][0], factor) and stacked[1][1] < 1.05


def test_geweke_z_is_standard_normal_and_sees_a_drift():
    z = geweke_z(walk(0.5, n=2000, chains=60, seed=3), segments=2)
    assert z.shape == (2, 60) and abs(z.iloc[0].mean()) < 0.5 and 0.8 < z.iloc[0].std() < 1.4
    drift = geweke_z(walk(0.5) + 4 * np.exp(-np.arange(1000) / 150))
    assert len(drift) == 10 and (drift.iloc[0] > 3).all() and (drift.iloc[-1].abs() < 3).all()


def test_ranks_break_ties_at_random():
    rng = np.random.default_rng(4)
    assert rank_among(0.5, np.arange(4), rng) == 1
    counts = np.bincount([rank_among(0.0, np.zeros(3), rng) for _ in range(400)])
    assert len(counts) == 4 and counts.min() > 60


def test_band_holds_what_it_promises():
    z, low, high = rank_band(100, 31)
    curves = np.random.default_rng(5).multinomial(100, np.full(32, 1 / 32), 3000).cumsum(axis=1)[:, :-1] / 100
    inside = ((curves >= low - 1e-9) & (curves <= high + 1e-9)).all(axis=1).mean()
    assert len(z) == 31 and 0.93 < inside < 0.975
    assert len(band_reference(100, 31)) == 2000


def test_joint_p():
    assert joint_p([0.01, 0.5, np.nan]) == 0.02 and joint_p([0.9, 0.8]) == 1


@pytest.mark.parametrize(("bias", "right"), [(1.0, True), (0.5, False)])
def test_both_tests_work_with_any_sampler(bias, right):
    settings = dict(n_simulations=300, thin=1, tune=1, seed=6) | OWN
    found = simulation_based_calibration(lambda: NormalMean(bias=bias), **settings)
    joint = geweke_joint_test(NormalMean(bias=bias), n_chains=60, n_steps=40, n_marginal=1000, seed=7, **OWN)
    assert "constant" not in joint.marginal
    for p in (calibration_table(found)["chi2"][["mean"]], joint.table["p"]):
        assert (joint_p(p) > 1e-3) if right else (joint_p(p) < 1e-4)


def test_seeds_and_processes_do_not_change_the_ranks():
    settings = dict(n_simulations=6, n_draws=7, thin=1, tune=1, seed=8) | OWN
    one = simulation_based_calibration(NormalMean, **settings).ranks
    assert one.equals(simulation_based_calibration(NormalMean, n_jobs=2, **settings).ranks)
    assert not one.equals(simulation_based_calibration(NormalMean, **settings | {"seed": 9}).ranks)


def test_plots_take_and_return_axes():
    axes = plot_chains({"a": walk(0.1), "b": walk(0.9)})
    assert axes.shape == (2, 2) and axes[0, 0].get_ylabel() == "a"
    found = simulation_based_calibration(NormalMean, n_simulations=40, thin=1, tune=1, **OWN)
    assert plot_ranks(found).get_xlabel()
    joint = geweke_joint_test(NormalMean(), n_chains=10, n_steps=5, n_marginal=50, **OWN)
    assert plot_joint_test({"one": joint}).get_legend() is not None
