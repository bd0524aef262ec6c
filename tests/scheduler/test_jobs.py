"""What a task declares by its title, docstring and signature; and what of it is refused, with which sentence."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from enum import Enum
from time import monotonic
from typing import Annotated, Any, Literal

import pytest
from celery import Celery, Task
from django.core.exceptions import ValidationError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, Field

from config.celery import app as project
from contests.platforms import PLATFORMS
from scheduler import jobs
from scheduler.jobs import Job, job, parsed, validate_headers

app = Celery("somebody else's", set_as_current=False)


def task(function: Callable[..., Any], **options: Any) -> "Task[..., Any]":
    declared = {"title": "Water the plants", "name": f"garden.{id(function)}", "shared": False, **options}
    made: Task[..., Any] = app.task(**declared)(function)
    return made


def sentences(check: Callable[[], object]) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        check()
    return list(refused.value.messages)


def refusal(annotation: Any, value: Any) -> str:
    """The one sentence about a value of an argument `x`."""

    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    (sentence,) = sentences(lambda: job(task(function)).validate([], {"x": value}))
    return sentence


def accepts(annotation: Any, value: Any) -> bool:
    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    job(task(function)).validate([value], {})
    return True


def water(plants: list[str] | None = None, *, litres: int) -> None:
    """Water the plants
    of the garden.

    `plants` are names, such as Rose. Without `plants` all get some. It takes a while.
    """


WATER = job(task(water))

# --- What is declared ----------------------------------------------------------------------------------------------


def test_a_job_says_what_its_task_says() -> None:
    assert WATER.title == "Water the plants"
    assert WATER.description == (
        "Water the plants of the garden.\n\n"
        "`plants` are names, such as Rose. Without `plants` all get some. It takes a while."
    )


def test_its_arguments_are_those_of_the_signature() -> None:
    plants, litres = WATER.arguments
    assert (plants.name, plants.annotation, plants.required, plants.default) == ("plants", "list of texts", False, None)
    assert (litres.name, litres.annotation, litres.required, litres.default) == ("litres", "whole number", True, None)


def test_an_argument_is_explained_by_the_sentences_that_name_it() -> None:
    plants, litres = WATER.arguments
    assert plants.help == "plants are names, such as Rose. Without plants all get some."
    assert litres.help == ""


def test_a_bound_task_is_no_argument_of_its_own() -> None:
    def dig(self: Any, depth: int = 1) -> None: ...

    assert [argument.name for argument in job(task(dig, bind=True)).arguments] == ["depth"]


def test_retries_by_celery_do_not_hide_the_signature() -> None:
    def dig(self: Any, depth: int = 1) -> None:
        """Dig."""

    declared = job(task(dig, bind=True, autoretry_for=(OSError,)))
    assert declared.description == "Dig."
    assert [argument.name for argument in declared.arguments] == ["depth"]


def test_a_decorated_function_is_read_as_it_was_written() -> None:
    @functools.wraps(water)
    def decorated(*args: Any, **kwargs: Any) -> None: ...

    assert [argument.name for argument in job(task(decorated)).arguments] == ["plants", "litres"]


def test_annotations_may_be_strings() -> None:
    def dig(depth: "int") -> None: ...

    assert job(task(dig)).arguments[0].annotation == "whole number"


def test_arguments_without_names_cannot_be_offered() -> None:
    def dig(*holes: int) -> None: ...

    with pytest.raises(TypeError, match="each of its arguments needs a name"):
        job(task(dig))


class Colour(Enum):
    RED, BLUE = "red", "blue"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (str, "text"),
        (str | None, "text"),
        (int | str, "whole number or text"),
        (bool, "yes or no"),
        (float, "number"),
        (datetime, "date and time"),
        (date, "date"),
        (timedelta, "length of time"),
        (list[str], "list of texts"),
        (list, "list"),
        (set[int], "list of whole numbers"),
        (tuple[str, ...], "list of texts"),
        (list[list[int]], "list of lists of whole numbers"),
        (dict[str, int], "object"),
        (Literal["a", "b"], "one of a, b"),
        (list[Literal["a", "b"]], "list of any of a, b"),
        (Colour, "one of red, blue"),
        (Annotated[str, "mail address"], "mail address"),
        (list[Annotated[str, "mail address"]], "list of mail addresses"),
        (Annotated[int, Field(gt=0)], "whole number"),
        (Any, "anything"),
    ],
)
def test_a_type_has_a_name_for_people(annotation: Any, words: str) -> None:
    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    assert job(task(function)).arguments[0].annotation == words


# --- What may be scheduled -----------------------------------------------------------------------------------------


@pytest.fixture
def offered() -> Iterator[Callable[[], list[Job]]]:
    """Of three tasks, two of which have a title, the jobs that are offered."""
    garden = Celery("a garden", set_as_current=False)
    garden.task(title="weed", name="z", shared=False)(water)
    garden.task(title="Prune", name="b", shared=False)(water)
    garden.task(name="a", shared=False)(water)
    garden.set_current()
    _forget()
    yield lambda: [each for each in jobs.jobs().values() if each.name in ("a", "b", "z")]
    project.set_current()
    _forget()


def _forget() -> None:
    jobs.tasks.cache_clear()
    jobs.jobs.cache_clear()


def test_tasks_with_a_title_are_offered_sorted_by_it(offered: Callable[[], list[Job]]) -> None:
    assert [(each.title, each.name) for each in offered()] == [("Prune", "b"), ("weed", "z")]


def test_the_project_offers_its_own_jobs() -> None:
    assert {
        "contests.tasks.sync_contests": "Sync contests",
        "notifications.tasks.dispatch_notifications": "Dispatch notifications",
        "config.tasks.clean_up_data": "Clean up data",
        "config.tasks.send_email": "Send email",
        "config.tasks.report": "Report to staff",
    }.items() <= {name: each.title for name, each in jobs.jobs().items()}.items()


def test_every_job_explains_itself_and_its_arguments() -> None:
    for declared in jobs.jobs().values():
        assert declared.description, declared
        assert all(argument.help for argument in declared.arguments), declared


def test_only_platforms_that_there_are_can_be_synced() -> None:
    sync = jobs.jobs()["contests.tasks.sync_contests"]
    sync.validate([], {"platforms": list(PLATFORMS)})
    sync.validate([], {"platforms": None})
    known = ", ".join(PLATFORMS)
    assert sentences(lambda: sync.validate([], {"platforms": ["codefores"]})) == [
        f"platforms must be a list of any of {known}, and not hold “codefores”."
    ]


# --- Values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 5),
        (float, 5),
        (str, ""),
        (bool, False),
        (list[str] | None, None),
        (datetime, "2026-11-22T12:00:00Z"),
        (date, "2026-11-22"),
        (timedelta, "PT1H"),
        (set[int], [1, 2]),
        (tuple[str, ...], ["a"]),
        (dict[str, list[int]], {"a": [1]}),
        (Literal["a", 1], 1),
        (Colour, "red"),
        (Any, {"a": None}),
        (int | list[int], [1]),
    ],
)
def test_what_json_can_say_of_a_type_is_taken(annotation: Any, value: Any) -> None:
    assert accepts(annotation, value)


def no_weed(name: str) -> str:
    if name == "nettle":
        raise ValueError("“nettle” is a weed.")
    return name


Plant = Annotated[str, "plant", AfterValidator(no_weed)]


@pytest.mark.parametrize(
    ("annotation", "value", "says"),
    [
        (list[str] | None, "codeforces", "x must be a list of texts, not “codeforces”."),
        (list[str], [5], "x must be a list of texts, and not hold 5."),
        (int, "5", "x must be a whole number, not “5”."),
        (int, 5.5, "x must be a whole number, not 5.5."),
        (int, True, "x must be a whole number, not true."),
        (int, None, "x must be a whole number, not null."),
        (str, 5, "x must be a text, not 5."),
        (bool, 1, "x must be yes or no, not 1."),
        (bool, "true", "x must be yes or no, not “true”."),
        (dict[str, int], [], "x must be an object, not []."),
        (dict[str, int], {"a": "b"}, "x must be an object, and not hold “b”."),
        (Literal["a", "b"], "c", "x must be one of a, b, not “c”."),
        (Colour, "green", "x must be one of red, blue, not “green”."),
        (Annotated[int, Field(gt=0)], 0, "x must be a whole number, not 0: it should be greater than 0."),
        (Plant, "nettle", "x: “nettle” is a weed."),
        (Plant | list[Plant], "nettle", "x: “nettle” is a weed."),
        (Plant | list[Plant], ["rose", "nettle"], "x: “nettle” is a weed."),
        (Plant | list[Plant], 5, "x must be a plant or list of plants, not 5."),
        (str, ["é" * 100], f'x must be a text, not ["{"é" * 57}….'),
    ],
)
def test_what_is_no_such_value_is_refused_by_name(annotation: Any, value: Any, says: str) -> None:
    assert refusal(annotation, value) == says


def test_a_moment_that_is_none_is_refused() -> None:
    assert refusal(datetime, "soon").startswith("x must be a date and time, not “soon”: it should be a valid datetime")


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ([], {"litres": 1, "plattforms": 1}, ["There is no argument “plattforms”: this job takes plants, litres."]),
        ([], {}, ["litres is missing."]),
        ([["Rose"]], {"litres": 1, "plants": []}, ["plants is there twice: in the list and by name."]),
        ([[], 1], {}, ["There are 2 values in the list, and this job takes 1.", "litres is missing."]),
        (["Rose"], {"litres": "1"}, [
            "plants must be a list of texts, not “Rose”.",
            "litres must be a whole number, not “1”.",
        ]),
    ],
)  # fmt: skip
def test_what_the_job_does_not_take_is_refused(args: list[Any], kwargs: dict[str, Any], says: list[str]) -> None:
    assert sentences(lambda: WATER.validate(args, kwargs)) == says


def test_a_job_without_arguments_says_that_it_takes_none() -> None:
    clean_up = jobs.jobs()["config.tasks.clean_up_data"]
    clean_up.validate([], {})
    assert sentences(lambda: clean_up.validate([1], {"a": 1})) == [
        "There are 1 values in the list, and this job takes none.",
        "There is no argument “a”: this job takes none.",
    ]


def test_values_that_are_no_json_are_refused() -> None:
    assert sentences(lambda: WATER.validate([], {"litres": timedelta(1)})) == ["A timedelta cannot be written in JSON."]


# --- JSON ----------------------------------------------------------------------------------------------------------


def test_no_text_is_nothing() -> None:
    assert (parsed("", list), parsed(" \n", dict)) == ([], {})


def test_json_comes_out_as_it_went_in() -> None:
    value = [1, -(2**63) + 1, 2.5, "é", {"a": [None, True]}]
    assert parsed(json.dumps(value), list) == value
    deepest = "[" * 20 + "1" + "]" * 20
    assert json.dumps(parsed(deepest, list)) == deepest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nope", "This is not JSON: Expecting value: line 1 column 1 (char 0)."),
        ("[1,", "This is not JSON: Expecting value"),
        ("\0", "This is not JSON"),
        ("\ufeff[]", "This is not JSON: Unexpected UTF-8 BOM"),
        ("5", "This must be a list, such as [] or [1, 2]."),
        ("{}", "This must be a list"),
        ("null", "This must be a list"),
        ('["\\u0000"]', "A text holds a character that cannot be stored: U+0000."),
        ('["\\ud800"]', "A text holds a character that cannot be stored: U+D800."),
        ('[{"\\u0000": 1}]', "A text holds a character that cannot be stored: U+0000."),
        ("[NaN]", "NaN, Infinity and what is as large as 1e400 are no numbers in JSON."),
        ("[-Infinity]", "NaN, Infinity"),
        ("[1e400]", "NaN, Infinity"),
        (f"[1{'0' * 400}]", "A whole number is too large: they go to 9223372036854775807."),
        (f"[-1{'0' * 9000}]", "A whole number is too large"),
        ("[9223372036854775808]", "A whole number is too large"),
        ('[{"a": 1, "a": 2}]', "“a” is there twice."),
        ("[" * 21 + "]" * 21, "This is nested too deeply: more than 20 levels."),
        ("[" * 50_000 + "]" * 50_000, "This is nested too deeply"),
        ("[" * 50_000, "This is nested too deeply"),
        ('[{"a":' * 9_000, "This is nested too deeply"),
        (f"[{'1,' * 50_000}1]", "This is longer than 100,000 characters."),
    ],
)
def test_what_is_no_list_is_refused_with_a_sentence(text: str, says: str) -> None:
    (sentence,) = sentences(lambda: parsed(text, list))
    assert sentence.startswith(says)


def test_what_is_no_object_is_refused_with_a_sentence() -> None:
    assert sentences(lambda: parsed("[1]", dict)) == ['This must be an object, such as {} or {"name": ["value"]}.']


def test_the_longest_text_is_read_quickly() -> None:
    began = monotonic()
    parsed(f"[{'1,' * 49_998}1]", list)
    assert monotonic() - began < 1


def parsed_or_refused(text: str) -> Any:
    """The value, or the sentences."""
    try:
        return parsed(text, list)
    except ValidationError as error:
        return error.messages


@settings(max_examples=300, deadline=None)
@given(st.text() | st.recursive(st.none() | st.floats() | st.integers() | st.text(), st.lists).map(json.dumps))
@example('[{"a": [1e999]}]')
def test_whatever_is_typed_it_is_read_or_refused_with_a_sentence(text: str) -> None:
    assert isinstance(parsed_or_refused(text), list)


@settings(max_examples=300, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
@example(["\ud800"])
@example(10**400)
def test_whatever_is_given_to_a_job_it_is_taken_or_refused_with_a_sentence(value: Any) -> None:
    with contextlib.suppress(ValidationError):
        WATER.validate([], {"litres": 1, "plants": value})


# --- Headers -------------------------------------------------------------------------------------------------------


def test_headers_are_an_object() -> None:
    assert validate_headers('{"x-origin": "admin"}') == {"x-origin": "admin"}
    assert validate_headers("") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "This must be an object"),
        ("not json", "This is not JSON"),
        ('{"task": "celery.backend_cleanup"}', "“task” is a header of Celery's own: choose another name."),
    ],
)
def test_what_would_end_the_scheduler_or_run_something_else_is_refused(text: str, says: str) -> None:
    (sentence,) = sentences(lambda: validate_headers(text))
    assert sentence.startswith(says)


def test_every_header_of_celerys_own_is_known_as_such() -> None:
    headers, *_ = app.amqp.as_task_v2("an-id", "a.task")
    assert set(headers) == jobs.CELERYS_HEADERS
