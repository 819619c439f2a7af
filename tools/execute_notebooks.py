"""Execute notebooks in place, each from a fresh kernel and with its defaults, and clean them.

A failing notebook is left as it was. Pages of longer runs: tools/store_page.py.
"""

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import common
from gp_literate.replication import without_injected


def execute(path):
    "Run one notebook in its own folder; True when every cell ran."
    nb, start = without_injected(nbformat.read(path, as_version=4)), time.time()
    try:
        NotebookClient(nb, kernel_name="python3", timeout=None, resources={"metadata": {"path": path.parent}}).execute()
    except CellExecutionError as error:
        print(f"FAILED {path}\n{error}", file=sys.stderr)
        return False
    nbformat.write(nb, path)
    common.nbdev("nbdev_clean", common.ROOT, "--fname", str(path))
    print(f"ok  {path} ({time.time() - start:.0f} s)", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", nargs="*", type=Path, help="default: all of nbs/")
    paths = parser.parse_args().notebook or common.notebooks(common.ROOT)
    sys.exit(not all([execute(path.resolve()) for path in paths]))


if __name__ == "__main__":
    main()
