#!/usr/bin/env python3
"""Asks an agent's Iceberg catalog what analysts ask, with pyiceberg, DuckDB and Polars.

    catalog.py CATALOG TABLE PARTITION FROM TO

CATALOG is the address of the catalog, http://HOST:PORT/iceberg. Files of an S3 store at AWS_ENDPOINT are read with the keys
in the environment. FROM and TO bound offsets of one partition. Prints one
JSON object a line: by which program, the tables, how many rows there are, how many each snapshot has, how many the range
has, the sum of the values, which are numbers, and of those that tell it, how many files have to be read for the range
and what an attempt to write says.
"""

import importlib
import json
import os
import pathlib
import re
import sys

import duckdb
import polars
import pyarrow
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import RESTError


def by_pyiceberg(address, name, partition, first, end):
    """Asks pyiceberg."""
    catalog = RestCatalog("ebb", uri=address)
    table = catalog.load_table(("kafka", name))
    scan = table.scan(row_filter=f"partition = {partition} and offset >= {first} and offset < {end}")
    try:
        catalog.create_table(("kafka", "mine"), pyarrow.schema([("a", pyarrow.int64())]))
        refused = None
    except (NotImplementedError, RESTError) as error:
        refused = str(error)
    rows = table.scan().to_arrow()
    return {
        "program": "pyiceberg",
        "tables": sorted(found[-1] for found in catalog.list_tables("kafka")),
        "rows": len(rows),
        "sum": sum(int(value.as_py()) for value in rows["value"]),
        "snapshots": {
            snapshot.snapshot_id: table.scan(snapshot_id=snapshot.snapshot_id).count()
            for snapshot in table.snapshots()
        },
        "range_rows": len(scan.to_arrow()),
        "range_files": len(list(scan.plan_files())),
        "refused": refused,
    }


def lake(address):
    """Attaches the catalog to DuckDB, whose extensions come as packages, as `lake`."""
    connection = duckdb.connect()
    for extension in ("avro", "httpfs", "iceberg"):
        package = pathlib.Path(importlib.import_module(f"duckdb_extension_{extension}").__path__[0])
        file = next(package.rglob(f"{extension}.duckdb_extension"))
        connection.sql(f"load '{file}'")
    endpoint = os.environ.get("AWS_ENDPOINT")
    if endpoint:
        connection.sql(f"""create secret (
            type s3, key_id '{os.environ["AWS_ACCESS_KEY_ID"]}', secret '{os.environ["AWS_SECRET_ACCESS_KEY"]}',
            endpoint '{endpoint.removeprefix("http://")}', url_style 'path', use_ssl false)""")
    connection.sql(f"attach '' as lake (type iceberg, endpoint '{address}', authorization_type 'none')")
    return connection


def by_duckdb(address, name, partition, first, end):
    """Asks DuckDB."""
    connection = lake(address)
    table = f'lake.kafka."{name}"'

    def ask(sql):
        return connection.sql(sql).fetchall()

    wanted = f'partition = {partition} and "offset" >= {first} and "offset" < {end}'
    plan = ask(f"explain analyze select count(*) from {table} where {wanted}")[0][1]
    try:
        connection.sql("create table lake.kafka.mine (a int)")
        refused = None
    except duckdb.Error as error:
        refused = str(error)
    return {
        "program": "duckdb",
        "tables": sorted(row[0] for row in ask("select table_name from duckdb_tables() where database_name = 'lake'")),
        "rows": ask(f"select count(*) from {table}")[0][0],
        "sum": int(ask(f"select sum(decode(value)::bigint) from {table}")[0][0] or 0),
        "snapshots": {
            number: ask(f"select count(*) from {table} at (version => {number})")[0][0]
            for (number,) in ask(f"select snapshot_id from iceberg_snapshots({table})")
        },
        "range_rows": ask(f"select count(*) from {table} where {wanted}")[0][0],
        "range_files": int(re.search(r"Total Files Read: (\d+)", plan).group(1)),
        "refused": refused,
    }


def by_polars(address, name, partition, first, end):
    """Asks Polars, which finds the table by pyiceberg and reads it by itself."""
    table = RestCatalog("ebb", uri=address).load_table(("kafka", name))
    rows = polars.scan_iceberg(table)
    offset = polars.col("offset")
    wanted = rows.filter((polars.col("partition") == partition) & (offset >= first) & (offset < end))
    count = lambda of: of.select(polars.len()).collect().item()
    return {
        "program": "polars",
        "tables": sorted(found[-1] for found in RestCatalog("ebb", uri=address).list_tables("kafka")),
        "rows": count(rows),
        "sum": rows.select(polars.col("value").cast(polars.String).cast(polars.Int64).sum()).collect().item(),
        "snapshots": {
            snapshot.snapshot_id: count(polars.scan_iceberg(table, snapshot_id=snapshot.snapshot_id))
            for snapshot in table.snapshots()
        },
        "range_rows": count(wanted),
        "range_files": None,
        "refused": None,
    }


def main():
    """Prints the answers."""
    address, name, *numbers = sys.argv[1:]
    for ask in (by_pyiceberg, by_duckdb, by_polars):
        print(json.dumps(ask(address, name, *map(int, numbers))), flush=True)


if __name__ == "__main__":
    main()
