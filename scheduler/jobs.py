"""What staff may schedule, read off the Celery tasks themselves.

A task is declared as a job by giving it a title, `@shared_task(title="Synchronise contests")`: its docstring describes
it, its signature says what it takes. Tasks without a title run and are recorded like any other, but are not offered.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from celery import Task, current_app
from django.core.exceptions import ValidationError

MOST_CHARACTERS = 100_000
"""Of JSON in one field: arguments travel in every message, and say what to do rather than carry what to do it with."""

MOST_LEVELS = 20
"""Lists in lists in lists: more would overflow the stack of one of those who read them."""

LARGEST = 2**63 - 1
"""The largest whole number that every broker and the database can carry."""

MOST_DIGITS = len(str(-LARGEST)) + 1
"""A number of so many is larger than the largest, whatever follows; reading thousands of digits takes Python long."""

SHOWN = 60
"""Characters of a value in a sentence about it."""

CELERYS_HEADERS = {
    *("argsrepr", "eta", "expires", "group", "group_index", "id", "ignore_result", "kwargsrepr", "lang", "origin"),
    *("parent_id", "replaced_task_nesting", "retries", "root_id", "shadow", "stamped_headers", "stamps", "task"),
    "timelimit",
}
"""A header of a schedule replaces one of the same name: with “task”, any task at all would run."""


@dataclass(frozen=True)
class Argument:
    """One argument of a job. `annotation` is its type for people, such as “list of texts”."""

    name: str
    annotation: str
    required: bool
    default: Any
    help: str
    by_name_only: bool
    adapter: "pydantic.TypeAdapter[Any]" = field(repr=False, compare=False)

    def problem(self, value: Any) -> str:
        """Why it does not take this value of JSON, in a sentence; nothing where it does.

        As in JSON, where “5” is no number, and a moment is text that says one.
        """
        try:
            self.adapter.validate_json(json.dumps(value), strict=True)
        except pydantic.ValidationError as error:
            # A union complains for each of its types: what goes deepest comes nearest to what was meant.
            errors = error.errors(include_url=False)
            nearest = max(errors, key=lambda each: (len(each["loc"]), each["type"] == "value_error"))
            return self._sentence(nearest["type"], nearest["msg"], nearest["input"], value)
        return ""

    def _sentence(self, kind: str, message: str, wrong: Any, value: Any) -> str:
        if kind == "value_error":  # raised by a validator of ours, with a sentence
            return f"{self.name}: {message.removeprefix('Value error, ')}"
        said = "not" if wrong == value else "and not hold"
        says_no_more = kind.endswith("_type") or kind in ("literal_error", "enum")
        why = "" if says_no_more else f": {message.replace('Input', 'it').lower()}"
        return f"{self.name} must be {_with_article(self.annotation)}, {said} {_shown(wrong)}{why}."


@dataclass(frozen=True)
class Job:
    """A task that staff may schedule. `name` is the task's; `description` may have several paragraphs."""

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]

    def validate(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Refuse what the job does not take. Raises ValidationError with a sentence for each thing that is wrong."""
        require_storable(args)
        require_storable(kwargs)
        in_list = [argument for argument in self.arguments if not argument.by_name_only]
        given = {argument.name: value for argument, value in zip(in_list, args, strict=False)}
        problems = []
        if len(args) > len(in_list):
            problems.append(f"There are {len(args)} values in the list, and this job takes {len(in_list) or 'none'}.")
        for name in kwargs:
            if name in given:
                problems.append(f"{name} is there twice: in the list and by name.")
        problems += self._problems({**kwargs, **given})
        if problems:
            raise ValidationError(problems)

    def _problems(self, given: dict[str, Any]) -> Iterator[str]:
        known = [argument.name for argument in self.arguments]
        for name in (name for name in given if name not in known):
            yield f"There is no argument “{_cut(name)}”: this job takes {', '.join(known) or 'none'}."
        for argument in self.arguments:
            if argument.name in given:
                if problem := argument.problem(given[argument.name]):
                    yield problem
            elif argument.required:
                yield f"{argument.name} is missing."


@cache
def tasks() -> "Mapping[str, Task[..., Any]]":
    """All that workers know, jobs for staff or not, by name."""
    current_app.loader.import_default_modules()
    return current_app.tasks


def is_known(task: str, queue: str | None) -> bool:
    """Whether somebody may run it: one of our workers, or those of a queue of its own, who may know other tasks."""
    return task in tasks() or bool(queue)


def require_known(task: str, queue: str | None) -> None:
    if not is_known(task, queue):
        raise ValidationError(f"There is no job called “{task}”.")


@cache
def jobs() -> Mapping[str, Job]:
    """The jobs by name, sorted by title. Raises TypeError for a task that cannot be declared as it is."""
    declared = [job(task) for task in tasks().values() if getattr(task, "title", "")]
    return {each.name: each for each in sorted(declared, key=lambda each: (each.title.lower(), each.name))}


def job(task: "Task[..., Any]") -> Job:
    """The job that a task declares. Raises TypeError where its signature cannot be offered to people."""
    text = _paragraphs(inspect.getdoc(task.run) or "")
    # Strings as annotations are resolved where the function stands; a bound `self` is not part of the signature.
    parameters = inspect.signature(task.run, eval_str=True).parameters.values()
    arguments = tuple(_argument(task, parameter, text) for parameter in parameters)
    return Job(task.name, task.title, text, arguments)  # type: ignore[attr-defined]  # an option of the task's


def _argument(task: "Task[..., Any]", parameter: inspect.Parameter, text: str) -> Argument:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise TypeError(f"{task.name} has a title, so each of its arguments needs a name: “{parameter}” has none.")
    annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
    required = parameter.default is parameter.empty
    return Argument(
        name=parameter.name,
        annotation=_in_words(annotation),
        required=required,
        default=None if required else parameter.default,
        help=_sentences_about(parameter.name, text),
        by_name_only=parameter.kind is parameter.KEYWORD_ONLY,
        adapter=pydantic.TypeAdapter(annotation),
    )


# --- JSON that staff type ------------------------------------------------------------------------------------------


def parsed(text: str, kind: "type[list[Any]] | type[dict[str, Any]]") -> Any:
    """The JSON list or object of a schedule's field, empty where there is no text. Raises ValidationError."""
    if len(text) > MOST_CHARACTERS:
        raise ValidationError(f"This is longer than {MOST_CHARACTERS:,} characters.")
    if not text.strip():
        return kind()
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=lambda digits: int(digits[:MOST_DIGITS]))
    except ValueError as error:
        raise ValidationError(f"This is not JSON: {error}.") from error
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, kind):
        example = "a list, such as [] or [1, 2]" if kind is list else 'an object, such as {} or {"name": ["value"]}'
        raise ValidationError(f"This must be {example}.")
    require_storable(value)
    return value


