"""Benchmark: the time of the measures that a study asks for by name, compared with the usual probes in the same run.

    python benchmarks/measures_cost.py cifar-resnet56 --weights FILE --data images:FOLDER --units 1000
    python benchmarks/measures_cost.py gpt2 --weights specimen --data stdlib --units 8192

The usual probes are measured first and last; a ratio is processor time divided by the mean of the two. "together" is one
study of the usual probes and all others.
"""

from __future__ import annotations

import argparse
import time

import itinf
from itinf.probes import Probe
from itinf.studies.compare import study_probes
from itinf.studies.probe import opened_probe

MEASURES = (
    "lesion",
    "swap",
    "repeat",
    "paths",
    "borderline",
    "similarity",
    "variance_shares",
    "estimation_error",
    "convergence",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("--weights")
    parser.add_argument("--data", required=True)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--measure", action="append", help=f"only these, by default {', '.join(MEASURES)}")
    given = parser.parse_args()
    network = itinf.network(given.network, weights=given.weights)
    data = itinf.dataset(given.data, network)
    measures = given.measure or list(MEASURES)

    def seconds(probes: list[Probe]) -> float:
        start = time.process_time()
        itinf.probe(network, data, probes, units=given.units)
        return time.process_time() - start

    usual = study_probes(["label"])
    first = seconds(usual)
    times = {name: seconds([opened_probe(name)]) for name in measures}
    times["together"] = seconds(study_probes(["label"], measure=measures))
    base = (first + seconds(usual)) / 2
    print(f"{network.name}, {given.units:,} {network.unit}s: usual probes {base:.1f} s of processor time")
    for name, spent in times.items():
        print(f"  {name:20s} {spent:8.1f} s {spent / base:7.2f} ×")


if __name__ == "__main__":
    main()
