#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/conformance: which cases a test's name names, and what is a failure."""
import importlib.machinery
import importlib.util
import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(os.path.dirname(os.path.dirname(HERE)), "scripts", "conformance")
loader = importlib.machinery.SourceFileLoader("conformance", SCRIPT)
spec = importlib.util.spec_from_loader("conformance", loader)
tool = importlib.util.module_from_spec(spec)
loader.exec_module(tool)

LIST = """chapter ZZ: A chapter
ZZ-001 the first
ZZ-002 the second
    left out: no reason
"""


def judged(log, text=LIST):
    """The rows and the problems for a list of cases and the TAP of one program."""
    with tempfile.TemporaryDirectory() as folder:
        tool.LISTS = folder
        os.mkdir(os.path.join(folder, "meson-logs"))
        with open(os.path.join(folder, "zz.txt"), "w", encoding="utf-8") as out:
            out.write(text)
        with open(os.path.join(folder, "meson-logs", "testlog.json"), "w", encoding="utf-8") as out:
            out.write(json.dumps({"name": "zz", "stdout": log, "result": "OK"}) + "\n")
        problems = []
        rows = tool.document(tool.gather(folder, problems), problems)
        return [row for row in rows.splitlines() if row.startswith("| ZZ-")], problems


def a_name_begins_with_its_case():
    assert tool.cases_of("PR_033_a_trapper") == ["PR-033"]
    assert tool.cases_of("PR-033 of a program in another language") == ["PR-033"]


def a_name_may_have_several_cases():
    assert tool.cases_of("PR_010_and_011_limits") == ["PR-010", "PR-011"]
    assert tool.cases_of("PR_010_011_limits") == ["PR-010", "PR-011"]
    assert tool.cases_of("PR_010_to_013_limits") == ["PR-010", "PR-011", "PR-012", "PR-013"]
    assert tool.cases_of("PR_040_and_SU_012_x") == ["PR-040", "SU-012"]
    assert tool.cases_of("a_sentence_with_PR_012") == ["PR-012"]


def other_numbers_are_no_cases():
    assert tool.cases_of("PR_094_1000_messages") == ["PR-094"]
    assert tool.cases_of("XPR_010_x") == []
    assert tool.cases_of("a_thousand_of_100") == []


def rows_and_reasons():
    rows, problems = judged("1..1\nok 1 - ZZ_001_x\n")
    assert rows == ["| ZZ-001 | passed | test: ZZ_001_x |", "| ZZ-002 | left out | no reason |"], rows
    assert problems == [], problems


def failures_are_told():
    for log, text in [("", "ZZ-001 has no test"), ("not ok 1 - ZZ_001_x", "ZZ-001 has a failing test"),
                      ("ok 1 - ZZ_001_x # SKIP no port", "ZZ-001 has only tests that were skipped"),
                      ("ok 1 - ZZ_001_and_002_x", "ZZ-002 has a test, so it is not left out"),
                      ("ok 1 - ZZ_001_x\nok 2 - ZZ_003_y", "ZZ-003 stands in no list")]:
        _, problems = judged(log)
        assert len(problems) == 1 and problems[0].startswith(text), (text, problems)
    _, problems = judged("ok 1 - ZZ_001_x", LIST + "nonsense\n")
    assert len(problems) == 1 and "zz.txt:5" in problems[0], problems


def main():
    tests = [a_name_begins_with_its_case, a_name_may_have_several_cases, other_numbers_are_no_cases,
             rows_and_reasons, failures_are_told]
    print(f"1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} - {test.__name__}")
        except AssertionError as error:
            failed = 1
            print(f"not ok {number} - {test.__name__}\n#   {error}")
    return failed


sys.exit(main())
