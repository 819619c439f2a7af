"The targets of Pungpapong et al. (2012), and what its replications conclude from results whose answer is known."

import ast
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV

from gp_literate import replication as rp
from gp_literate.pocre_cv import CV0, CV1, POCRECV

NAMES = ("simulation", "pine", "nam", "maize2000")
TABLES = {
    "simulation": ["Text on Table 1", "Text on Table 2", "Text on computing time"],
    "pine": ["Text on Table 3", "Text on Table 4"],
    "nam": ["Text on Table 5", "Text on Table 6"],
    "maize2000": ["Text on Table 7"],
}


def code_of(name):
    "Code cells of a notebook, in order."
    path = rp.replications_dir() / f"pungpapong2012_{name}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def functions_of(name, **known):
    "Imports and functions of a notebook, without anything that computes."
    space = dict(known)
    for text in code_of(name):
        for node in ast.parse(text).body:
            if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef):
                exec(compile(ast.Module([node], []), f"pungpapong2012_{name}", "exec"), space)
    return space


# --- targets ---


def test_targets_are_text_with_unique_keys():
    targets = rp.load_targets("pungpapong2012")
    assert not targets.duplicated(["table", "row", "column"]).any() and (targets != "").all().all()
    assert sorted(targets["table"].unique()) == sorted(t for tables in TABLES.values() for t in tables)
    sizes = targets.groupby("table").size()
    assert sizes[["Text on Table 1", "Text on Table 2", "Text on computing time"]].tolist() == [76, 49, 5]


def test_targets_say_what_the_paper_says():
    targets = rp.load_targets("pungpapong2012").set_index(["table", "row", "column"])["printed"]
    one = targets["Text on Table 1"]
    accuracy = one[one.index.get_level_values("column").str.endswith("accuracy against BayesB")]
    assert len(accuracy) == 18 and set(accuracy) == {"higher"}
    spread = one[one.index.get_level_values("column").str.endswith("SD against BayesB")]
    assert len(spread) == 30 and spread.value_counts().to_dict() == {"lower": 29, "not lower": 1}
    assert spread["1004", "POCRE₀ (CV0), SD against BayesB"] == "not lower"
    assert set(one[one.index.get_level_values("column").str.endswith("worst split")]) == {"CV0"}
    two = targets["Text on Table 2"].unstack("row")
    assert set(two[["1003", "1005", "1007"]].to_numpy().ravel()) == {"above 1"}
    assert set(two[["1001", "1002", "1004", "1006"]].to_numpy().ravel()) == {"below 1"}
    five = targets["Text on Table 5"]
    assert five["POCRE", "training corr(PEBV, GEBV)"] == "0.9381" and five["POCRE₀", "test SD"] == "0.0039"
    seconds = float(targets["Text on computing time", "BayesB", "seconds"].replace(",", ""))
    search = float(targets["Text on computing time", "POCRE", "seconds of the search"].replace(",", ""))
    assert rp.agrees(targets["Text on computing time", "BayesB by POCRE", "ratio"], seconds / (search + 10))


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_have_parameters_and_stored_outputs_of_the_smoke_profile(name):
    replication = rp.list_replications()[f"pungpapong2012_{name}"]
    assert replication.parameters["profile"].default == "smoke" and replication.subtitle
    assert all(p.help for p in replication.parameters.values())
    assert sum("load_targets" in text for text in code_of(name)) == 2  # imported, used


# --- what the simulation concludes from accuracies whose answer is known ---


def replicates(shift, n=12, noise=0.01, seed=1):
    "Accuracies of all methods, equal but for a shift by method and generation, and small noise."
    rng, rows = np.random.default_rng(seed), []
    names = ["BayesB", *(f"{m} ({cv})" for m in ("POCRE", "POCRE₀") for cv in ("CV0", "CV1", "CV2"))]
    for k in range(n):
        base = rng.normal(0, 0.05)
        for name in names:
            for g in range(1001, 1008):
                row = {"replicate": k, "method": name, "generation": g}
                rows.append(row | {"accuracy": 0.6 + base + shift(name, g) + rng.normal(0, noise)})
    return pd.DataFrame(rows).pivot(index="replicate", columns=["method", "generation"], values="accuracy")


def judges(wide):
    return functions_of("simulation", wide=wide, splits={"CV0": 0, "CV1": 1, "CV2": 2})


def test_a_difference_is_told_only_when_it_is_there():
    wide = replicates(lambda name, g: 0.05 * (name != "BayesB") * (1 if g < 1003 else -1 if g < 1005 else 0), seed=3)
    told = judges(wide)["told"]
    found = [told(wide["POCRE (CV1)", g] - wide["BayesB", g], ("higher", "lower")) for g in (1001, 1003)]
    assert found == ["higher", "lower"]
    none = [told(wide["POCRE (CV1)", g] - wide["BayesB", g], ("higher", "lower")) for g in (1005, 1006, 1007)]
    assert none.count("not told apart") >= 2
    assert told(wide["BayesB", 1001].head(2) * 0, ("higher", "lower")) == "not told apart"


