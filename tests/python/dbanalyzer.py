"""Reads a store with Python duetector's own DBAnalyzer, as its users do, and prints what it saw as JSON.

Arguments: the SQLite file, then column=value conditions. Prints {"brief": {...}, "rows": [...]}.
"""

import asyncio
import json
import sys

from duetector.analyzer.db import DBAnalyzer


async def main(path, conditions):
    config = {"dbanalyzer": {"db": {"table_prefix": "duetector_tracking", "engine": {"url": f"sqlite:///{path}"}}}}
    analyzer = DBAnalyzer(config)
    where = {key: int(value) if value.isdigit() else value for key, value in conditions}
    brief = await analyzer.brief()
    # `where` takes a column at a time; several are joined by AND.
    rows = await analyzer.query(tracers=["open"], where=where, limit=0)
    json.dump(
        {
            "brief": {name: {"count": b.count, "start": str(b.start)} for name, b in brief.briefs.items()},
            "rows": [{"fname": r.fname, "comm": r.comm, "uid": r.uid, "dt": str(r.dt), "ino": r.extended.get("ino")} for r in rows],
        },
        sys.stdout,
    )


asyncio.run(main(sys.argv[1], [pair.split("=", 1) for pair in sys.argv[2:]]))
