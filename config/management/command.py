"""What the commands for an operator have in common: `--json`, a table, progress on a terminal, an exit status."""

import getpass
import json
import os
import sys
from abc import abstractmethod
from argparse import ArgumentParser
from collections.abc import Collection
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, ProgrammingError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from config.management.database import require_database

NARROWEST = 80
"""Columns: on a narrower terminal lines break, where otherwise words and numbers would be cut off."""

WIDEST = 10_000
"""Columns where no terminal is: each row is one line, to be searched and cut by other programs."""


class OperatorCommand(BaseCommand):
    """Answers with a table, or one JSON object. Exit status: 0 all well, 1 something failed (and what), 2 usage."""

    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")

    def handle(self, *args: Any, **options: Any) -> None:
        self.out = Console(file=cast("TextIO", self.stdout), highlight=False, markup=False)
        self.out.width = max(self.out.width, NARROWEST) if self.out.is_terminal else WIDEST
        self.progress = Console(stderr=True, highlight=False, quiet=not sys.stderr.isatty())
        self.quiet = options["json"]
        require_database()
        try:
            report, problems = self.answer(**options)
        except DatabaseError as error:
            line = str(error).strip().partition("\n")[0]
            hint = " (is `manage.py migrate` done?)" if isinstance(error, ProgrammingError) else ""
            raise CommandError(f"The database does not work with us: {line}{hint}") from error
        if options["json"]:
            self.stdout.write(json.dumps(report, cls=DjangoJSONEncoder))
        for problem in problems:
            self.stderr.write(self.style.ERROR(problem))
        if problems:
            sys.exit(1)

    @property
    def actor(self) -> str:
        """Who does this: the command, and the operating system's name of who started it."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # as in a container whose user has no name
            user = f"user {os.getuid()}"
        return f"manage.py {type(self).__module__.rpartition('.')[2]} by {user}"

    @staticmethod
    def table(subject: str, *numbers: str, title: str | None = None) -> Table:
        """A table that fits 80 columns: what it is about on the left, numbers on the right."""
        table = Table(subject, title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for name in numbers:
            table.add_column(name, justify="right", no_wrap=True)
        return table

    def print_list(self, *columns: str, rows: list[list[str]], whole: Collection[str]) -> None:
        """A table of text. The columns that are `whole` are never broken: who types what stands there copies it."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for name in columns:
            table.add_column(name, overflow="fold", no_wrap=name in whole)
        for row in rows:
            table.add_row(*row)
        self.out.print(table)

    @abstractmethod
    def answer(self, **options: Any) -> tuple[dict[str, Any], list[str]]:
        """Do it, print a table unless `self.quiet`; the report for --json, and what failed, a sentence each."""
