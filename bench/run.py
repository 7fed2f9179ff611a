#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks, ours and the peers', and compares them.

    bench/run.py [BUILD]              everything (at most 25 minutes); BUILD is Meson's directory
    bench/run.py [BUILD] call ring    workloads whose name contains one of the words
    bench/run.py [BUILD] --keep ring  the same, and the figures of the last run stay where none are new
    bench/run.py --list               the workloads
    bench/run.py --markdown           the figures of the last run as a table for docs/performance.md
    BENCH_RUNS=9 bench/run.py         more runs than the usual five
    BENCH_BUDGET_S=3600 bench/run.py  more time than 24 minutes; when it is over, figures have fewer runs

Rules: both sides have the same number of schedulers (name/1 and name/2), the same sizes, compiled
code; every workload is an OS process of its own that warms up first, counts what came back and times
itself; runs are interleaved, so that a slow minute of the machine hits all sides; figures are medians.
A ratio above 1 means that ours is better, whatever the unit. "~" marks a pair whose ranges overlap:
a tie. Erlang is the peer of every workload; where Go's channels or CAF's actors were the fastest
peer, they stand beside it.

Writes build/bench/results.json: a list of {name, unit, ours, peer, peer_name, ratio}, one for each
name and peer; and build/bench/samples.json: every figure of every run.
"""
import json
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "build", "bench")
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
BUDGET_S = float(os.environ.get("BENCH_BUDGET_S", "1440"))
TIMEOUT_S = 60

WORKLOADS = [
    "spawn", "pingpong", "call.1", "call.8", "call.1000", "fanin.cast", "fanin.send", "ring",
    "fanout", "bigmsg.binary", "bigmsg.list", "selective", "timers", "teardown.chain",
    "teardown.hub", "registry.register", "registry.lookup", "registry.via", "registry.dispatch",
    "teardown.chain.1M", "teardown.hub.1M", "supervisor.start", "supervisor.restart_burst",
    "supervisor.shutdown", "supervisor.shutdown.100k", "task.async_await", "task.async_stream",
    "genstage.pipeline", "genstage.broadcast", "genstage.partition", "genstage.demand1",
    "genstage.consumer_supervisor",
    "memory.gen_server", "memory.hibernated", "memory.raw", "memory.callback", "memory.timer",
    "hog.cooperative", "hog.uncooperative", "hog.blocking",
]
# Ours alone, and fewer runs: they show that the cost of one does not grow with the number of all.
ALONE = {"teardown.chain.1M", "teardown.hub.1M", "supervisor.shutdown.100k"}
ALONE_RUNS = 3
HIGHER_IS_BETTER = {"messages/s", "timers/s", "names/s", "lookups/s", "tasks/s", "events/s"}
# Bounds of behaviour, not of speed: not in the mean.
NOT_IN_MEAN = ("hog.", "selective.ratio")


class Erlang:
    name = "Erlang/OTP"
    # In Erlang a process waits in one way only, and every loop is preempted.
    same_as = {"memory.callback": "memory.raw", "hog.uncooperative": "hog.cooperative"}
    beams = os.path.join(OUT, "beams")

    def build(self):
        os.makedirs(self.beams, exist_ok=True)
        sources = [os.path.join(ROOT, "bench", "erlang", name + ".erl")
                   for name in ("bench_peer", "bench_peer_server", "bench_peer_stage",
                                 "bench_peer_supervisor")]
        subprocess.run(["erlc", "-o", self.beams] + sources, check=True)

    def runs(self, workload):
        return workload not in ALONE and not workload.startswith(("registry", "task"))

    def command(self, workload, schedulers):
        command = ["erl", "-noshell", "+S", f"{schedulers}:{schedulers}"]
        if workload.startswith("memory"):
            command += ["+P", "1100000"]  # its own default ends at 262,144 processes
        return command + ["-pa", self.beams, "-run", "bench_peer", "main", workload], {}

    def version(self):
        return "Erlang/" + first_line(
            ["erl", "-noshell", "-eval",
             'io:format("OTP ~s, erts ~s~n", [erlang:system_info(otp_release), '
             'erlang:system_info(version)]), halt().'])


class Elixir:
    name = "Elixir"
    same_as = {}
    beams = Erlang.beams

    def build(self):
        if shutil.which("elixirc") is None:
            print("! no elixir: its figures are left out", file=sys.stderr)
            return False
        os.makedirs(self.beams, exist_ok=True)
        sources = [os.path.join(ROOT, "bench", "elixir", name + ".ex")
                   for name in ("bench_registry", "bench_task")]
        return subprocess.run(["elixirc", "-o", self.beams] + sources,
                              stdout=subprocess.DEVNULL).returncode == 0

    def runs(self, workload):
        return workload.startswith(("registry", "task"))

    def command(self, workload, schedulers):
        return ["elixir", "--erl", f"+S {schedulers}:{schedulers}", "-pa", self.beams,
                "-e", f'Bench{workload.split(".")[0].capitalize()}.main("{workload}")'], {}

    def version(self):
        return "Elixir " + first_line(["elixir", "--short-version"])


class Go:
    name = "Go"
    same_as = {"hog.uncooperative": "hog.cooperative"}
    binary = os.path.join(OUT, "gobench")
    # Where goroutines with channels were the fastest of all peers. They share memory, and have no
    # mailboxes, links or monitors: a measure, not a peer that does the same.
    workloads = {"spawn", "pingpong", "call.1", "call.8", "call.1000", "fanin.send", "ring", "fanout",
                 "bigmsg.binary", "timers", "hog.cooperative", "hog.blocking"}

    def build(self):
        if shutil.which("go") is None:
            print("! no go: its figures are left out; scripts/setup bench installs it",
                  file=sys.stderr)
            return False
        environment = dict(os.environ, GOCACHE=os.path.join(OUT, "go-cache"), GOFLAGS="",
                           GOPROXY="off")
        subprocess.run(["go", "build", "-o", self.binary, "."], check=True, env=environment,
                       cwd=os.path.join(ROOT, "bench", "go"))

    def runs(self, workload):
        return workload in self.workloads

    def command(self, workload, schedulers):
        return [self.binary, workload], {"GOMAXPROCS": schedulers}

    def version(self):
        return first_line(["go", "version"]).replace("go version ", "")


class Caf:
    name = "CAF"
    same_as = {"memory.gen_server": "memory.callback"}  # an actor is an actor
    binary = os.path.join(OUT, "cafbench")
    workloads = {"memory.callback", "bigmsg.list"}

    def build(self):
        source = os.path.join(ROOT, "bench", "caf", "bench.cpp")
        if not os.path.exists("/usr/include/caf/all.hpp") or shutil.which("g++") is None:
            print("! no CAF: its figures are left out; scripts/setup bench installs it",
                  file=sys.stderr)
            return False
        if (os.path.exists(self.binary)
                and os.path.getmtime(self.binary) > os.path.getmtime(source)):
            return None
        return subprocess.run(["g++", "-std=c++17", "-O2", source, "-o", self.binary, "-lcaf_core",
                               "-pthread"]).returncode == 0

    def runs(self, workload):
        return workload in self.workloads

    def command(self, workload, schedulers):
        return [self.binary, workload, str(schedulers)], {}

    def version(self):
        return "CAF " + first_line(["dpkg-query", "-W", "-f", "${Version}", "libcaf-dev"])


PEERS = [Erlang(), Elixir(), Go(), Caf()]


def build_ours(tree):
    """Our programs in Meson's directory `tree`."""
    if not os.path.exists(os.path.join(tree, "build.ninja")):
        subprocess.run(["meson", "setup", tree, ROOT, "-Db_lto=true"], check=True,
                       stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", tree, "bench/coppice_bench", "bench/floor"], check=True,
                   stdout=subprocess.DEVNULL)


