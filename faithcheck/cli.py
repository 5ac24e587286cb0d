"""The command line: a command's exit code, whatever it raises. `arguments` has the commands and the exit codes."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Sequence

from faithcheck.arguments import parser
from faithcheck.errors import UserError
from faithcheck.pipes import readers_may_leave
from faithcheck.text import complain


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    with readers_may_leave() as lost:
        code = _main(argv)
        print(end="", flush=True)  # noqa: T201  where there is no standard output too
        if lost:
            complain(f"cannot write the output: {lost[0].strerror}")
        return code or (2 if lost else 0)


def _main(argv: Sequence[str] | None) -> int:
    from faithcheck.plugins import BrokenPlugin

    args = parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names and sentences may have what the terminal's encoding has not
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return int(args.command(args))
    except UserError as error:
        complain(error)
        return 2
    except BrokenPlugin as error:
        complain(error)
        return 3
    except KeyboardInterrupt as stop:
        complain(f"interrupted{f'; {stop}' if str(stop) else ''}")
        return 130
    except BaseException:  # whatever a plugin raises, its own exit code is none of ours
        complain(f"crashed\n{traceback.format_exc()}")
        return 3


if __name__ == "__main__":
    raise SystemExit(main())
