"The replication of Mathew et al. (2022), Table 1: targets, parameters, GBLUP at full size, a small run of the page."

import numpy as np
import pandas as pd
import pytest

from gp_literate import replication as rp
from gp_literate.datasets import DataUnavailableError, fetch_rice
from gp_literate.kernels import a_mat
from gp_literate.mixed_model import GBLUP, mixed_solve
from gp_literate.quality_control import filter_call_rate, filter_duplicate_markers, filter_maf
from gp_literate.validation import repeated_kfold

NAME = "mathew2022_table1"
METHODS = ["GBLUP", "BayesA", "BayesB", "BL", "ElasticNet", "NeuralLasso"]


@pytest.fixture(scope="module")
def targets():
    return rp.load_targets("mathew2022")


@pytest.fixture(scope="module")
def rice():
    "The filtered panel and its relationship matrix."
    try:
        pop = fetch_rice()
    except DataUnavailableError as error:
        pytest.skip(f"rice data cannot be had: {str(error)[:120]}")
    pop = filter_maf(pop, 0.05, ">").pipe(filter_call_rate, 0.8, keep=">").pipe(filter_duplicate_markers).population
    calls = pop.dosage.astype(np.float32) - 1
    calls[pop.dosage < 0] = np.nan
    return pop, pd.DataFrame(a_mat(calls), pop.sample_id, pop.sample_id)


def test_targets_are_text_with_unique_keys_and_say_where_they_stand(targets):
    assert not targets.duplicated(["table", "row", "column"]).any() and (targets != "").all().all()
    assert targets.groupby("table", sort=False).size().to_dict() == {
        "Table 1": 35, "Table 1, AMY as protein content": 7, "Text, data": 6}
    assert all(rp.parse_printed(p)[1] is not None for p in targets["printed"])
    table = targets[targets["table"] == "Table 1"].pivot(index="row", columns="column", values="printed")
    again = targets[targets["table"] == "Table 1, AMY as protein content"].set_index("column")["printed"]
    pd.testing.assert_series_equal(table.loc["AMY"], again, check_names=False, check_like=True)
    assert (table[METHODS].astype(float).idxmax(axis=1) == "NeuralLasso").all()
    assert (table[METHODS].astype(float).idxmin(axis=1) == "ElasticNet").all()


def test_printed_percentages_fit_the_printed_correlations(targets):
    "The paper prints the change from GBLUP in per cent beside each number: a check on the typing of both."
    table = targets[targets["table"] == "Table 1"].pivot(index="row", columns="column", values="printed").astype(float)
    percent = {
        "ARK": [0.30, -0.30, 0.15, -7.68, 1.20], "ABR": [1.93, -0.52, -1.05, -3.87, 3.69],
        "FAD": [0.84, 0.84, 0.21, -12.05, 1.05], "AMY": [0.67, 0.89, -1.11, -6.26, 3.58],
        "WEIGHT": [2.53, 1.75, 2.92, -1.75, 3.90]}
    for row, printed in percent.items():
        ours = 100 * (table.loc[row, METHODS[1:]] / table.loc[row, "GBLUP"] - 1)
        np.testing.assert_allclose(ours, printed, atol=0.011)


def test_parameters():
    known = rp.list_replications()
    defaults = {k: p.default for k, p in known[NAME].parameters.items()}
    assert all(p.help for p in known[NAME].parameters.values())
    assert defaults["profile"] == "smoke" and defaults["methods"] == METHODS
    assert defaults["protocols"] == ["paper", "authors_code", "nested"]
    assert {"seed", "n_jobs", "data_dir", "results_dir", "n_repeats", "every", "traits"} <= set(defaults)


@pytest.mark.data
def test_the_row_printed_as_amylose_is_protein_content(rice, targets):
    "393 accessions, an h² of 0.50 and a GBLUP accuracy of 0.447 are those of protein content; amylose is far from all."
    pop, K = rice
    printed = targets[targets["row"] == "AMY"].drop_duplicates("column").set_index("column")["printed"].astype(float)
    found = {}
    for trait in ("Protein content", "Amylose content"):
        y = pop.phenotype(trait).dropna()
        inner, fit = K.loc[y.index, y.index].to_numpy(), mixed_solve(y.to_numpy(), K=K.loc[y.index, y.index].to_numpy())
        scores = []
        for s in repeated_kfold(len(y), 5, 3, 1):
            model = GBLUP("precomputed").fit(inner[np.ix_(s.train, s.train)], y.iloc[s.train].to_numpy())
            predicted = model.predict(inner[np.ix_(s.test, s.train)])
            scores.append(np.corrcoef(predicted, y.iloc[s.test])[0, 1])
        found[trait] = len(y), fit.Vu / (fit.Vu + fit.Ve), np.mean(scores)
    assert found["Protein content"][0] == 393 and found["Amylose content"][0] == 401
    np.testing.assert_allclose(found["Protein content"][1:], printed[["h2", "GBLUP"]], atol=0.025)
    assert found["Amylose content"][1] > 0.75 and found["Amylose content"][2] > 0.75


@pytest.mark.data
def test_heritabilities_of_flowering_time(rice):
    "Deterministic: Arkansas is the printed 0.70; Aberdeen is not the printed 0.50, Faridpur not quite 0.26."
    pop, K = rice
    h2 = []
    for place in ("Arkansas", "Aberdeen", "Faridpur"):
        y = pop.phenotype(f"Flowering time at {place}").dropna()
        fit = mixed_solve(y.to_numpy(), K=K.loc[y.index, y.index].to_numpy())
        h2.append(fit.Vu / (fit.Vu + fit.Ve))
    np.testing.assert_allclose(h2, [0.710, 0.684, 0.300], atol=0.002)


@pytest.mark.data
@pytest.mark.slow
def test_the_page_with_a_small_computation(rice, tmp_path):
    pytest.importorskip("papermill", reason="papermill is not installed")
    small = {"n_repeats": 1, "n_iterations": 60, "n_steps": 40, "every": 200, "protocols": ["paper", "authors_code"]}
    rp.run_replication(NAME, small, tmp_path, progress=False)
    table = pd.read_csv(tmp_path / f"{NAME}.csv", dtype=str, keep_default_na=False)
    table = table.set_index(["table", "row", "column"])
    assert len(table) == 48
    for trait in ("ARK", "FAD"):  # one division and short chains: only the heritability is judged
        judged = table["verdict"].sort_index().loc[("Table 1", trait)] != "not run"
        assert judged.index[judged].tolist() == ["h2"]
    assert table.loc[("Text, data", "rice", "accessions"), "verdict"] == "equal"
    tidy = pd.read_parquet(tmp_path / f"{NAME}.parquet")
    assert set(tidy["protocol"]) == {"paper", "authors_code"} and set(tidy["method"]) == set(METHODS)
    assert tidy.groupby(["trait", "protocol", "method"]).size().loc["ARK"].loc["paper"].eq(5).all()
    lines = tidy[(tidy["trait"] == "ARK") & (tidy["protocol"] == "paper")]
    assert (lines.groupby("fold")[["n_test", "n_train"]].nunique() == 1).all().all()  # the same folds for all methods
    chosen = tidy.loc[tidy["method"] == "NeuralLasso"].groupby("protocol")["lam_used"]
    assert (chosen.nunique() == 1).all() and (chosen.first() > 0).all()
