"""Run every notebook from top to bottom with nbdev_test, in a copy, so that nothing in the working tree changes.

Cells flagged slow or gpu are skipped; cells flagged data run where the data can be had. Each notebook has a process of
its own: nbdev_test's own workers would wait minutes for the processes that joblib starts in a notebook.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import common
from gp_literate.replication import without_injected

FETCH = "from gp_literate.datasets import REGISTRY, fetch_file; [fetch_file(file) for file in REGISTRY]"
LIMIT = 900  # seconds for one notebook
WORKERS = min(2, os.cpu_count() or 1)


def data_at_hand():
    "(can the data be had, why not): from the mirror GP_LITERATE_DATA, the cache, or by download."
    try:
        run = subprocess.run([sys.executable, "-c", FETCH], capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return False, "no answer in 300 s"
    return run.returncode == 0, (run.stderr.strip().splitlines() or [""])[-1]


def environment():
    "The cores are shared among the notebooks that run at once."
    env = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        env.setdefault(name, str(max(1, (os.cpu_count() or 1) // WORKERS)))
    return env


def with_defaults(path):
    "A page that shows a long run carries its parameters in a cell of their own; without it, the defaults count."
    nb = common.read(path)
    if len(without_injected(nb)["cells"]) < len(common.read(path)["cells"]):
        path.write_text(json.dumps(nb), encoding="utf-8")


def run_notebook(path, project, flags):
    "What went wrong in one notebook, or None."
    start, name = time.time(), path.relative_to(project)
    command = [str(Path(sys.executable).with_name("nbdev_test")), "--path", str(path), "--n_workers", "0"]
    command += ["--flags", flags] if flags else []
    try:
        run = subprocess.run(command, cwd=project, env=environment(), timeout=LIMIT, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        return f"{name}: not finished after {LIMIT} s"
    if run.returncode:
        return f"{name}:\n" + run.stdout.replace(f"{project}{os.sep}", "").strip()
    if "Success" not in run.stdout:
        return f"{name}: did not run ({run.stdout.strip()})"
    print(f"    {time.time() - start:4.0f} s  {name}", flush=True)


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("notebook", nargs="*", help="notebooks relative to the root (default: all)")
    parser.add_argument("--no-data", action="store_true", help="skip the cells flagged data")
    args = parser.parse_args()
    root, start = args.root.resolve(), time.time()
    data, why = (False, "--no-data") if args.no_data else data_at_hand()
    if not data:
        print(f"    skipping the cells flagged data: {why}", flush=True)
    names = args.notebook or [p.relative_to(root) for p in common.notebooks(root)]
    with tempfile.TemporaryDirectory() as tmp:
        project = Path(tmp).resolve()
        common.copy_project(root, project)
        for path in common.notebooks(project):
            with_defaults(path)
        with ThreadPoolExecutor(WORKERS) as pool:
            problems = list(pool.map(lambda name: run_notebook(project / name, project, "data" if data else ""), names))
    done = f"{len(names)} notebooks {'with' if data else 'without'} data, {time.time() - start:.0f} s"
    common.report("notebooks run", [p for p in problems if p], done)


if __name__ == "__main__":
    main()
