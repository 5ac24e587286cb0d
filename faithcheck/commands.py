"""One function a command: arguments in, exit code out. Each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from faithcheck.errors import Interrupted, UserError
from faithcheck.text import complain


def run(args: argparse.Namespace) -> int:
    # Before torch is imported: threads that spin at barriers slow a run tenfold where another process wants a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from rich.console import Console

    from faithcheck.allocator import keep_freed_memory
    from faithcheck.api import run_suite
    from faithcheck.claims.files import claim_files
    from faithcheck.progress import ProgressReport
    from faithcheck.report.command import print_of_run, write_reports

    keep_freed_memory()
    claims = claim_files(args.suite)
    if claims is not None:
        from faithcheck.claims.command import run_claims

        return run_claims(claims, args)
    try:
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
    except Interrupted as stop:
        _reports_of_interrupted(stop.out, args)
        raise
    print_of_run(result.out)
    write_reports(result.out, args.reports, args.allow_inconclusive)
    return result.exit_code(args.allow_inconclusive)


def _reports_of_interrupted(out: Path, args: argparse.Namespace) -> None:
    """What is wrong is said and no more: the run's exit code is that of the interruption."""
    from faithcheck.report.command import write_reports

    try:
        write_reports(out, args.reports, args.allow_inconclusive)
    except UserError as error:
        complain(error)


def report(args: argparse.Namespace) -> int:
    from faithcheck.report.command import report

    return report(args.result, args.format, args.out)


def list_names(args: argparse.Namespace) -> int:
    from faithcheck.catalogue import print_catalogue

    return print_catalogue(args.kind)


def show(args: argparse.Namespace) -> int:
    from faithcheck.show.command import show

    return show(args.ref)


def schema(args: argparse.Namespace) -> int:
    from faithcheck.json_schema.command import schema

    return schema(args.kind)


def init(args: argparse.Namespace) -> int:
    from faithcheck.scaffold.command import init

    return init(args.kind, args.name, args.dir, args.result)


def validate(args: argparse.Namespace) -> int:
    from faithcheck.validating import validate

    return validate(args.suites)


def diff(args: argparse.Namespace) -> int:
    from faithcheck.diff.command import run

    return run(args.base, args.head, args.fail_on_regression)


def calibrate(args: argparse.Namespace) -> int:
    # Before numpy and torch are imported, and for the worker processes: one thread each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from faithcheck.calibration.command import run

    return run(args.instances, args.check, args.family, Path(args.out))


def train(args: argparse.Namespace) -> int:
    from faithcheck.training import train

    return train(args.config, args.out)


def import_circuit(args: argparse.Namespace) -> int:
    from faithcheck.importing.command import run

    return run(args.file, args.model, args.task, args.norms, args.ablation, args.out)
