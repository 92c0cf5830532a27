"""Reads the sealed rows of one tracer with DuckDB and with pandas, as people do who analyse them, and prints both as JSON.

Arguments: the folder of the segments, the tracer, the names of the columns of numbers and texts. Prints
{"duckdb": {...}, "pandas": {...}}, each with "rows" (all of these columns, the exact bytes of `fname` in hex, and the time
as text, UTC), "count" and "sums" (of the columns of numbers).
"""

import json
import sys

import duckdb
import pandas

folder, tracer, *columns = sys.argv[1:]
files = f"{folder}/*/{tracer}*.parquet"


def of_duckdb():
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    database.execute(f"CREATE VIEW sealed AS SELECT * FROM read_parquet('{files}', union_by_name = true)")
    selected = ", ".join(columns)
    rows = database.execute(f"SELECT {selected}, hex(fname_bytes), strftime(time, '%Y-%m-%d %H:%M:%S.%f') FROM sealed").fetchall()
    kinds = dict(database.execute("SELECT column_name, column_type FROM (DESCRIBE sealed)").fetchall())
    sums = {name: int(database.execute(f"SELECT sum({name}) FROM sealed").fetchone()[0]) for name in columns if "INT" in kinds[name]}
    count = database.execute("SELECT count(*) FROM sealed").fetchone()[0]
    rows = [[*row[:-2], row[-2] and row[-2].lower(), row[-1]] for row in rows]
    return {"rows": rows, "count": count, "sums": sums}


def of_pandas():
    import glob

    # Otherwise numbers of columns that have nulls become floating.
    frame = pandas.concat([pandas.read_parquet(file, dtype_backend="numpy_nullable") for file in sorted(glob.glob(files))], ignore_index=True)
    assert str(frame["time"].dt.tz) == "UTC", frame["time"].dtype
    sums = {name: int(frame[name].sum()) for name in columns if pandas.api.types.is_integer_dtype(frame[name])}
    texts = frame["time"].dt.strftime("%Y-%m-%d %H:%M:%S.%f")
    plain = lambda value: None if pandas.isna(value) else value if isinstance(value, str) else int(value)
    exact = lambda value: value.hex() if isinstance(value, bytes) else None
    rows = [
        [*map(plain, row), exact(name), text]
        for row, name, text in zip(frame[columns].itertuples(index=False), frame["fname_bytes"], texts)
    ]
    return {"rows": rows, "count": len(frame), "sums": sums}


json.dump({"duckdb": of_duckdb(), "pandas": of_pandas()}, sys.stdout)
