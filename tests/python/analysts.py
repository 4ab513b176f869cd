#!/usr/bin/env python3
"""Asks the archive files of a topic of flights what analysts ask, with DuckDB, pyarrow and Polars.

    analysts.py DIRECTORY

Prints one JSON object a line: by which program, how many rows there are, how many flights each month has, and the mean
delay at arrival of each carrier. The values are the JSON of flights.py.
"""

import collections
import json
import pathlib
import sys

import duckdb
import polars
import pyarrow.parquet


def by_duckdb(files):
    """Asks DuckDB, which reads all files as one table."""
    table = f"read_parquet({[str(file) for file in files]})"
    field = "decode(value)::json->>"

    def ask(sql):
        return duckdb.sql(sql.format(table=table)).fetchall()

    return {
        "program": "duckdb",
        "rows": ask("select count(*) from {table}")[0][0],
        "months": dict(ask(f"select ({field}'month')::int as m, count(*) from {{table}} group by m order by m")),
        "delays": dict(ask(f"select {field}'carrier' as c, avg(({field}'arr_delay')::int) from {{table}} group by c order by c")),
    }


def by_pyarrow(files):
    """Asks pyarrow for the column of values, and computes the rest."""
    months, delays, rows = collections.Counter(), collections.defaultdict(list), 0
    for file in files:
        for value in pyarrow.parquet.read_table(file, columns=["value"])["value"]:
            flight = json.loads(value.as_py())
            rows += 1
            months[flight["month"]] += 1
            if flight["arr_delay"] is not None:
                delays[flight["carrier"]].append(flight["arr_delay"])
    mean = {carrier: sum(all_of_it) / len(all_of_it) for carrier, all_of_it in sorted(delays.items())}
    return {"program": "pyarrow", "rows": rows, "months": dict(sorted(months.items())), "delays": mean}


def by_polars(files):
    """Asks Polars, which reads all files as one table."""
    flight = polars.Struct({"month": polars.Int64, "carrier": polars.String, "arr_delay": polars.Int64})
    values = polars.scan_parquet(files).select(polars.col("value").cast(polars.String).str.json_decode(flight))
    flights = values.unnest("value").collect()
    months = flights.group_by("month").len().sort("month")
    delays = flights.group_by("carrier").agg(polars.col("arr_delay").mean()).sort("carrier")
    return {"program": "polars", "rows": len(flights), "months": dict(months.rows()), "delays": dict(delays.rows())}


def main():
    """Prints the answers."""
    files = sorted(pathlib.Path(sys.argv[1]).glob("*.parquet"))
    for ask in (by_duckdb, by_pyarrow, by_polars):
        print(json.dumps(ask(files)))


if __name__ == "__main__":
    main()
