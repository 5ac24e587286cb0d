"""The command line. Exit codes are API: see `EXIT_CODES`."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from faithcheck.errors import UserError
from faithcheck.text import counted, visible
from faithcheck.version import __version__

EXIT_CODES = """\
exit codes:
  0    all gates passed
  1    a gate failed
  2    bad suite, argument or reference
  3    a check or plugin raised
  4    nothing failed, but something was inconclusive or nothing was applicable
  130  interrupted; what was finished is kept"""

CALIBRATE_EXIT_CODES = """\
exit codes:
  0    no decoy passed a check that its family exercises
  1    a decoy passed one
  2    bad argument or reference
  3    a check, a family or another plugin raised
  4    so many instances got no verdict that a rate could not be measured
  130  interrupted; what was finished is kept"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    from faithcheck.plugins import BrokenPlugin

    args = _parser().parse_args(argv)
    try:
        return int(args.command(args))
    except UserError as error:
        print(visible(f"faithcheck: {error}"), file=sys.stderr)  # noqa: T201
        return 2
    except BrokenPlugin as error:
        print(visible(f"faithcheck: {error}"), file=sys.stderr)  # noqa: T201
        return 3
    except KeyboardInterrupt as stop:
        print(visible(f"faithcheck: interrupted{f'; {stop}' if str(stop) else ''}"), file=sys.stderr)  # noqa: T201
        return 130
    except BaseException:  # whatever a plugin raises, its own exit code is none of ours
        print(visible(f"faithcheck: crashed\n{traceback.format_exc()}"), file=sys.stderr)  # noqa: T201
        return 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="faithcheck",
        description="Tests whether a circuit found in a neural network is faithful to how the model computes.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"faithcheck {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_list(commands)
    _add_show(commands)
    _add_validate(commands)
    _add_init(commands)
    _add_calibrate(commands)
    _add_train(commands)
    _add_import(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run a suite and give verdicts",
        description="Run a suite and give verdicts.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("suite", metavar="SUITE", help="a YAML file, or the name of a bundled suite such as default")
    run.add_argument("--method", metavar="REF", help="extraction method, instead of the suite's")
    run.add_argument("--model", metavar="REF", help="model, instead of the suite's")
    run.add_argument("--circuit", metavar="FILE", help="test this circuit instead of extracting")
    run.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="settings",
                     help="change the suite, e.g. method.steps=300; may be repeated")  # fmt: skip
    run.add_argument("--seeds", metavar="N", type=int, help="number of seeds, instead of the suite's")
    run.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto takes a GPU if there is one"
    )
    run.add_argument("--out", metavar="DIR", help="where to write (default: faithcheck-results/<suite>-<method>)")
    run.add_argument("--allow-inconclusive", action="store_true", help="exit 0 where nothing failed")
    run.set_defaults(command=_run)


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from faithcheck.catalogue import KINDS

    listing = commands.add_parser("list", help="list methods, checks, tasks, models and suites")
    listing.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help=f"one of {', '.join(KINDS)}")
    listing.set_defaults(command=_list)


def _add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = commands.add_parser("show", help="explain a method, check, task, model or suite")
    show.add_argument("ref", metavar="NAME", help="a name that `faithcheck list` shows, PACKAGE/NAME, "
                      "path/to/file.py:NAME, LOADER:PATH, or the path of a suite or task file")  # fmt: skip
    show.set_defaults(command=_show)


def _add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    validate = commands.add_parser("validate", help="check a suite without running it")
    validate.add_argument("suite", metavar="SUITE")
    validate.set_defaults(command=_validate)


def _add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from faithcheck.scaffold.command import KINDS

    init = commands.add_parser("init", help="write a method, suite or task to start from")
    init.add_argument("kind", choices=KINDS, metavar="KIND", help=f"one of {', '.join(KINDS)}")
    init.add_argument("name", metavar="NAME", help="what it is called, such as my_method")
    init.add_argument("--dir", metavar="DIR", default=".", help="where to write it (default: .)")
    init.set_defaults(command=_init)


