"""What the commands that run a job have in common: `--json`, a table, progress on a terminal, an exit status."""

import json
import sys
from abc import abstractmethod
from argparse import ArgumentParser
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, ProgrammingError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from config.management.database import require_database

NARROWEST = 80
"""Columns: on a narrower terminal lines break, where otherwise words and numbers would be cut off."""


class JobCommand(BaseCommand):
    """Runs a job in this process. Exit status: 0 all well, 1 something failed (and what), 2 usage."""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")

    def handle(self, *args: Any, **options: Any) -> None:
        self.out = Console(file=cast("TextIO", self.stdout), highlight=False)
        self.out.width = max(self.out.width, NARROWEST)
        self.progress = Console(stderr=True, highlight=False, quiet=not sys.stderr.isatty())
        self.quiet = options["json"]
        require_database()
        try:
            report, problems = self.run(**options)
        except DatabaseError as error:
            line = str(error).strip().partition("\n")[0]
            hint = " (is `manage.py migrate` done?)" if isinstance(error, ProgrammingError) else ""
            raise CommandError(f"The database does not work with us: {line}{hint}") from error
        if options["json"]:
            self.stdout.write(json.dumps(report))
        for problem in problems:
            self.stderr.write(self.style.ERROR(problem))
        if problems:
            sys.exit(1)

    @staticmethod
    def table(subject: str, *numbers: str, title: str | None = None) -> Table:
        """A table that fits 80 columns: what it is about on the left, numbers on the right."""
        table = Table(subject, title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for name in numbers:
            table.add_column(name, justify="right", no_wrap=True)
        return table

    @abstractmethod
    def run(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        """Do the job, print a table unless `self.quiet`; the report for --json, and what failed, a sentence each."""