def run_once(command, environment):
    """{name: (value, unit)} of one program; empty, with a word on stderr, if it failed."""
    shown = " ".join(os.path.basename(word) for word in command)
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, err = child.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        print(f"! {shown}: no result in {TIMEOUT_S} s", file=sys.stderr)
        return {}
    figures = {}
    for line in out.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] != "FAILED":
            figures[words[0]] = (float(words[1]), words[2])
    if child.returncode != 0 or not figures:
        print(f"! {shown}: status {child.returncode}: {(out + err).strip()[-400:]}",
              file=sys.stderr)
        return {}
    return figures


def clean_environment(**more):
    environment = {k: v for k, v in os.environ.items()
                   if not k.startswith(("COP_", "ERL_", "GO", "CAF_"))}
    environment.update({k: str(v) for k, v in more.items()})
    return environment


def run_side(side, binary, workload, schedulers):
    if side is None:
        return run_once([binary, workload], clean_environment(COP_SCHEDULERS=schedulers))
    command, more = side.command(workload, schedulers)
    return run_once(command, clean_environment(**more))


class Samples:
    """Every figure seen: values[name/schedulers][side's name], in the order of the workloads."""

    def __init__(self):
        self.values, self.units, self.machine = {}, {}, []

    def add(self, schedulers, side_name, figures):
        for name, (value, unit) in figures.items():
            sides = self.values.setdefault(f"{name}/{schedulers}", {})
            sides.setdefault(side_name, []).append(value)
            self.units[f"{name}/{schedulers}"] = unit

    def save(self, path):
        with open(path, "w") as f:
            json.dump(vars(self), f, indent=1)
            f.write("\n")

    def keep(self, old):
        """What only the old one has; the machine is the new one's."""
        for label, sides in old.values.items():
            if label not in self.values:
                self.values[label], self.units[label] = sides, old.units[label]

    @staticmethod
    def load(path):
        samples = Samples()
        with open(path) as f:
            vars(samples).update(json.load(f))
        return samples


