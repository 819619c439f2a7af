"""Reading the public data sets: seconds, and memory beyond what was held before.

usage: python benchmarks/bench_datasets.py

The mice are the case that needs care: 24 million strings in a bz2 stream. Unpacking the stream alone is timed beside
it, since nothing can be faster than that. Data sets that cannot be had are named and left out.
"""

from measure import machine, peak_bytes, seconds

from gp_literate.datasets import (
    DataUnavailableError,
    fetch_file,
    fetch_maize,
    fetch_mice,
    fetch_pine,
    fetch_rice,
    fetch_wheat,
    unpacked,
)


def unpack_mice():
    "The bz2 stream of the mice, thrown away."
    return sum(len(piece) for piece in unpacked(fetch_file("synbreeddata/mice.RData")))


def bglr_mice():
    return fetch_mice(source="bglr")


def main():
    print(machine())
    print(f"{'call':<16}{'seconds':>9}{'peak MB':>9}{'million calls/s':>17}")
    for task in (fetch_wheat, unpack_mice, fetch_mice, bglr_mice, fetch_maize, fetch_pine, fetch_rice):
        try:
            result = task()
        except DataUnavailableError as error:
            print(f"{task.__name__:<16}not to be had: {str(error)[:80]}")
            continue
        time, peak = seconds(task, repeats=3), peak_bytes(task)
        rate = f"{result.dosage.size / time / 1e6:>17.1f}" if hasattr(result, "dosage") else f"{'':>17}"
        print(f"{task.__name__:<16}{time:>9.2f}{peak / 1e6:>9.0f}{rate}", flush=True)


if __name__ == "__main__":
    main()
