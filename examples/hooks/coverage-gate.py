#!/usr/bin/env python3
# Blocks (exit 2) when the test coverage is below the wanted minimum.
# For: validate.started, with fail_mode: stop
# Settings: COVERAGE_MINIMUM (percent, default 80), COVERAGE_REQUIRED (1: block without a report, too)
import json
import os
import sys
import xml.etree.ElementTree as xml

MAX_BYTES = 20 * 1024 * 1024


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        sys.exit(f"{path} is larger than 20 MB")
    return text


def cobertura(path):
    text = read(path)
    # Entities could expand without end; cobertura's own DOCTYPE has none, so it is dropped.
    if "<!ENTITY" in text:
        sys.exit(f"{path} declares entities")
    return float(xml.fromstring(text).get("line-rate")) * 100


def lcov(path):
    lines = read(path).splitlines()
    found = sum(int(line[3:]) for line in lines if line.startswith("LF:"))
    hit = sum(int(line[3:]) for line in lines if line.startswith("LH:"))
    return 100 * hit / found if found else 100.0


def coverage_py(path):
    return float(json.loads(read(path))["totals"]["percent_covered"])


REPORTS = [
    ("coverage.xml", cobertura),
    ("lcov.info", lcov),
    ("coverage/lcov.info", lcov),
    ("coverage.json", coverage_py),
]


def main():
    sys.stdin.read()
    os.chdir(os.environ["HOOK_WORKSPACE"])
    minimum = float(os.environ.get("COVERAGE_MINIMUM", "80"))
    for path, measure in REPORTS:
        if os.path.isfile(path):
            covered = measure(path)
            print(f"{path}: {covered:.1f} % covered, wanted {minimum:g} %")
            if covered < minimum:
                print(f"coverage is {covered:.1f} %, below the minimum of {minimum:g} %", file=sys.stderr)
                sys.exit(2)
            return
    names = ", ".join(path for path, _ in REPORTS)
    print(f"no coverage report found; looked for {names}", file=sys.stderr)
    sys.exit(2 if os.environ.get("COVERAGE_REQUIRED") == "1" else 77)


main()
