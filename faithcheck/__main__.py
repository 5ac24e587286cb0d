"""`python -m faithcheck` is the command line."""

from __future__ import annotations

from faithcheck.cli import main

raise SystemExit(main())
