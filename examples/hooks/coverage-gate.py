#!/usr/bin/env python3
# Blocks (exit 2) when the test coverage is below the wanted minimum.
# For: validate.started, with fail_mode: stop
# Settings: COVERAGE_MINIMUM (percent, default 80), COVERAGE_REQUIRED (1: block without a report, too)
import json
import math
import os
import sys
import xml.etree.ElementTree as xml

MAX_BYTES = 20 * 1024 * 1024


def read(path):
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError("it is larger than 20 MB")
    return data.decode("utf-8", "replace")


def cobertura(path):
    text = read(path)
    # Entities can expand without end. A bare DOCTYPE, as gcovr writes it, cannot, and is never fetched.
    if "<!ENTITY" in text:
        raise ValueError("it declares entities")
    # Parsed as text: an encoding it declares cannot hide an entity from the line above.
    return float(xml.fromstring(text).attrib["line-rate"]) * 100


def lcov(path):
    lines = read(path).splitlines()
    found = sum(int(line[3:]) for line in lines if line.startswith("LF:"))
    hit = sum(int(line[3:]) for line in lines if line.startswith("LH:"))
    if found <= 0:
        raise ValueError("it counts no lines")
    return 100 * hit / found


def coverage_py(path):
    return float(json.loads(read(path))["totals"]["percent_covered"])


REPORTS = [
    ("coverage.xml", cobertura),
    ("coverage/lcov.info", lcov),
    ("lcov.info", lcov),
    ("coverage.json", coverage_py),
]


def percent(value):
    number = float(value)
    if not 0 <= number <= 100:
        raise ValueError(f"{value} is not a percentage")
    return number


def main():
    sys.stdin.buffer.read()
    os.chdir(os.environ["HOOK_WORKSPACE"])
    try:
        minimum = percent(os.environ.get("COVERAGE_MINIMUM") or "80")
    except ValueError as error:
        sys.exit(f"COVERAGE_MINIMUM: {error}")
    path, measure = next((report for report in REPORTS if os.path.isfile(report[0])), (None, None))
    if path is None:
        names = ", ".join(name for name, _ in REPORTS)
        print(f"no coverage report found; looked for {names}", file=sys.stderr)
        sys.exit(2 if os.environ.get("COVERAGE_REQUIRED") == "1" else 77)
    try:
        # To the thousandth, without what floating point adds: 0.29 * 100 is 28.999999999999996.
        covered = round(percent(measure(path)), 3)
    except (OSError, ValueError, KeyError, TypeError, xml.ParseError) as error:
        sys.exit(f"{path} cannot be used: {error}")
    # Rounded down: what is below the minimum must not look like it.
    shown = f"{math.floor(covered * 10) / 10:.1f}"
    print(f"{path}: {shown} % covered, wanted {minimum:g} %")
    if covered < minimum:
        print(f"coverage is {shown} %, below the minimum of {minimum:g} %", file=sys.stderr)
        sys.exit(2)


main()