def validate_headers(text: str) -> dict[str, Any]:
    """A schedule's headers, which go into its messages beside Celery's own. Raises ValidationError."""
    headers: dict[str, Any] = parsed(text, dict)
    if taken := sorted(CELERYS_HEADERS & headers.keys()):
        raise ValidationError(f"“{taken[0]}” is a header of Celery's own: choose another name.")
    return headers


def require_storable(value: Any) -> None:
    """Refuse what the database or a broker cannot carry, or what is no JSON. Raises ValidationError.

    A walk that calls itself would be stopped by the very nesting that it looks for.
    """
    waiting = [(value, 1)]
    while waiting:
        one, level = waiting.pop()
        match one:
            case list() | tuple() | dict() if level > MOST_LEVELS:
                raise _too_deep()
            case None | bool():
                pass
            case str():
                _require_characters(one)
            case int() if not -LARGEST <= one <= LARGEST:
                raise ValidationError(f"A whole number is too large: they go to {LARGEST}.")
            case float() if not isfinite(one):
                raise ValidationError("NaN, Infinity and what is as large as 1e400 are no numbers in JSON.")
            case int() | float():
                pass
            case list() | tuple():
                waiting += [(item, level + 1) for item in one]
            case dict():
                waiting += [(item, level + 1) for pair in one.items() for item in pair]
            case _:
                raise ValidationError(f"A {type(one).__name__} cannot be written in JSON.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValidationError(f"“{_cut(name)}” is there twice.")
        found[name] = value
    return found


def _require_characters(text: str) -> None:
    if bad := re.search("[\0\ud800-\udfff]", text):
        raise ValidationError(f"A text holds a character that cannot be stored: U+{ord(bad[0]):04X}.")


def _too_deep() -> ValidationError:
    return ValidationError(f"This is nested too deeply: more than {MOST_LEVELS} levels.")


# --- For people ----------------------------------------------------------------------------------------------------

WORDS: dict[Any, tuple[str, str]] = {
    Any: ("anything", "anything"),
    str: ("text", "texts"),
    bool: ("yes or no", "yes or no"),
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    datetime: ("date and time", "dates and times"),
    date: ("date", "dates"),
    time: ("time of day", "times of day"),
    timedelta: ("length of time", "lengths of time"),
    dict: ("object", "objects"),
    NoneType: ("nothing", "nothing"),
}
"""One and many of the types."""


def _in_words(annotation: Any, *, many: bool = False) -> str:
    """A type as people say it. The text in `Annotated[str, "mail address"]` is the name of one."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        named = next((each for each in inner[1:] if isinstance(each, str)), "")
        plural = f"{named}es" if named.endswith("s") else f"{named}s"
        return (plural if many else named) or _in_words(inner[0], many=many)
    if origin in (Union, UnionType):
        return " or ".join(_in_words(each, many=many) for each in inner if each is not NoneType)
    if origin is Literal:
        return _any_of(inner, many)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _any_of([each.value for each in annotation], many)
    plain = origin or annotation
    if plain in WORDS:
        return WORDS[plain][many]
    if isinstance(plain, type) and issubclass(plain, Sequence | Set):
        of = f" of {_in_words(inner[0], many=True)}" if inner else ""
        return f"{'lists' if many else 'list'}{of}"
    return str(getattr(plain, "__name__", plain))


def _any_of(values: "Sequence[Any]", many: bool) -> str:
    return f"{'any' if many else 'one'} of {', '.join(str(value) for value in values)}"


def _with_article(words: str) -> str:
    if words in ("anything", "nothing", "yes or no") or words.startswith("one of "):
        return words
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def _shown(value: Any) -> str:
    return f"“{_cut(value)}”" if isinstance(value, str) else _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _paragraphs(text: str) -> str:
    """Without the line breaks that only the source needs."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))


def _sentences_about(name: str, text: str) -> str:
    """What a description says of an argument: the sentences that have its name in backticks."""
    sentences = re.split(r"(?<=[.?!])\s+", text)
    return " ".join(sentence.replace("`", "") for sentence in sentences if f"`{name}`" in sentence)
