"""What one may type: every command with its options, and the exit codes, which are API."""

from __future__ import annotations

import argparse
from typing import Any

from faithcheck import commands
from faithcheck.version import __version__

EXIT_CODES = """\
exit codes:
  0    all gates passed
  1    a gate failed, or a claim does not hold
  2    bad suite, claim, argument or reference; or the output could not be written
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

DIFF_EXIT_CODES = """\
exit codes:
  0    compared; with --fail-on-regression: no regression
  1    with --fail-on-regression: a regression
  2    bad argument, or a result that cannot be read"""


def _ending_with(codes: str) -> dict[str, Any]:
    """What makes a help text end with these lines, as they are."""
    return {"epilog": codes, "formatter_class": argparse.RawDescriptionHelpFormatter}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="faithcheck",
        description="Tests whether a circuit found in a neural network is faithful to how the model computes.",
        **_ending_with(EXIT_CODES),
    )
    top.add_argument("--version", action="version", version=f"faithcheck {__version__}")
    kinds = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(kinds)
    _add_list(kinds)
    _add_report(kinds)
    _add_show(kinds)
    _add_validate(kinds)
    _add_schema(kinds)
    _add_init(kinds)
    _add_diff(kinds)
    _add_calibrate(kinds)
    _add_train(kinds)
    _add_import(kinds)
    return top


def _add_run(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from faithcheck.report.formats import OF_A_RUN

    run = kinds.add_parser(
        "run",
        help="run a suite and give verdicts",
        description="Run a suite and give verdicts.",
        **_ending_with(EXIT_CODES),
    )
    run.add_argument("suite", metavar="SUITE", help="a YAML file, or the name of a bundled suite such as default; "
                     "or a claim, or a folder of claims, to be tested again")  # fmt: skip
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
    run.add_argument("--report", metavar="FORMAT", action="append", default=[], dest="reports", choices=OF_A_RUN,
                     help=f"write a report too: one of {', '.join(OF_A_RUN)}; may be repeated")  # fmt: skip
    run.add_argument("--allow-inconclusive", action="store_true", help="exit 0 where nothing failed")
    run.set_defaults(command=commands.run)


def _add_list(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from faithcheck.catalogue import KINDS

    listing = kinds.add_parser("list", help="list methods, checks, tasks, models and suites")
    listing.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help=f"one of {', '.join(KINDS)}")
    listing.set_defaults(command=commands.list_names)


def _add_report(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from faithcheck.report.formats import FORMATS

    report = kinds.add_parser(
        "report",
        help="render the result of a run",
        description="Render a result.json and the evidence beside it; no model is needed.",
    )
    report.add_argument("result", metavar="RESULT", help="a result.json, or its folder")
    report.add_argument("--format", metavar="FORMAT", choices=FORMATS, default="terminal",
                        help=f"one of {', '.join(FORMATS)} (default: terminal)")  # fmt: skip
    report.add_argument("--out", metavar="FILE", help="where to write (default: standard output, for html report.html "
                        "beside the result)")  # fmt: skip
    report.set_defaults(command=commands.report)


def _add_show(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = kinds.add_parser("show", help="explain a method, check, task, model or suite")
    show.add_argument("ref", metavar="NAME", help="a name that `faithcheck list` shows, PACKAGE/NAME, "
                      "path/to/file.py:NAME, LOADER:PATH, or the path of a suite, task or claim file")  # fmt: skip
    show.set_defaults(command=commands.show)


def _add_validate(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    validate = kinds.add_parser("validate", help="check suites, tasks and claims without running them")
    validate.add_argument("suites", metavar="SUITE", nargs="+",
                          help="a suite, or the file of a task or claim, or a folder of such files")  # fmt: skip
    validate.set_defaults(command=commands.validate)


def _add_schema(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    of = ("suite", "task", "claim", "result")
    schema = kinds.add_parser("schema", help="print the JSON Schema of a suite, task, claim or result, for editors")
    schema.add_argument("kind", choices=of, metavar="KIND", help=f"one of {', '.join(of)}")
    schema.set_defaults(command=commands.schema)


def _add_init(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from faithcheck.scaffold.command import KINDS

    init = kinds.add_parser("init", help="write a method, suite, task or claim to start from")
    init.add_argument("kind", choices=KINDS, metavar="KIND", help=f"one of {', '.join(KINDS)}")
    init.add_argument("name", metavar="NAME", help="what it is called, such as my_method")
    init.add_argument("--dir", metavar="DIR", default=".", help="where to write it (default: .)")
    init.add_argument("--result", metavar="RESULT", help="of a claim: the result.json, or its folder, of a run with "
                      "--circuit, whose verdicts are claimed")  # fmt: skip
    init.set_defaults(command=commands.init)


def _add_diff(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    diff = kinds.add_parser(
        "diff",
        help="say what moved between two results, beyond noise",
        description="Compare two results, paired on the same prompts and seeds: which verdicts and metrics moved "
        "beyond noise.",
        **_ending_with(DIFF_EXIT_CODES),
    )
    diff.add_argument("base", metavar="BASE", help="a result.json or the folder of a run: what was")
    diff.add_argument("head", metavar="HEAD", help="a result.json or the folder of a run: what is now")
    diff.add_argument("--fail-on-regression", action="store_true", help="exit 1 where there is a regression")
    diff.set_defaults(command=commands.diff)


def _add_calibrate(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    calibrate = kinds.add_parser(
        "calibrate",
        help="measure how often the checks are wrong, on planted models",
        description="Run the checks on models whose circuits are known, and count how often they pass what is "
        "unfaithful and fail what is faithful.",
        **_ending_with(CALIBRATE_EXIT_CODES),
    )
    calibrate.add_argument("--instances", metavar="N", type=int, default=50,
                           help="planted models of each family, at least 2 (default: 50)")  # fmt: skip
    calibrate.add_argument("--check", metavar="NAME", action="append", help="this check only; may be repeated")
    calibrate.add_argument("--family", metavar="NAME", action="append", help="this family only; may be repeated")
    calibrate.add_argument("--out", metavar="DIR", default="faithcheck-calibration",
                           help="where to write (default: faithcheck-calibration)")  # fmt: skip
    calibrate.set_defaults(command=commands.calibrate)


def _add_train(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = kinds.add_parser("train", help="train a model from a recipe")
    train.add_argument("config", metavar="CONFIG", help="a YAML recipe")
    train.add_argument("--out", metavar="DIR", default=".", help="where to write the model and its card (default: .)")
    train.set_defaults(command=commands.train)


def _add_import(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from faithcheck.ablation import KINDS as ABLATIONS

    importing = kinds.add_parser(
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
    importing.set_defaults(command=commands.import_circuit)
