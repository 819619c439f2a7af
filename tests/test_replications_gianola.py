"The replications of Gianola & Fernando (2020): targets, parameters, the counts that must come out, and small runs."

import json

import numpy as np
import pandas as pd
import pytest

from gp_literate import replication as rp
from gp_literate.command_line import replications_named
from gp_literate.datasets import DataUnavailableError, fetch_pine
from gp_literate.gwas import gwas
from gp_literate.multitrait_gblup import MultiTraitGBLUP

NAMES = ["gianola2020_pine", "gianola2020_wheat", "gianola2020_wheat_prediction"]


@pytest.fixture(scope="module")
def targets():
    return rp.load_targets("gianola2020")


@pytest.fixture(scope="module")
def yields(wheat):
    "Markers and the two yields."
    return wheat.markers(), wheat.phenotypes[["env1", "env2"]]


def test_targets_are_text_with_unique_keys_and_say_where_they_stand(targets):
    assert not targets.duplicated(["table", "row", "column"]).any() and (targets != "").all().all()
    assert targets.groupby("table", sort=False).size().to_dict() == {
        "Text, data": 3, "Text, GWAS": 2, "Text, MBL": 12, "Text, distances": 9, "Figures 3 to 5": 5,
        "Figures S16 to S18": 6, "Figures 7 and 8": 4, "Figures 9 to 11": 6}
    numbers = [p for p in targets["printed"] if rp.parse_printed(p)[1] is not None]
    assert len(numbers) == 23
    printed = targets.set_index(["row", "column"])["printed"]
    assert printed["residual correlation", "posterior mean"] == "0.17"
    assert printed["effect correlation", "posterior mean"] == "-0.35"
    assert printed["effect correlation", "effective size"] == "220.6"  # the one that mixes worse


def test_printed_numbers_fit_together(targets):
    "Twice as many effects as markers; χ² quantiles, of which one has another tail."
    n = {row: float(rp.parse_printed(p)[1]) for (row, p) in zip(
        targets["table"] + "/" + targets["row"] + "/" + targets["column"], targets["printed"], strict=True)
        if rp.parse_printed(p)[1] is not None}
    assert n["Text, data/wheat/effects"] == 2 * n["Text, data/wheat/markers"]
    where, p = "Text, distances/χ² on 2 df/", n["Text, data/wheat/markers"]
    assert abs(n[where + "threshold"] - 2 * np.log(1 / 0.05)) < 0.005
    assert abs(n[where + "Bonferroni threshold"] - 2 * np.log(p / 0.95)) < 0.05  # not 0.05/1279, which would be 20.3
    assert abs(n[where + "Bonferroni threshold"] - 2 * np.log(p / 0.05)) > 5


def test_parameters_of_the_three_replications():
    known = rp.list_replications()
    assert [name for name in known if name.startswith("gianola2020")] == NAMES
    assert replications_named("gianola2020", known) == NAMES
    defaults = {name: {k: p.default for k, p in known[name].parameters.items()} for name in NAMES}
    for name in NAMES:
        assert {"profile", "seed", "n_jobs", "data_dir", "results_dir"} <= set(defaults[name])
        assert defaults[name]["profile"] == "smoke" and all(p.help for p in known[name].parameters.values())
    chains = {k: defaults["gianola2020_wheat"][k] for k in ("n_chains", "tune", "draws", "thin", "df", "share")}
    assert chains == {"n_chains": 6, "tune": 1500, "draws": 2000, "thin": 1, "df": 4.0, "share": 0.1}
    prediction = defaults["gianola2020_wheat_prediction"]
    assert (prediction["n_train"], prediction["burn_in"]) == (300, 1000)
    assert defaults["gianola2020_pine"]["rust_file"] is None


@pytest.mark.data
def test_29_and_56_markers_are_significant(yields):
    X, Y = yields
    table = gwas(Y, X, method="least squares", min_maf=0, coding="0/1").table
    assert table[table["p"] < 0.05 / X.shape[1]].groupby("trait").size().to_dict() == {"env1": 29, "env2": 56}
    edge = (table["p"] * X.shape[1] / 0.05).to_numpy()
    assert np.abs(edge - 1).min() > 0.005  # rounding cannot change a count


@pytest.mark.data
def test_gblup_by_the_sum_rule_and_its_distances(yields):
    "Deterministic: the numbers of the page. The paper prints 0.16 and 2.94, which no metric gives."
    fit = MultiTraitGBLUP("sum_rule").fit(*yields)
    effects = fit.marker_effects()
    assert abs(fit.genetic_correlation_.iloc[0, 1] + 0.2881) < 5e-4
    assert abs(fit.residual_correlation_.iloc[0, 1] - 0.1609) < 5e-4
    found = effects.distance.agg(["median", "max"])
    np.testing.assert_allclose(found["prior"], [0.1485, 2.305], rtol=1e-3)
    np.testing.assert_allclose(found["error"], [0.1679, 2.880], rtol=1e-3)
    assert effects.t.abs().max().max() < 1.96


