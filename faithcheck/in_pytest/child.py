"""One run in a process of its own: started by `process.py`, which says on standard input what to run."""

from __future__ import annotations

import json
import sys


def main() -> int:
    """Run the command line with the arguments, and the import path, of the session that asks."""
    order = json.load(sys.stdin)
    sys.path[:] = order["path"]
    from faithcheck.child_processes import end_with_parent
    from faithcheck.cli import main as command

    end_with_parent(order["parent"])
    return command(order["arguments"])


if __name__ == "__main__":
    raise SystemExit(main())