def _add_calibrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    calibrate = commands.add_parser(
        "calibrate",
        help="measure how often the checks are wrong, on planted models",
        description="Run the checks on models whose circuits are known, and count how often they pass what is "
        "unfaithful and fail what is faithful.",
        epilog=CALIBRATE_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    calibrate.add_argument("--instances", metavar="N", type=int, default=50,
                           help="planted models of each family, at least 2 (default: 50)")  # fmt: skip
    calibrate.add_argument("--check", metavar="NAME", action="append", help="this check only; may be repeated")
    calibrate.add_argument("--family", metavar="NAME", action="append", help="this family only; may be repeated")
    calibrate.add_argument("--out", metavar="DIR", default="faithcheck-calibration",
                           help="where to write (default: faithcheck-calibration)")  # fmt: skip
    calibrate.set_defaults(command=_calibrate)


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = commands.add_parser("train", help="train a model from a recipe")
    train.add_argument("config", metavar="CONFIG", help="a YAML recipe")
    train.add_argument("--out", metavar="DIR", default=".", help="where to write the model and its card (default: .)")
    train.set_defaults(command=_train)


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from faithcheck.ablation import KINDS as ABLATIONS

    importing = commands.add_parser(
        "import",
        help="make a circuit file of a circuit that others publish",
        description="Read a list of nodes (JSON, CSV), a component graph of EAP-IG or MIB (JSON, .pt), or masks of "
        "sparse_pretrain (.pt), and write a circuit file that `faithcheck run SUITE --circuit FILE` tests.",
    )
    importing.add_argument("file", metavar="FILE", help="the published circuit; its format is told by its content")
    importing.add_argument("--model", metavar="REF", required=True, help="the model that it is a circuit of")
    importing.add_argument("--task", metavar="NAME", help="the task that it is a circuit for: a name or a YAML file")
    importing.add_argument("--norms", choices=["live", "frozen"], default="live",
                           help="the norms that it was found with (default: live)")  # fmt: skip
    importing.add_argument("--ablation", choices=ABLATIONS, default="zero",
                           help="what it was found with in the place of what is left out (default: zero)")  # fmt: skip
    importing.add_argument("--out", metavar="FILE", help="where to write (default: <FILE's stem>.circuit.safetensors)")
    importing.set_defaults(command=_import)


def _run(args: argparse.Namespace) -> int:
    # Before torch is imported: threads that spin at barriers slow a run tenfold where another process wants a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from rich.console import Console

    from faithcheck.allocator import keep_freed_memory
    from faithcheck.api import run_suite
    from faithcheck.progress import ProgressReport
    from faithcheck.terminal import render

    keep_freed_memory()
    console = Console()
    with ProgressReport(Console(stderr=True)) as progress:
        result = run_suite(
            args.suite,
            method=args.method,
            model=args.model,
            circuit=args.circuit,
            settings=args.settings,
            seeds=args.seeds,
            device=args.device,
            out=args.out,
            on_event=progress.handle,
        )
    render(result.to_data(), str(result.out), console)
    return result.exit_code(args.allow_inconclusive)


def _list(args: argparse.Namespace) -> int:
    from faithcheck.catalogue import print_catalogue

    return print_catalogue(args.kind)


def _show(args: argparse.Namespace) -> int:
    from faithcheck.show.command import show

    return show(args.ref)


def _init(args: argparse.Namespace) -> int:
    from faithcheck.scaffold.command import init

    return init(args.kind, args.name, args.dir)


def _validate(args: argparse.Namespace) -> int:
    from faithcheck.references import check_references
    from faithcheck.suite import load_suite

    loaded = load_suite(args.suite)
    check_references(loaded)
    suite = loaded.suite
    counts = {"task": len(suite.tasks), "check": len(suite.checks), "seed": suite.seeds}
    print(f"{loaded.path}: valid; {', '.join(counted(count, what) for what, count in counts.items())}")  # noqa: T201
    return 0


def _calibrate(args: argparse.Namespace) -> int:
    # Before numpy and torch are imported, and for the worker processes: one thread each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from pathlib import Path

    from faithcheck.calibration.command import run

    return run(args.instances, args.check, args.family, Path(args.out))


def _train(args: argparse.Namespace) -> int:
    from faithcheck.training import train

    return train(args.config, args.out)


def _import(args: argparse.Namespace) -> int:
    from faithcheck.importing.command import run

    return run(args.file, args.model, args.task, args.norms, args.ablation, args.out)


if __name__ == "__main__":
    raise SystemExit(main())
