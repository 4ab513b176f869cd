#!/usr/bin/env python3
"""Asks a foreign Iceberg catalog for a mirrored table, with pyiceberg and DuckDB.

    mirror.py CATALOG TABLE             prints one JSON object a line: by which program, how many rows there are, and
                                        how many have a typed column `a`
    mirror.py CATALOG TABLE create      creates such a table, as somebody else would
"""

import json
import sys

import pyarrow
from catalog import lake
from pyiceberg.catalog.rest import RestCatalog


def main():
    """Prints the answers."""
    address, name, *create = sys.argv[1:]
    catalog = RestCatalog("foreign", uri=address)
    if create:
        catalog.create_table(("kafka", name), pyarrow.schema([("a", pyarrow.int64())]))
        return
    rows = catalog.load_table(("kafka", name)).scan().to_arrow()
    typed = sum(v.as_py() is not None for v in rows["v"]) if "v" in rows.column_names else 0
    print(json.dumps({"program": "pyiceberg", "rows": len(rows), "typed": typed}))
    connection = lake(address)
    count = lambda of: connection.sql(f'select count({of}) from lake.kafka."{name}"').fetchall()[0][0]
    typed = count("v.a") if "v" in rows.column_names else 0
    print(json.dumps({"program": "duckdb", "rows": count("*"), "typed": typed}))


if __name__ == "__main__":
    main()
