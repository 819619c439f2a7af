"""NeuralLasso: the theorem, fast passes against plain ones, the lasso as a special case, backends, bad input."""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import Lasso

import gp_literate.neural_lasso as neural_lasso
from gp_literate.neural_lasso import NeuralLasso, Task, fit_many, in_chunks, search_lambda, search_many
from gp_literate.neural_passes import BytePasses, CarrierPasses, class_sums, table_gradient, table_values
from gp_literate.neural_training import Job, KerasPasses, batch_weights, learning_rates, step_sizes, train
from gp_literate.neural_window import (
    largest_interaction,
    locus_tables,
    make_window,
    start_parameters,
    window_gradient,
    window_values,
)

KERAS = importlib.util.find_spec("keras") is not None
needs_keras = pytest.mark.skipif(not KERAS, reason="Keras is not installed: the fast passes are tested without it")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

WINDOWS = {
    "published": make_window(),
    "one locus": make_window(0, "relu"),
    "linear": make_window(1, "linear"),
    "wide": make_window(3),
    "no bias": make_window(1, bias=False),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    G = rng.binomial(2, rng.uniform(0.1, 0.6, (50, 1)), (50, 36)).astype(np.int8)  # no marker without zeros
    y = G[[4, 20, 41]].T @ [1.0, -0.7, 0.6] + 0.3 * rng.standard_normal(36)
    return G, y


def a_job(window, y, M=1, loss="squares", intercept=False, batch=None):
    n = len(y)
    weight = np.ones((M, n), np.float32)
    for m in range(M):
        weight[m, m::5] = 0
    rows = tuple(np.flatnonzero(w) for w in weight)
    batches = {"batch": (batch,) * M, "rows": rows, "seeds": tuple(range(M))} if batch else {}
    y = np.where(weight > 0, y, 0).astype(np.float32)
    return Job(window, y, weight, np.linspace(0.5, 3, M).astype(np.float32), loss, intercept, **batches)


# --- the theorem ---------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3), st.integers(7, 15), st.integers(0, 2**32 - 1))
def test_window_is_additive_over_loci(neighborhood, p, seed):
    rng = np.random.default_rng(seed)
    window = make_window(neighborhood, n_markers=p)
    Z = rng.integers(0, 3, (4, p)).astype(float)
    c, b = rng.standard_normal((2, 2 * neighborhood + 1, p))
    tables, constant = locus_tables(c, b, window)
    values = window_values(Z, c, b, window)
    np.testing.assert_allclose(constant + tables[Z.astype(int), np.arange(p)].sum(axis=1), values, atol=1e-10)
    np.testing.assert_allclose(table_values(Z.T.astype(np.int8), tables, constant), values, atol=1e-10)
    pairs = [(m, m + 1) for m in range(p - 1)]
    assert largest_interaction(lambda z: window_values(z, c, b, window), Z[0], pairs) < 1e-10


def test_nonlinearity_outside_the_sum_is_not_additive():
    rng = np.random.default_rng(0)
    window, c, b = make_window(interaction=True), rng.standard_normal((5, 12)), rng.standard_normal((1, 12))
    values = lambda z: window_values(z, c, b, window)  # noqa: E731
    assert largest_interaction(values, np.ones(12), [(m, m + 1) for m in range(11)]) > 0.1
    with pytest.raises(ValueError, match="no curves of single loci"):
        locus_tables(c, b, window)


# --- values and gradients ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_three_sums_give_the_plain_gradient(window, data):
    G, _ = data
    rng = np.random.default_rng(1)
    c, b = rng.standard_normal((2, 2 * window.neighborhood + 1, len(G)))
    r = rng.standard_normal(G.shape[1])
    fast = table_gradient(class_sums(G, r), c, b, window)
    for ours, plain in zip(fast, window_gradient(G.T.astype(float), r, c, b, window), strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-11)


@needs_keras
@pytest.mark.parametrize(
    "window", [WINDOWS["published"], make_window(interaction=True)], ids=["published", "interaction"]
)
def test_keras_pass_has_the_values_and_gradients_of_numpy(window, data):
    G, y = data
    rng = np.random.default_rng(2)
    K = 2 * window.neighborhood + 1
    c, b = rng.standard_normal((K, len(G))), rng.standard_normal((1 if window.interaction else K, len(G)))
    job = a_job(window, y)
    ways = (False,) if window.interaction else (False, True)
    values = window_values(G.T.astype(float), c, b, window)
    r = np.where(job.weight[0] > 0, -2 * (job.y[0] - values), 0)
    gradient = window_gradient(G.T.astype(float), r, c, b, window)
    for table in ways:
        part, *ours = KerasPasses(job, G.T, np.ones(1), table=table).smooth_part(c, b)
        np.testing.assert_allclose(part, (r**2).sum() / 4, rtol=1e-5)
        for ga, gb in zip(ours, gradient, strict=True):
            np.testing.assert_allclose(ga, gb, rtol=1e-5, atol=1e-5 * np.abs(gb).max())


@needs_keras
@pytest.mark.parametrize(
    ("shape", "loss", "intercept", "batch"),
    [
        ("published", "squares", False, None),
        ("published", "squares", True, None),
        ("no bias", "squares", False, None),
        ("published", "norm", False, 9),
    ],
)
def test_all_ways_train_alike(shape, loss, intercept, batch, data):
    G, y = data
    window, sizes = WINDOWS[shape], step_sizes(learning_rates(60, "authors_code" if batch else "paper"))
    job = a_job(window, y, 3, loss, intercept, batch)
    begin = start_parameters(window, len(G), (0.01, 0.01, 0.0))
    plain = train(KerasPasses(job, G.T, sizes), *begin)
    many = train(CarrierPasses(job, G, sizes), *begin)
    np.testing.assert_allclose(many.history, plain.history, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(many.c, plain.c, atol=1e-4)
    first = job._replace(y=job.y[:1], weight=job.weight[:1], lam=job.lam[:1])
    if batch:
        first = first._replace(batch=job.batch[:1], rows=job.rows[:1], seeds=job.seeds[:1])
    one = train(BytePasses(first, G, sizes), *begin)
    np.testing.assert_allclose(one.c[0], plain.c[0], atol=1e-4)
    np.testing.assert_allclose(one.b[0], plain.b[0], atol=1e-4)
    assert window.bias or not one.b.any()


def test_batches_are_disjoint_within_a_round_and_repeatable(data):
    job = a_job(WINDOWS["published"], data[1], 2, "norm", batch=9)
    masks = batch_weights(job, 0, 12)
    rounds = len(job.rows[0]) // 9
    for m in range(2):
        assert (masks[:, m].sum(axis=1) == 9).all() and not masks[:, m, job.weight[m] == 0].any()
        for start in range(0, 12 - rounds + 1, rounds):
            assert masks[start : start + rounds, m].sum(axis=0).max() == 1
    np.testing.assert_array_equal(masks[5:7], batch_weights(job, 5, 7))


# --- the lasso -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("lam", [2.0, 8.0])
def test_without_neighbours_it_is_the_lasso(lam, intercept, data):
    G, y = data
    settings = {"neighborhood": 0, "activations": "linear", "bias": False, "solver": "proximal", "start": (0.0,)}
    ours = NeuralLasso(lam=lam, fit_intercept=intercept, n_iterations=20_000, tol=1e-10, **settings).fit(G.T, y)
    theirs = Lasso(lam / (2 * len(y)), fit_intercept=intercept, tol=1e-12, max_iter=100_000)
    theirs.fit(G.T.astype(float), y.astype(np.float32))
    np.testing.assert_allclose(ours.c_[0], theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.predict(G.T), theirs.predict(G.T), atol=1e-5)
    assert 0 < np.count_nonzero(theirs.coef_) < 50 and ((ours.c_[0] != 0) == (theirs.coef_ != 0)).all()


def test_adam_comes_close_to_the_lasso(data):
    G, y = data
    settings = {"neighborhood": 0, "activations": "linear", "bias": False, "lam": 5.0, "start": (0.0,)}
    adam = NeuralLasso(n_iterations=3000, **settings).fit(G.T, y)
    exact = NeuralLasso(solver="proximal", n_iterations=20_000, tol=1e-10, **settings).fit(G.T, y)
    low, reached = exact.history_["objective"].iloc[-1], adam.history_["objective"].iloc[-1]
    assert low <= reached * (1 + 1e-6) and reached < 1.02 * low


# --- the penalty ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 5.0))
def test_bisection_finds_a_single_peak(peak):
    best, tried = search_lambda(lambda x: -abs(x - peak), 1.0, 2.0, 0.01)
    assert abs(best - peak) <= 0.02 and (tried["lam"] > 0).all() and tried["lam"].is_unique


def test_bisection_moves_and_halves_as_in_the_paper():
    asked = []
    search_lambda(lambda x: asked.append(x) or -abs(x - 3.0), 1.0, 2.0, 0.3)
    assert asked == [1.5, 2.0, 1.0, 2.5, 3.0, 3.5]  # three, two moves, and the middle is best
    best, _ = search_lambda(lambda x: np.nan if x > 1.2 else -x, 1.0, 2.0, 0.3)
    assert best <= 1.2
    with pytest.raises(ValueError, match="0 < low < high"):
        search_lambda(abs, 2.0, 1.0, 0.1)


def test_search_in_step_is_the_search_one_by_one(data):
    G, y = data
    tasks = [Task(np.arange(k, 36), y[k:], np.nan, seed=k) for k in (0, 3)]
    options = {"n_iterations": 40, "lam_range": (1.0, 9.0, 1.0), "learning_rate": 0.01}
    together = search_many(G.T, tasks, **options)
    for task, (lam, _) in zip(tasks, together, strict=True):
        alone = search_many(G.T, [task], **options)[0][0]
        assert lam == pytest.approx(alone)


def test_published_search_uses_the_validation_lines(data):
    G, y = data
    model = NeuralLasso(lam="as_published", n_iterations=40, lam_range=(1.0, 9.0, 2.0), learning_rate=0.01)
    model.fit(G.T[:28], y[:28], validation=(G.T[28:], y[28:]))
    scores = model.lam_search_.set_index("lam")["score"]
    for lam in scores.index:
        tried = clone(model).set_params(lam=lam).fit(G.T[:28], y[:28])
        assert np.corrcoef(tried.predict(G.T[28:]), y[28:])[0, 1] == pytest.approx(scores[lam], abs=1e-3)
    assert model.lam_ == scores.idxmax()


# --- the estimator -------------------------------------------------------------------------------------------------


def test_same_seed_same_fit_and_ids(data):
    G, y = data
    X = pd.DataFrame(G.T, [f"line{i}" for i in range(36)], [f"m{j}" for j in range(50)])
    trait = pd.Series(y, X.index, name="yield")
    trait.iloc[::6] = np.nan
    options = {"protocol": "authors_code", "lam": 0.02, "n_iterations": 60, "random_state": 3}
    one, two = (NeuralLasso(**options).fit(X, t) for t in (trait, trait.sample(frac=1, random_state=1)))
    predicted = one.predict(X.iloc[:5])
    assert predicted.index.equals(X.index[:5]) and predicted.name == "yield" and one.n_lines_ == 30
    by_hand = NeuralLasso(**options).fit(X, trait)
    np.testing.assert_array_equal(by_hand.c_, one.c_)
    assert np.abs(NeuralLasso(**options | {"random_state": 4}).fit(X, trait).c_ - one.c_).max() > 0
    assert two.predict(X).index.equals(X.index)
    effects = one.locus_effects_
    assert list(effects.columns) == ["f0", "f1", "f2", "additive", "dominance"]
    assert list(effects.index[:2]) == ["m0", "m1"]
    both = effects["f0"] + effects["additive"] + effects["dominance"] - effects["f1"]
    np.testing.assert_allclose(both, 0, atol=1e-12)


def test_every_curve_is_convex_whatever_is_learnt():
    rng = np.random.default_rng(1)
    G = rng.integers(0, 3, (300, 8), dtype=np.int8)
    recessive, dominant = 2.0 * (G[:, 3] == 2), 2.0 * (G[:, 3] >= 1)  # d = -1 and d = 1
    tasks = [Task(np.arange(300), y + 0.1 * rng.normal(size=300), 1.0, 1) for y in (recessive, dominant)]
    down, up = (m.locus_effects_ for m in fit_many(G, tasks, n_iterations=2000))
    assert max(up["dominance"].max(), down["dominance"].max()) < 1e-5, "a curve is bent upwards"
    assert down["dominance"].iloc[3] < -0.5 and up["dominance"].iloc[3] > -0.05 and up["additive"].iloc[3] > 0.7


def test_many_is_one_after_another(data, monkeypatch):
    G, y = data
    tasks = [Task(np.arange(36)[k:], y[k:], lam, k) for k in (0, 4) for lam in (1.0, 5.0)]
    monkeypatch.setattr(neural_lasso, "TOGETHER", 2)
    together = fit_many(G.T, tasks, n_iterations=80)
    assert "carriers" in together[0].device_
    assert [m.lam_ for m in together] == [1.0, 5.0, 1.0, 5.0]
    assert all(m.fit_seconds_ > 0 for m in together)
    for task, model in zip(tasks, together, strict=True):
        alone = NeuralLasso(lam=task.lam, n_iterations=80, random_state=task.seed).fit(G.T[task.rows], task.y)
        np.testing.assert_allclose(model.predict(G.T), alone.predict(G.T), atol=1e-3)
    assert fit_many(G.T, []) == []


@needs_keras
def test_fractions_fall_back_to_the_window(data):
    G, y = data
    settings = {"lam": 2.0, "n_iterations": 50}
    called = NeuralLasso(fast=True, **settings).fit(G.T, y)
    nearly = NeuralLasso(**settings).fit(G.T + np.where((G.T == 1) & (np.arange(50) == 3), 1e-6, 0), y)
    assert "one-byte" in called.device_ and "one-byte" not in nearly.device_
    np.testing.assert_allclose(called.predict(G.T), nearly.predict(G.T), atol=1e-3)


@needs_keras
@pytest.mark.parametrize("options", [{"activations": "tanh", "neighborhood": 1}, {"interaction": True}], ids=str)
def test_saved_and_loaded_without_pickle(options, data, tmp_path):
    G, y = data
    model = NeuralLasso(lam=2.0, n_iterations=20, **options).fit(pd.DataFrame(G.T).add_prefix("m"), y)
    model.save(tmp_path / "model.keras")
    again = NeuralLasso.load(tmp_path / "model.keras")
    X = pd.DataFrame(G.T).add_prefix("m")
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-6)
    assert again.lam_ == 2.0 and again.window_ == model.window_ and len(again.history_) == 21
    assert again.fit_seconds_ == model.fit_seconds_ > 0
    content = (tmp_path / "model.keras").read_bytes()
    assert content[:2] == b"PK" and b"pickle" not in content
    with pytest.raises(ValueError, match="must end in .keras"):
        model.save(tmp_path / "model.pkl")


# --- when it goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fast", [True, pytest.param(False, marks=needs_keras)])
def test_overflow_stops_with_the_last_good_weights(fast, data):
    G, y = data
    broken = {"lam": 1.0, "learning_rate": 1e17, "fast": fast}
    with pytest.warns(UserWarning, match="not finite at step"):
        model = NeuralLasso(n_iterations=150, **broken).fit(G.T, y)
    assert np.isfinite(model.c_).all() and np.isfinite(model.predict(G.T)).all()
    assert model.stopped_ >= 1 and len(model.history_) == model.stopped_
    assert np.isfinite(model.history_).all(axis=None)


def test_one_broken_model_does_not_stop_the_others(data):
    G, y = data
    job = a_job(WINDOWS["published"], y, 3)
    job.y[1] *= 1e25
    done = train(CarrierPasses(job, G, step_sizes(learning_rates(30))), *start_parameters(job.window, 50))
    assert done.stopped.tolist() == [-1, 0, -1] and np.isfinite(done.c).all()
    assert (done.history[-1, [0, 2], 0] < done.history[0, [0, 2], 0]).all()


def test_memory_that_runs_out_makes_smaller_chunks(data, monkeypatch):
    G, y = data
    sizes = []

    class Hungry(CarrierPasses):
        def __init__(self, job, *rest):
            sizes.append(job.size)
            if job.size > 2:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12884901888 bytes")
            super().__init__(job, *rest)

    monkeypatch.setattr(neural_lasso, "CarrierPasses", Hungry)
    monkeypatch.setattr(neural_lasso, "TOGETHER", 2)
    tasks = [Task(np.arange(36), y, lam) for lam in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)]
    models = fit_many(G.T, tasks, n_iterations=5)
    assert [m.lam_ for m in models] == [1, 2, 3, 4, 5, 6] and sizes == [6, 3]
    with pytest.raises(MemoryError, match="a single model does not fit into memory of a GPU"):
        in_chunks(lambda tasks: (_ for _ in ()).throw(RuntimeError("CUDA out of memory")), [1, 2], 2, " of a GPU")
    with pytest.raises(KeyError):
        in_chunks(lambda tasks: {}["x"], [1], 1)


