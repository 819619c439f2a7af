"""What the tests share: R's answers, the synthetic population, and real data where they can be had."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics.pairwise import rbf_kernel

from gp_literate.datasets import DataUnavailableError, fetch_wheat


class NamedKernel:
    "scikit-learn's Gaussian kernel with a name of its own: the name of a test must not hold an address in memory."

    def __call__(self, X, Y):
        return rbf_kernel(X, Y)

    def __repr__(self):
        return "rbf_kernel"


REFERENCE = Path(__file__).parent / "reference"


def reference(name):
    "One file of R's answers."
    return json.loads((REFERENCE / name).read_text())


@pytest.fixture(scope="session")
def synthetic():
    "The 80 × 300 population with R's answers: markers as -1/0/1, phenotypes."
    folder = REFERENCE / "synthetic"
    G = pd.read_csv(folder / "genotypes.csv", index_col=0)
    return (G - 1).to_numpy().astype(np.int8), pd.read_csv(folder / "phenotypes.csv", index_col=0)


@pytest.fixture(scope="session")
def wheat():
    "The wheat population; the test is skipped where the data cannot be had."
    try:
        return fetch_wheat()
    except DataUnavailableError as error:
        pytest.skip(f"wheat data cannot be had: {str(error)[:120]}")
