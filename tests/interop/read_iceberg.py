#!/usr/bin/env python3
"""Reads one of Lakehead's tables with PyIceberg and with DuckDB, and says what each saw.

    read_iceberg.py CATALOG_DB ZONE.TABLE [METADATA_JSON] [--append ROWS_JSON] [--snapshot ID]

Prints one JSON object a line: {"reader", "rows", "columns", "sums", "nulls"}; sums are of number columns, and of the
lengths of text columns; what is within a column is summed as `column.field`, `column.element` or `column.value`. `--append`
first adds rows (a JSON list of objects) through PyIceberg, as another engine would.
DuckDB reads METADATA_JSON (by default the one the catalog points to) with its iceberg extension; where the extension
cannot be loaded, it reads the Parquet files that PyIceberg plans, if nothing is deleted from them.

Needs: pip install 'pyiceberg[sql-sqlite,pyarrow]' duckdb duckdb-extensions duckdb-extension-iceberg duckdb-extension-avro
"""

import argparse
import json
import sys


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("catalog_db")
    parser.add_argument("table")
    parser.add_argument("metadata", nargs="?")
    parser.add_argument("--append")
    parser.add_argument("--snapshot", type=int)
    arguments = parser.parse_args()

    table = load(arguments.catalog_db, arguments.table)
    if arguments.append:
        append(table, json.loads(arguments.append))
        table = load(arguments.catalog_db, arguments.table)
    scan = table.scan(snapshot_id=arguments.snapshot)
    report("pyiceberg", scan.to_arrow())
    metadata = arguments.metadata or table.metadata_location
    reader, rows = duckdb_rows(metadata, scan, arguments.snapshot)
    report(reader, rows)


def load(catalog_db, name):
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("lakehead", uri=f"sqlite:///{catalog_db}", init_catalog_tables="false")
    zone, _, table = name.partition(".")
    return catalog.load_table((zone, table))


def append(table, rows):
    import pyarrow

    table.append(pyarrow.Table.from_pylist(rows, schema=table.schema().as_arrow()))


def duckdb_rows(metadata, scan, snapshot):
    import duckdb

    connection = duckdb.connect()
    try:
        import duckdb_extensions

        for extension in ("avro", "iceberg"):
            duckdb_extensions.import_extension(extension)
            connection.execute(f"LOAD {extension}")
    except Exception as error:
        tasks = list(scan.plan_files())
        if any(task.delete_files for task in tasks):
            sys.exit(f"DuckDB has no iceberg extension here ({error}), and plain Parquet would show deleted rows")
        paths = [task.file.file_path.removeprefix("file://") for task in tasks]
        return "duckdb (parquet)", arrow(connection.execute("SELECT * FROM read_parquet(?, union_by_name = true)", [paths]))
    version = f", snapshot_from_id = {snapshot}" if snapshot else ""
    return "duckdb", arrow(connection.execute(f"SELECT * FROM iceberg_scan(?{version})", [metadata.removeprefix("file://")]))


def arrow(result):
    rows = result.fetch_arrow_table() if hasattr(result, "fetch_arrow_table") else result.arrow()
    return rows.read_all() if hasattr(rows, "read_all") else rows


def report(reader, rows):
    import pyarrow
    import pyarrow.compute

    sums, nulls = {}, {}
    columns = [leaf for name in rows.column_names for leaf in leaves(name, rows.column(name))]
    for name, column in columns:
        nulls[name] = column.null_count
        if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
            column = pyarrow.compute.utf8_length(column)
        if pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type):
            total = pyarrow.compute.sum(column).as_py()
            sums[name] = total if total is not None else 0
    print(json.dumps({"reader": reader, "rows": rows.num_rows, "columns": rows.column_names, "sums": sums, "nulls": nulls}))


def leaves(name, column):
    """The column itself, or the simple columns within it."""
    import pyarrow
    import pyarrow.compute

    kind = column.type
    if pyarrow.types.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        within = [(field.name, pyarrow.compute.struct_field(column, index)) for index, field in enumerate(fields)]
    elif pyarrow.types.is_map(kind):
        within = [("value", pyarrow.chunked_array([chunk.items for chunk in column.chunks], kind.item_type))]
    elif pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        within = [("element", pyarrow.compute.list_flatten(column))]
    else:
        return [(name, column)]
    return [leaf for inner, values in within for leaf in leaves(f"{name}.{inner}", values)]


if __name__ == "__main__":
    main()
