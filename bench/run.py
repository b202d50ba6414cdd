"""Measures this checkout on this machine and prints the tables: `make bench`, or with what and how often.

    python -m frontdesk.bench.run [NAME …] [--rounds 3] [--quick]      queues postgresql scale growth
                                                                       roundtrip idle crowded streams turns
                                                                       peers kept starts

Figures are medians with their range over the rounds; ratios are taken inside each round. Quote ratios: figures of
different runs, and of different machines, must not be compared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import crowded, growth, idle, kept, machine, peers, postgresql, queues, roundtrip, scale, starts, streams, turns
from .figures import Column, Figures, Table, render, verdict
from .rounds import Benchmark, measure

MODULES = (queues, postgresql, scale, growth, roundtrip, idle, crowded, streams, turns, peers, kept, starts)
BENCHMARKS = {one.name: one for one in (module.BENCHMARK for module in MODULES)}
MACHINE = Table(
    "The machine during the rounds",
    ("machine",),
    (
        Column("python", "Python loop, M iterations/s"),
        Column("sync_p50", "fsync of 4 KiB, p50 ms"),
        Column("sync_p99", "p99 ms"),
    ),
)


def say(text: str) -> None:
    """Progress goes to stderr, the report to stdout."""
    print(text, file=sys.stderr, flush=True)


def report(benchmarks: Sequence[Benchmark], rounds: int, *, quick: bool) -> None:
    print(f"Measured on\n\n{machine.described()}\n")
    speeds: list[Figures] = []
    for one in benchmarks:
        speeds.append(machine.calibration(quick))
        found = measure(one.subjects, rounds * (1 if quick else one.times), quick=quick, say=say)
        for table in one.tables:
            print(render(table, found) + "\n")
        if one.about:
            print(one.about + "\n")
        for goal in one.goals:
            print(verdict(goal, found))
        print(flush=True)
    print(render(MACHINE, {"machine": speeds}))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="frontdesk.bench.run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("benchmarks", nargs="*", choices=[*BENCHMARKS, []], help="all of them by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, measures nothing")
    given = parser.parse_args(arguments)
    chosen = [BENCHMARKS[name] for name in given.benchmarks or BENCHMARKS]
    report(chosen, max(1, given.rounds), quick=given.quick)


if __name__ == "__main__":
    main()