BAD = {
    "fewer than the window of 5": ({}, lambda X: X[:, :4]),
    "expected dosages from 0 to 2": ({}, lambda X: X - 1),
    "-9.* at line 2, marker 1": ({}, lambda X: np.where((np.arange(36)[:, None] == 2) & (np.arange(50) == 1), -9, X)),
    "contains NaN": ({}, lambda X: np.where(X == 2, np.nan, X)),
    "neighborhood must be a whole number": ({"neighborhood": 1.5}, None),
    "expected None, one name, or 5 names": ({"activations": ("relu", "linear")}, None),
    "protocol='text'": ({"protocol": "text"}, None),
    "solver='sgd'": ({"solver": "sgd"}, None),
    "lam='best'": ({"lam": "best"}, None),
    "lam=-1": ({"lam": -1}, None),
    "n_iterations=0": ({"n_iterations": 0}, None),
    "fast='very'": ({"fast": "very"}, None),
    "interaction=True is no sum over loci": ({"interaction": True, "fast": True}, None),
    "searches on given lines": ({"lam": "as_published"}, None),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_refused(message, data):
    options, change = BAD[message]
    X = data[0].T.astype(float)
    with pytest.raises(ValueError, match=message):
        NeuralLasso(**{"lam": 1.0, "n_iterations": 2} | options).fit(X if change is None else change(X), data[1])


@needs_keras
def test_unknown_activation_is_refused(data):
    with pytest.raises(ValueError, match="Keras knows no activation 'bent'"):
        NeuralLasso(activations="bent", lam=1.0).fit(data[0].T, data[1])


# --- backends ------------------------------------------------------------------------------------------------------

SCRIPT = """
    import json, sys
    import numpy as np
    from gp_literate.neural_lasso import NeuralLasso
    rng = np.random.default_rng(7)
    X = rng.binomial(2, 0.4, (30, 40)).astype(float)
    y = X[:, [4, 20, 31]] @ [1.0, -0.7, 0.6] + 0.3 * rng.standard_normal(30)
    out = {}
    options = {"window": {"fast": False}, "product": {"fast": "product"}}
    for name, extra in options.items():
        model = NeuralLasso(lam=1.0, n_iterations=150, learning_rate=0.01, random_state=1, **extra).fit(X, y)
        out[name] = model.predict(X).tolist()
    print(json.dumps({"device": model.device_, **out}))
"""


def run_backend(backend):
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@needs_keras
def test_backends_agree_after_training():
    backends = [b for b in ("tensorflow", "jax", "torch") if importlib.util.find_spec(b) is not None]
    if len(backends) < 2:
        pytest.skip(f"one backend of Keras is installed ({backends}): nothing to compare")
    found = {b: run_backend(b) for b in backends}
    for b in backends:
        assert b in found[b]["device"]
        for way in ("window", "product"):
            np.testing.assert_allclose(found[b][way], found[backends[0]][way], atol=1e-3)
    assert np.std(found[backends[0]]["window"]) > 0.3


def test_import_does_not_need_keras():
    code = """
        import sys
        sys.modules["keras"] = None
        import numpy as np
        from gp_literate.neural_lasso import NeuralLasso
        assert not any(name.split(".")[0] in ("tensorflow", "jax", "torch") for name in sys.modules)
        X = np.random.default_rng(0).integers(0, 3, (20, 10)).astype(np.int8)
        y = X[:, 0] + 0.1 * X[:, 5]
        NeuralLasso(lam=1.0, n_iterations=5).fit(X, y).predict(X)
        try:
            NeuralLasso(lam=1.0, n_iterations=5, fast=False).fit(X, y)
        except ImportError as error:
            assert 'pip install "gp_literate[neural]"' in str(error)
            print("refused")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "refused", done.stderr[-2000:]
