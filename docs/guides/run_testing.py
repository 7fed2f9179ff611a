#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run_testing.py PROGRAM: runs the tests of testing.md. All must pass but the one that is meant to fail;
the command of its report must fail in the same way, with the same trace."""
import os
import re
import subprocess
import sys

MEANT_TO_FAIL = "this_one_fails_under_some_seeds"


def run(command, environment):
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.returncode, done.stdout.decode()


def must(good, what, output):
    if not good:
        sys.exit(f"{what}\n{output}")


def main():
    program = sys.argv[1]
    plain = {name: value for name, value in os.environ.items()
             if not name.startswith(("COP_SIM", "COPPICE_TEST_SEED"))}
    status, output = run([program], plain)
    print(output)
    failed = re.findall(r"^not ok \d+ - (\S+)", output, re.M)
    must(status == 1 and failed == [MEANT_TO_FAIL], f"these failed: {failed}", "")

    report = re.search(r"simulated with seed (\d+), trace (\w+)$", output, re.M)
    again = re.search(r"^#   again: COPPICE_TEST_SEED=(\d+) (\S+) (\S+)$", output, re.M)
    must(report and again, "the report says no seed, or not how to run it again", output)
    must(again[1] == report[1] and again[3] == MEANT_TO_FAIL, "the command is another", output)

    for _ in range(2):
        status, output = run([program, again[3]], dict(plain, COPPICE_TEST_SEED=again[1]))
        must(status == 1, "the seed does not fail again", output)
        must(report[0] in output, f"not again: {report[0]}", output)


main()
