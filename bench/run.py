#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks, ours and Erlang's, and compares them.

    bench/run.py [BUILD]              everything (about seven minutes); BUILD is Meson's directory
    bench/run.py [BUILD] call ring    workloads whose name contains one of the words
    BENCH_RUNS=9 bench/run.py         more runs than the usual five

Rules: both sides have the same number of schedulers (name/1 and name/2), the same sizes, compiled
code; every workload is an OS process of its own that warms up first and times itself; runs are
interleaved, so that a slow minute of the machine hits both; figures are medians. A ratio above 1
means that ours is better, whatever the unit. "~" marks a pair whose ranges overlap: a tie.

Writes build/bench/results.json: a list of {name, unit, ours, peer, peer_name, ratio}.
"""
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "build", "bench")
BEAMS = os.path.join(OUT, "beams")
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
TIMEOUT_S = 180

SPEED = ["spawn", "pingpong", "ring", "call.1", "call.8", "call.1000", "fanin.cast", "fanin.send"]
MEMORY = ["memory.gen_server", "memory.raw", "memory.callback"]
# In Erlang a process waits in one way only, so these two have one peer.
PEER_OF = {"memory.callback": "memory.raw"}
PRINTED_ONLY = ["latency.hog"]
HIGHER_IS_BETTER = {"messages/s"}


def build(tree):
    """Our program in Meson's directory `tree`, and Erlang's modules."""
    os.makedirs(BEAMS, exist_ok=True)
    if not os.path.exists(os.path.join(tree, "build.ninja")):
        subprocess.run(["meson", "setup", tree, ROOT], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", tree, "bench/coppice_bench"], check=True,
                   stdout=subprocess.DEVNULL)
    sources = [os.path.join(ROOT, "bench", "erlang", name + ".erl")
               for name in ("bench_peer", "bench_peer_server")]
    subprocess.run(["erlc", "-o", BEAMS] + sources, check=True)
    return os.path.join(tree, "bench", "coppice_bench")


def run_once(command, environment):
    """{name: (value, unit)} of one program; empty, with a word on stderr, if it failed."""
    shown = " ".join(command[-3:])
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True,
                              timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        print(f"! {shown}: no result in {TIMEOUT_S} s", file=sys.stderr)
        return {}
    figures = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) == 3:
            figures[words[0]] = (float(words[1]), words[2])
    if done.returncode != 0 or not figures:
        text = (done.stdout + done.stderr).strip()[-400:]
        print(f"! {shown}: status {done.returncode}: {text}", file=sys.stderr)
        return {}
    return figures


def run_ours(binary, workload, schedulers):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COP_")}
    environment["COP_SCHEDULERS"] = str(schedulers)
    return run_once([binary, workload], environment)


def run_peer(workload, schedulers):
    command = ["erl", "-noshell", "+S", f"{schedulers}:{schedulers}"]
    if workload.startswith("memory"):
        command += ["+P", "1100000"]  # its own default ends at 262,144 processes
    command += ["-pa", BEAMS, "-run", "bench_peer", "main", workload]
    return run_once(command, os.environ)


class Samples:
    """Every figure seen, by (name, schedulers) and side."""

    def __init__(self):
        self.values, self.units = {}, {}

    def add(self, workload, schedulers, side, figures):
        for name, (value, unit) in figures.items():
            if side == "peer" and workload in PEER_OF:
                name = workload
            self.values.setdefault((name, schedulers), {}).setdefault(side, []).append(value)
            self.units[name] = unit


def measure(binary, workloads):
    samples = Samples()
    for turn in range(RUNS):
        for schedulers in (1, 2):
            for workload in workloads:
                if workload in PRINTED_ONLY and turn >= 3:
                    continue
                sides = [("ours", lambda: run_ours(binary, workload, schedulers)),
                         ("peer", lambda: run_peer(workload, schedulers))]
                if workload in PEER_OF and PEER_OF[workload] in workloads:
                    sides.pop()  # its peer's figure is taken from the other workload
                for side, run in (sides if turn % 2 == 0 else reversed(sides)):
                    figures = run()
                    samples.add(workload, schedulers, side, figures)
                    for alias, of in PEER_OF.items():
                        if side == "peer" and of == workload and alias in workloads:
                            samples.add(alias, schedulers, side, figures)
        print(f"  pass {turn + 1} of {RUNS} done", file=sys.stderr)
    return samples


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0]
    except OSError:
        return "unknown"


def print_machine(load):
    model = "unknown"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    otp = first_line(["erl", "-noshell", "-eval",
                      'io:format("OTP ~s, erts ~s~n", [erlang:system_info(otp_release), '
                      'erlang:system_info(version)]), halt().'])
    print(f"machine   {model}, {os.cpu_count()} CPUs, Linux {platform.release()}")
    print(f"versions  Erlang/{otp}; {first_line(['cc', '--version'])}")
    print(f"load      {load[0]:.2f} {load[1]:.2f} {load[2]:.2f} before the first run")
    print(f"runs      {RUNS}, interleaved; medians, in brackets [lowest-highest]")


def short(value):
    if value >= 1e6:
        return f"{value / 1e6:.2f}M"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(values):
    return f"{short(statistics.median(values))} [{short(min(values))}-{short(max(values))}]"


def compare(samples):
    """Prints a line per figure; returns what results.json holds."""
    results = []
    print(f"\n{'name':22} {'unit':14} {'ours':28} {'peer':28} ratio")
    for (name, schedulers), sides in sorted(samples.values.items(), key=order):
        label, unit = f"{name}/{schedulers}", samples.units[name]
        if "ours" not in sides or "peer" not in sides:
            print(f"{label:22} {unit:14} no figure: {'peer' if 'ours' in sides else 'ours'} failed")
            continue
        ours, peer = statistics.median(sides["ours"]), statistics.median(sides["peer"])
        if ours <= 0 or peer <= 0:
            print(f"{label:22} {unit:14} no figure: not above zero")
            continue
        ratio = ours / peer if unit in HIGHER_IS_BETTER else peer / ours
        tie = min(sides["ours"]) <= max(sides["peer"]) and min(sides["peer"]) <= max(sides["ours"])
        print(f"{label:22} {unit:14} {cell(sides['ours']):28} {cell(sides['peer']):28} "
              f"{ratio:.2f}{' ~' if tie else ''}")
        if not name.startswith(tuple(PRINTED_ONLY)):
            results.append({"name": label, "unit": unit, "ours": ours, "peer": peer,
                            "peer_name": "Erlang/OTP", "ratio": round(ratio, 3)})
    if results:
        mean = math.exp(sum(math.log(r["ratio"]) for r in results) / len(results))
        print(f"\ngeometric mean of {len(results)} ratios: {mean:.2f}")
    return results


def order(item):
    names = SPEED + MEMORY + PRINTED_ONLY
    (name, schedulers), _ = item
    place = next((i for i, n in enumerate(names) if name.startswith(n) and n == name), None)
    return (len(names) if place is None else place, name, schedulers)


def main():
    words = sys.argv[1:]
    tree = os.path.join(ROOT, "build", "release")
    if words and ("/" in words[0] or os.path.isdir(words[0])):
        tree = os.path.abspath(words.pop(0))
    workloads = [w for w in SPEED + MEMORY + PRINTED_ONLY
                 if not words or any(word in w for word in words)]
    if not workloads:
        sys.exit("no workload has such a name: " + ", ".join(SPEED + MEMORY + PRINTED_ONLY))
    for tool in ("meson", "ninja", "erl", "erlc"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is needed and not there")
    binary = build(tree)
    load = os.getloadavg()
    print_machine(load)
    results = compare(measure(binary, workloads))
    path = os.path.join(OUT, "results.json")
    with open(path, "w") as f:
        json.dump(results, f, indent=1)
        f.write("\n")
    print(f"written   {os.path.relpath(path, ROOT)}")


if __name__ == "__main__":
    main()