def renamed(figures, old, new):
    return {new + name[len(old):]: figure for name, figure in figures.items()}


def take(samples, binary, peers, workload, schedulers, turn, chosen):
    """One turn of a workload on all sides; they begin in another order each time."""
    sides = [None] + [peer for peer in peers
                      if peer.runs(peer.same_as.get(workload, workload))]
    shift = turn % len(sides)
    for side in sides[shift:] + sides[:shift]:
        source = side.same_as.get(workload) if side else None
        if source in chosen:
            continue  # added when the other workload runs
        figures = run_side(side, binary, source or workload, schedulers)
        name = side.name if side else "ours"
        if source:
            figures = renamed(figures, source, workload)
        samples.add(schedulers, name, figures)
        for alias, of in (side.same_as if side else {}).items():
            if of == workload and alias in chosen:
                samples.add(schedulers, name, renamed(figures, of, alias))


def measure(samples, binary, peers, chosen):
    began = time.monotonic()
    for turn in range(RUNS):
        for schedulers in (1, 2):
            for workload in chosen:
                if workload in ALONE and turn >= ALONE_RUNS:
                    continue
                if time.monotonic() - began > BUDGET_S:
                    print(f"! {BUDGET_S:.0f} s are over in pass {turn + 1} of {RUNS}: some figures "
                          "have fewer runs", file=sys.stderr)
                    return
                take(samples, binary, peers, workload, schedulers, turn, chosen)
        print(f"  pass {turn + 1} of {RUNS} done after {time.monotonic() - began:.0f} s",
              file=sys.stderr)


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0]
    except OSError:
        return "unknown"


def machine(peers):
    model = platform.machine()
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    versions = [first_line(["cc", "--version"])] + [peer.version() for peer in peers]
    load = os.getloadavg()
    return [
        ("machine", f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}"),
        ("versions", "; ".join(versions)),
        ("load", f"{load[0]:.2f} {load[1]:.2f} {load[2]:.2f} before the first run"),
        ("runs", f"{RUNS}, interleaved; medians, in brackets [lowest-highest]"),
    ]


def short(value):
    if value >= 1e6:
        return f"{value / 1e6:.2f}M"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(values):
    return f"{short(statistics.median(values))} [{short(min(values))}-{short(max(values))}]"


class Row:
    """One figure of ours beside that of one peer, or alone."""

    def __init__(self, name, unit, ours, peer_name=None, peer=None):
        self.name, self.unit, self.ours, self.peer_name, self.peer = name, unit, ours, peer_name, peer
        self.ratio, self.tie = None, False
        if peer and statistics.median(ours) > 0 and statistics.median(peer) > 0:
            self.ratio = statistics.median(peer) / statistics.median(ours)
            if unit in HIGHER_IS_BETTER:
                self.ratio = 1 / self.ratio
            self.tie = min(ours) <= max(peer) and min(peer) <= max(ours)

    def shown_ratio(self):
        return "" if self.ratio is None else f"{self.ratio:.2f}{' ~' if self.tie else ''}"

    def result(self):
        return {"name": self.name, "unit": self.unit, "ours": statistics.median(self.ours),
                "peer": statistics.median(self.peer), "peer_name": self.peer_name,
                "ratio": round(self.ratio, 3)}


