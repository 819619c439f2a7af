"""Build the wheel, install it without extras in a fresh environment, and use it there.

Takes minutes, since the requirements are installed anew, and so is a job of its own and no part of `make test`.
"""

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

import common

USE = """
import importlib.util, pathlib
import numpy as np
import gp_literate
from gp_literate.mixed_model import mixed_solve
from gp_literate.replication import list_replications, load_targets, run_replication

here = pathlib.Path(gp_literate.__file__).resolve()
assert "site-packages" in here.parts, here
rng = np.random.default_rng(1)
Z = rng.choice([-1, 0, 1], size=(60, 200)).astype(np.int8)
y = Z @ rng.normal(size=200) + rng.normal(size=60) * 3
fit = mixed_solve(y, Z)
assert fit.u.shape == (200,) and np.isfinite(fit.LL) and fit.Vu > 0, fit
assert "demo" in list_replications() and len(load_targets("endelman2011", ["Table 2"])) == 44
for extra in ("papermill", "tensorflow", "distributed", "nbdev", "fastcore"):
    assert importlib.util.find_spec(extra) is None, f"{extra} came along without its extra"
try:
    run_replication("demo", {}, "results", progress=False)
except ImportError as error:
    assert 'pip install "gp_literate[replicate]"' in str(error), error
else:
    raise AssertionError("a replication ran without papermill")
print(f"gp_literate {gp_literate.__version__}: Vu {fit.Vu:.3f}, Ve {fit.Ve:.3f}, log-likelihood {fit.LL:.3f}")
"""


def run(*command, **options):
    "Run a command; its last lines are shown when it fails."
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"FAILED wheel: {' '.join(map(str, command))}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def build(root, to):
    "The wheel, made from the source distribution, so that both are complete."
    run(sys.executable, "-m", "build", "--outdir", to, root)
    (wheel,) = to.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("gp_literate/mixed_model.py", "gp_literate/replications/demo.ipynb",
                   "gp_literate/replications/targets/endelman2011.csv", "gp_literate/replications/targets/notes.csv"):
        if needed not in names:
            sys.exit(f"FAILED wheel: {wheel.name} lacks {needed}")
    return wheel


def main():
    root = common.arguments(__doc__).parse_args().root.resolve()
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp).resolve()
        wheel = build(root, tmp / "dist")
        venv.create(tmp / "env", with_pip=True)
        bin_folder = tmp / "env" / ("Scripts" if sys.platform == "win32" else "bin")
        run(bin_folder / "python", "-m", "pip", "install", "--quiet", wheel)
        said = run(bin_folder / "python", "-c", USE, cwd=tmp).strip()
        listed = run(bin_folder / "gp-literate", "replicate", "list", cwd=tmp)
        if "endelman2011_table1" not in listed:
            sys.exit("FAILED wheel: `gp-literate replicate list` does not know the replications")
    common.report("wheel", [], f"{wheel.name} installs without extras and works ({said})")


if __name__ == "__main__":
    main()