def test_the_worst_split_must_differ_from_both_others():
    wide = replicates(lambda name, g: -0.05 * ("CV0" in name) + 0.05 * ("CV2" in name))
    extreme = judges(wide)["extreme"]
    assert extreme("POCRE", 1001, 1) == "CV0" and extreme("POCRE₀", 1007, -1) == "CV2"
    wide = replicates(lambda name, g: -0.05 * ("CV2" not in name), noise=0.01)
    assert judges(wide)["extreme"]("POCRE", 1001, 1) == "not told apart"
    assert judges(wide)["extreme"]("POCRE", 1001, -1) == "CV2"


def test_spreads_are_compared_on_paired_replicates():
    rng = np.random.default_rng(5)
    a = pd.Series(rng.normal(size=200))
    spreads = functions_of("simulation")["spreads"]
    assert spreads(a, 2 * a + rng.normal(size=200)) == "lower" and spreads(3 * a, a) == "higher"
    assert spreads(a.head(2), 5 * a.head(2)) == "not told apart"


def test_the_slope_goes_through_the_origin_and_constant_predictions_have_none():
    scores = functions_of("simulation")["scores"]
    ebv, tbv = np.array([1.0, 2.0, 3.0, 4.0, 4.0]), np.array([3.0, 5.0, 7.0, 1.0, 2.0])
    table = scores(ebv, tbv, np.array([1001, 1001, 1001, 1002, 1002]))
    assert table["generation"].tolist() == [1001, 1002]
    assert table.loc[0, "accuracy"] == pytest.approx(1) and table.loc[0, "slope_with_intercept"] == pytest.approx(2)
    assert table.loc[0, "slope"] == pytest.approx((3 + 10 + 21) / 14)
    assert table.loc[1, ["accuracy", "slope", "slope_with_intercept"]].isna().all()


def test_methods_use_the_splits_by_generation_and_all_markers():
    space = functions_of(
        "simulation",
        seed=1,
        n_iterations=100,
        n_splits=4,
        lambdas=[0.7, 0.8],
        max_components=3,
        splits={"CV0": CV0, "CV1": CV1},
        rules={"POCRE": "ebtz", "POCRE₀": "ebt"},
    )
    models = space["methods_of"](0, 70)
    pocre = {k: m for k, m in models.items() if isinstance(m, POCRECV)}
    assert list(pocre) == ["POCRE (CV0)", "POCRE (CV1)", "POCRE₀ (CV0)", "POCRE₀ (CV1)"]
    assert all(m.max_markers == 70 and m.max_components == 3 for m in pocre.values())
    assert isinstance(pocre["POCRE₀ (CV1)"].cv, CV1) and pocre["POCRE₀ (CV1)"].threshold == "ebt"
    assert isinstance(models["PLS"], GridSearchCV) and models["BayesB"].tune + models["BayesB"].draws == 100
    again = space["methods_of"](0, 70)["POCRE (CV1)"].cv
    folds = [t.tolist() for _, t in again.split(np.zeros(40), groups=np.repeat([1, 2], 20))]
    assert folds == [t.tolist() for _, t in pocre["POCRE (CV1)"].cv.split(np.zeros(40), groups=np.repeat([1, 2], 20))]
    assert all(min(f) >= 20 for f in folds)  # the older generation is never predicted


def test_pine_and_maize_say_higher_only_with_a_small_p():
    class Test:
        def __init__(self, difference, p):
            self.difference, self.p = difference, p

    for name in ("pine", "maize2000"):
        word = functions_of(name)["word"]
        found = [word(Test(0.1, 0.01)), word(Test(-0.1, 0.01)), word(Test(0.1, 0.06))]
        assert found == ["higher", "lower", "not told apart"]
    assert functions_of("maize2000")["word"](None) == "not told apart"


# --- the notebooks themselves, very small ---


@pytest.mark.parametrize(
    "name, parameters, methods",
    [
        ("nam", {"n_markers": 300, "lines_per_family": 8, "n_qtl": 20, "n_splits": 2, "lambdas": [0.6, 0.9]}, 2),
        ("maize2000", {"n_markers": 400, "lines_per_family": 10, "n_qtl": 20, "n_iterations": 60, "lambdas": [0.7]}, 7),
    ],
)
def test_small_runs_leave_results_and_claim_nothing(tmp_path, name, parameters, methods):
    pytest.importorskip("papermill")
    run = rp.run_replication(f"pungpapong2012_{name}", parameters, tmp_path, progress=False)
    table = pd.read_csv(tmp_path / f"{run.name}.csv", dtype=str, keep_default_na=False)
    assert table["table"].unique().tolist() == TABLES[name]
    assert (table["verdict"] == "not run").all()  # not the paper's size, so no verdict
    results = pd.read_parquet(tmp_path / f"{run.name}.parquet")
    assert results["method"].nunique() == methods and results["ours"].between(-1, 1).all()
    parts = sorted((tmp_path / f"{run.name}.parts").glob("*.parquet"))
    assert len(parts) == results["split"].nunique()
    if name == "nam":
        before = [p.stat().st_mtime_ns for p in parts]
        rp.run_replication(f"pungpapong2012_{name}", parameters, tmp_path, progress=False)
        assert [p.stat().st_mtime_ns for p in parts] == before  # finished splits are not computed again
