#!/usr/bin/env python3
"""Asks the typed columns of a topic of flights what analysts ask, with pyiceberg, DuckDB and Polars.

    typed.py CATALOG TABLE

CATALOG is the address of the catalog, http://HOST:PORT/iceberg. Prints one JSON object a line: by which program, how many
rows there are, how many flights each month has, and the mean delay at arrival of each carrier.
"""

import json
import sys

import polars
from catalog import lake
from pyiceberg.catalog.rest import RestCatalog


def by_pyiceberg(address, name):
    """Asks pyiceberg for the typed columns, and pyarrow for the rest."""
    table = RestCatalog("ebb", uri=address).load_table(("kafka", name))
    rows = table.scan(selected_fields=("v",)).to_arrow().flatten()
    months = rows.group_by("v.month").aggregate([("v.month", "count")]).to_pylist()
    delays = rows.group_by("v.carrier").aggregate([("v.arr_delay", "mean")]).to_pylist()
    return {
        "program": "pyiceberg",
        "rows": len(rows),
        "months": {row["v.month"]: row["v.month_count"] for row in months},
        "delays": {row["v.carrier"]: row["v.arr_delay_mean"] for row in delays},
    }


def by_duckdb(address, name):
    """Asks DuckDB."""
    connection, table = lake(address), f'lake.kafka."{name}"'

    def ask(sql):
        return connection.sql(sql).fetchall()

    return {
        "program": "duckdb",
        "rows": ask(f"select count(v) from {table}")[0][0],
        "months": dict(ask(f"select v.month as m, count(*) from {table} group by m")),
        "delays": dict(ask(f"select v.carrier as c, avg(v.arr_delay) from {table} group by c")),
    }


def by_polars(address, name):
    """Asks Polars."""
    table = RestCatalog("ebb", uri=address).load_table(("kafka", name))
    flights = polars.scan_iceberg(table).select("v").unnest("v").collect()
    return {
        "program": "polars",
        "rows": len(flights),
        "months": dict(flights.group_by("month").len().rows()),
        "delays": dict(flights.group_by("carrier").agg(polars.col("arr_delay").mean()).rows()),
    }


def main():
    """Prints the answers."""
    for ask in (by_pyiceberg, by_duckdb, by_polars):
        print(json.dumps(ask(*sys.argv[1:])))


if __name__ == "__main__":
    main()