def rows_of(samples):
    """All rows, in the order of the workloads; what failed on our side is missing."""
    def place(label):
        fitting = [w for w in WORKLOADS if label.startswith(w)]
        return (WORKLOADS.index(max(fitting, key=len)), label.rsplit("/", 1)[0], label)

    rows = []
    for label in sorted(samples.values, key=place):
        sides = samples.values[label]
        if "ours" not in sides:
            print(f"! {label}: no figure of ours", file=sys.stderr)
            continue
        others = [side for side in sides if side != "ours"]
        for peer in others:
            rows.append(Row(label, samples.units[label], sides["ours"], peer, sides[peer]))
        if not others:
            rows.append(Row(label, samples.units[label], sides["ours"]))
    return rows


def print_rows(rows):
    print(f"\n{'name':28} {'unit':14} {'ours':24} {'peer':24} {'ratio':8} of")
    for row in rows:
        print(f"{row.name:28} {row.unit:14} {cell(row.ours):24} "
              f"{cell(row.peer) if row.peer else '-':24} {row.shown_ratio():8} "
              f"{row.peer_name or ''}".rstrip())
    for peer in dict.fromkeys(row.peer_name for row in rows if row.ratio):
        ratios = [row.ratio for row in rows if row.peer_name == peer and row.ratio
                  and not row.name.startswith(NOT_IN_MEAN)]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            print(f"\ngeometric mean of {len(ratios)} ratios to {peer}: {mean:.2f}")


def print_markdown(samples):
    for name, text in samples.machine:
        print(f"- {name}: {text}")
    print("\n| figure | unit | Coppice | peer | ratio | peer's name |\n|---|---|---|---|---|---|")
    for row in rows_of(samples):
        print(f"| `{row.name}` | {row.unit} | {cell(row.ours)} | "
              f"{cell(row.peer) if row.peer else '-'} | {row.shown_ratio()} | "
              f"{row.peer_name or ''} |")


def print_floor(tree):
    print("\nthe machine's limits (bench/floor)")
    for name, (value, unit) in run_once([os.path.join(tree, "bench", "floor")],
                                        clean_environment()).items():
        print(f"  {name:26} {short(value):>8} {unit}")


def fits(word, workload):
    return word in workload or word.startswith(workload + ".") or word.startswith(workload + "/")


def main():
    words = [word for word in sys.argv[1:] if word != "--keep"]
    if "--list" in words:
        sys.exit(print("\n".join(WORKLOADS)))
    if "--markdown" in words:
        sys.exit(print_markdown(Samples.load(os.path.join(OUT, "samples.json"))))
    tree = os.path.join(ROOT, "build", "release")
    if words and ("/" in words[0] or os.path.isdir(words[0])):
        tree = os.path.abspath(words.pop(0))
    chosen = [w for w in WORKLOADS if not words or any(fits(word, w) for word in words)]
    if not chosen:
        sys.exit("no workload has such a name: " + ", ".join(WORKLOADS))
    for tool in ("meson", "ninja", "erl", "erlc"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is needed and not there; scripts/setup bench installs it")
    os.makedirs(OUT, exist_ok=True)
    build_ours(tree)
    peers = [peer for peer in PEERS if peer.build() is not False]
    samples = Samples()
    samples.machine = machine(peers)
    for name, text in samples.machine:
        print(f"{name:9} {text}")
    print_floor(tree)
    sys.stdout.flush()
    measure(samples, os.path.join(tree, "bench", "coppice_bench"), peers, chosen)
    kept = os.path.join(OUT, "samples.json")
    if "--keep" in sys.argv and os.path.exists(kept):
        samples.keep(Samples.load(kept))
    samples.save(kept)
    rows = rows_of(samples)
    print_rows(rows)
    path = os.path.join(OUT, "results.json")
    with open(path, "w") as f:
        json.dump([row.result() for row in rows if row.ratio], f, indent=1)
        f.write("\n")
    print(f"written   {os.path.relpath(path, ROOT)}")


if __name__ == "__main__":
    main()