def replicate(name, tmp_path, **parameters):
    pytest.importorskip("papermill", reason="papermill is not installed")
    rp.run_replication(name, parameters, tmp_path, progress=False)
    return pd.read_csv(tmp_path / f"{name}.csv", dtype=str, keep_default_na=False)


@pytest.mark.data
@pytest.mark.slow
def test_wheat_page_with_short_chains(wheat, tmp_path):
    small = {"n_chains": 2, "tune": 150, "draws": 150, "other_shares": [10.0], "other_draws": 60}
    table = replicate("gianola2020_wheat", tmp_path, **small)
    counts = rp.count_verdicts(table)
    assert (counts.loc[["Text, data", "Text, GWAS"], "status"] == "replicated").all()
    assert (counts.loc[["Text, MBL", "Figures S16 to S18"], "status"] == "not run").all()  # the chains are too short
    cell = table.set_index(["row", "column"])
    assert cell.loc[("MBL", "median"), "verdict"] == cell.loc[("largest", "method"), "verdict"] == "not run"
    assert cell.loc[("GBLUP", "markers with an effect"), "verdict"] == "equal"
    assert cell.loc[("χ² on 2 df", "Bonferroni threshold"), "verdict"].startswith("differs")
    assert 0 < float(cell.loc[("GBLUP", "median"), "ours"]) < float(cell.loc[("GBLUP", "maximum"), "ours"])
    markers = pd.read_parquet(tmp_path / "gianola2020_wheat.parquet")
    assert len(markers) == 2558 and markers.notna().all(axis=None)
    assert len(list(tmp_path.glob("gianola2020_wheat_figure*.png"))) == 12


@pytest.mark.data
@pytest.mark.slow
def test_prediction_resumes_and_a_division_does_not_depend_on_their_number(wheat, tmp_path):
    name, small = "gianola2020_wheat_prediction", {"n_iterations": 60, "burn_in": 20}
    replicate(name, tmp_path, n_repeats=2, **small)
    first = pd.read_parquet(tmp_path / f"{name}.parquet")
    parts = {f: f.stat().st_mtime_ns for f in (tmp_path / f"{name}.parts").iterdir()}
    table = replicate(name, tmp_path, n_repeats=3, **small)
    assert len(parts) == 2 * 3 and len(list((tmp_path / f"{name}.parts").iterdir())) == 3 * 3
    assert {f: f.stat().st_mtime_ns for f in parts} == parts, "did the package change meanwhile?"
    both = pd.read_parquet(tmp_path / f"{name}.parquet")
    pd.testing.assert_frame_equal(both[both["repeat"] < 3], first)
    assert (both["n_train"] == 300).all() and (both["n_test"] == 299).all() and (both["ours"] > 0.2).all()
    assert len(table) == 4 and (table["verdict"] == "not run").all()  # three divisions are not a hundred
    record = json.loads((tmp_path / f"{name}.provenance.json").read_text())
    assert record["hours_for_100_x_50000_on_one_core"] > 0 and set(record["seconds_per_fit"]) == set(both["method"])


@pytest.fixture(scope="module")
def pine():
    try:
        return fetch_pine()
    except DataUnavailableError as error:
        pytest.skip(f"pine data cannot be had: {str(error)[:120]}")


@pytest.mark.data
@pytest.mark.slow
def test_pine_says_what_it_ran_on_and_compares_only_rust_with_the_paper(pine, tmp_path):
    small = {"n_iterations": 40, "burn_in": 10, "n_markers": 150, "n_repeats": 2}
    table = replicate("gianola2020_pine", tmp_path / "public", **small)
    assert "verdict" not in table and set(table["pair"]) == {"public", "oligogenic", "polygenic"}
    text = (tmp_path / "public/gianola2020_pine.md").read_text()
    assert "Ran on: public, oligogenic, polygenic" in text and "no replication" in text
    rust = pine.phenotypes[["DBH", "CWAC_deregressed"]].set_axis(["rust_bin", "rust_gall_vol"], axis=1)  # stand-ins
    rust.to_csv(tmp_path / "rust.csv")
    table = replicate("gianola2020_pine", tmp_path / "rust", rust_file=str(tmp_path / "rust.csv"), **small)
    assert set(table["table"]) == {"Figures 9 to 11"} and (table["verdict"] == "not run").all()  # two divisions
    assert "Ran on: rust." in (tmp_path / "rust/gianola2020_pine.md").read_text()
