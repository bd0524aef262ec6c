"""When cron comes, against a slow and obvious model of it; and what is said of expressions that are none."""

import time
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from django.core.exceptions import ValidationError
from django_celery_beat.models import CrontabSchedule
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from scheduler.cron import ALIASES, Cron, in_words, normalized, validate
from tests.scheduler.brute_force import (
    CHANGES,
    DAY,
    HOUR,
    KOLKATA,
    LORD_HOWE,
    MINUTE,
    NEW_YORK,
    NO_CHANGES,
    SECOND,
    DateField,
    Job,
    by_the_model,
    clock,
    dates,
    jobs,
)


def is_refused(expression: str) -> bool:
    """Whether it never comes, as is said of it; not where several ranges that wrap around are too long as lists."""
    try:
        validate(expression)
    except ValidationError as error:
        assume("is too long: at most" not in error.messages[0])
        return True
    return False


def agree(job: Job, zone: ZoneInfo, start: datetime, end: datetime, step: timedelta, cut: float, most: int) -> None:
    """The model, walked over the whole time, and ours, begun before it and somewhere within it."""
    expected = list(by_the_model(job, clock(zone, start, end, step), step))
    if is_refused(job.text):
        assert expected == []
        return

    cron = Cron(job.text, zone)
    for since in (start - SECOND / 2, start + (end - start) * cut):
        came = list(takewhile(lambda moment: moment <= end, cron.after(since)))
        assert came == [m for m in expected if m > since]
        assert cron.between(since, end, most) == [m for m in expected if m >= since][-most:]


CUTS = st.floats(0, 1, exclude_max=True)


@given(jobs(), st.sampled_from(CHANGES + NO_CHANGES), CUTS, st.integers(1, 200))
@settings(deadline=None, max_examples=150)
def test_jobs_of_the_minute_come_as_the_model_says_wherever_one_starts(
    job: Job, change: tuple[ZoneInfo, datetime], cut: float, most: int
) -> None:
    zone, moment = change
    agree(job, zone, moment - 26 * HOUR, moment + 26 * HOUR, MINUTE, cut, most)


@given(jobs(), st.sampled_from(CHANGES), CUTS, st.integers(1, 50))
@settings(deadline=None, max_examples=150)
def test_jobs_of_the_minute_come_as_the_model_says_around_the_change_itself(
    job: Job, change: tuple[ZoneInfo, datetime], cut: float, most: int
) -> None:
    zone, moment = change
    agree(job, zone, moment - 2 * HOUR, moment + 2 * HOUR, MINUTE, cut, most)


@given(jobs(with_seconds=True), st.sampled_from(CHANGES + NO_CHANGES), CUTS, st.integers(1, 200))
@settings(deadline=None, max_examples=60)
def test_jobs_of_the_second_come_as_the_model_says_wherever_one_starts(
    job: Job, change: tuple[ZoneInfo, datetime], cut: float, most: int
) -> None:
    zone, moment = change
    agree(job, zone, moment - 65 * MINUTE, moment + 65 * MINUTE, SECOND, cut, most)


YEARS = range(2025, 2029)


@given(dates())
@example(("29 2 *", lambda day: (day.month, day.day) == (2, 29)))
@example(("13 * 5", lambda day: day.day == 13 or day.isoweekday() == 5))
@example(("*/2 * 1", lambda day: day.day % 2 == 1 and day.isoweekday() == 1))
@example(("*/31 * 5#2", lambda day: False))
@settings(deadline=None, max_examples=150)
def test_days_come_as_the_model_says_or_are_refused_because_they_never_come(days: DateField) -> None:
    text, is_day = days
    if is_refused(f"0 0 {text}"):
        assert not any(is_day(date(2000, 1, 1) + n * DAY) for n in range(28 * 365 + 7))
        return

    start, end = datetime(YEARS.start, 1, 1, tzinfo=UTC), datetime(YEARS.stop, 1, 1, tzinfo=UTC)
    came = takewhile(lambda moment: moment < end, Cron(f"0 0 {text}", UTC).after(start - SECOND))
    every_day = (start.date() + n * DAY for n in range((end - start).days))
    assert [moment.date() for moment in came] == [day for day in every_day if is_day(day)]


def local(cron: Cron, start: datetime, most: int) -> list[str]:
    zone = cron.zone
    return [f"{moment.astimezone(zone):%d %H:%M %z}" for moment in islice(cron.after(start.replace(tzinfo=zone)), most)]


def test_a_daily_job_in_a_skipped_hour_comes_at_the_jump_and_the_next_day_on_time() -> None:
    cron = Cron("30 2 * * *", NEW_YORK)
    assert local(cron, datetime(2026, 3, 7, 12), 2) == ["08 03:00 -0400", "09 02:30 -0400"]


def test_a_daily_job_in_a_repeated_hour_comes_the_first_time_only() -> None:
    cron = Cron("45 1 * * *", NEW_YORK)
    assert local(cron, datetime(2026, 10, 31, 12), 2) == ["01 01:45 -0400", "02 01:45 -0500"]
    assert local(cron, datetime(2026, 11, 1, 1, 30, fold=1), 1) == ["02 01:45 -0500"]


def test_a_half_hourly_job_has_no_gap_when_clocks_go_back() -> None:
    came = list(islice(Cron("*/30 * * * *", NEW_YORK).after(datetime(2026, 10, 31, tzinfo=UTC)), 96))
    assert {later - earlier for earlier, later in pairwise(came)} == {30 * MINUTE}


def test_a_change_of_half_an_hour_loses_no_job_of_that_day() -> None:
    cron = Cron("*/20 5 * * *", LORD_HOWE)
    assert local(cron, datetime(2026, 4, 5, 0), 3) == ["05 05:00 +1030", "05 05:20 +1030", "05 05:40 +1030"]
    assert local(cron, datetime(2026, 4, 5, 1, 45, fold=1), 1) == ["05 05:00 +1030"]


@pytest.mark.parametrize("moment", [datetime(2026, 11, 1, 5, 15, tzinfo=UTC), datetime(2026, 11, 1, 6, 15, tzinfo=UTC)])
def test_an_hour_that_is_to_be_repeated_makes_a_job_of_every_second_no_slower(moment: datetime) -> None:
    """Beat asks every second: it would fall behind for an hour."""
    cron = Cron("* * * * * *", NEW_YORK)
    expected = [moment + SECOND]
    began = time.process_time()
    assert list(islice(cron.after(moment), 1)) == expected
    assert time.process_time() - began < 0.005


def test_fractions_of_a_second_neither_hide_nor_add_an_occurrence() -> None:
    noon, fraction = datetime(2026, 11, 22, 12, tzinfo=UTC), timedelta(microseconds=1)
    cron = Cron("0 12 * * *", UTC)
    assert next(cron.after(noon - fraction)) == noon
    assert next(cron.after(noon)) == next(cron.after(noon + fraction)) == noon + DAY
    assert cron.between(noon, noon, 5) == cron.between(noon - fraction, noon + fraction, 5) == [noon]
    assert cron.between(noon + fraction, noon + HOUR, 5) == []


def test_the_latest_of_years_of_seconds_are_found_at_once() -> None:
    last = datetime(2026, 11, 22, 12, tzinfo=UTC)
    began = time.process_time()
    assert Cron("* * * * * *", NEW_YORK).between(last - 3650 * DAY, last, 3) == [last - 2 * SECOND, last - SECOND, last]
    # A day of seconds a year, long ago.
    assert Cron("* * * 1 1 *", UTC).between(last - 3650 * DAY, last, 1) == [
        datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC)
    ]
    assert time.process_time() - began < 0.1


def test_between_reads_its_ends_as_moments_and_not_as_times_on_the_wall() -> None:
    cron = Cron("*/15 * * * *", NEW_YORK)
    ten_to_two, again = (datetime(2026, 11, 1, 1, 50, tzinfo=NEW_YORK, fold=fold) for fold in (0, 1))
    assert cron.between(ten_to_two, again, 10) == [datetime(2026, 11, 1, 6, m, tzinfo=UTC) for m in (0, 15, 30, 45)]
    assert cron.between(again, again + 15 * MINUTE, 10) == [datetime(2026, 11, 1, 7, tzinfo=UTC)]


def test_between_looks_further_back_where_many_wall_times_are_one_moment() -> None:
    """The sixty of a skipped hour all come at the jump."""
    jump = datetime(2026, 3, 8, 7, tzinfo=UTC)
    day_before = datetime(2026, 3, 7, 2, 59, tzinfo=NEW_YORK)
    assert Cron("0-59 2 * * *", NEW_YORK).between(jump - 30 * DAY, jump, 2) == [day_before, jump]


def test_nothing_is_asked_of_between_and_nothing_comes() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert Cron("* * * * *", UTC).between(now - DAY, now, 0) == []
    assert Cron("* * * * *", UTC).between(now, now - DAY, 5) == []


@pytest.mark.parametrize("zone", [NEW_YORK, KOLKATA])
def test_occurrences_end_with_the_calendar(zone: ZoneInfo) -> None:
    new_year = datetime(9999, 1, 1, tzinfo=zone).astimezone(UTC)
    assert list(Cron("0 0 1 1 *", zone).after(new_year - DAY)) == [new_year]
    assert list(Cron("* * * * *", zone).after(datetime.max.replace(tzinfo=UTC))) == []


def test_what_is_no_expression_raises_when_it_is_walked() -> None:
    for expression in ("31 4", "0 0 31 4 *", "0 0 */31 * 5#2"):
        with pytest.raises(ValidationError):
            next(Cron(expression, UTC).after(datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("  0\t2 *\n*  * ", "0 2 * * *"),
        ("05 007 * JAN MON-Fri", "5 7 * jan mon-fri"),
        ("@Hourly", "0 * * * *"),
        ("0 0 * * fri-mon", "0 0 * * 5,6,0,1"),
        ("0 0 * * sat-mon", "0 0 * * 6,0,1"),
        ("0 0 * * mon-sun", "0 0 * * 1,2,3,4,5,6,0"),
        ("0 0 * * 5-1", "0 0 * * 5,6,0,1"),
        ("0 0 * * 5-7", "0 0 * * 5-7"),
        ("0 0 * * 7-2", "0 0 * * 0,1,2"),
        ("0 0 * * 7-0", "0 0 * * 0"),
        ("0 22-2 * * *", "0 22,23,0,1,2 * * *"),
        ("0 22-4/2 * * *", "0 22,0,2,4 * * *"),
        ("0 0 1 nov-feb *", "0 0 1 11,12,1,2 *"),
        ("0 0 30-2 * *", "0 0 30,31,1,2 * *"),
        ("5-5/2 * * * *", "5 * * * *"),
        ("0 0 l * *", "0 0 L * *"),
        ("0 0 * * friL,mon#2", "0 0 * * 5L,1#2"),
        ("0 0 2 * * *", "0 0 2 * * *"),
    ],
)
def test_what_people_know_from_cron_is_written_as_cronsim_understands_it(typed: str, understood: str) -> None:
    assert normalized(typed) == understood
    assert normalized(understood) == understood
    validate(typed)


def test_every_alias_comes() -> None:
    start = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
    came = {alias: f"{next(Cron(alias, UTC).after(start)):%m-%d %H}" for alias in ALIASES}
    assert came == {
        "@hourly": "11-22 13",
        "@daily": "11-23 00",
        "@midnight": "11-23 00",
        "@weekly": "11-29 00",
        "@monthly": "12-01 00",
        "@yearly": "01-01 00",
        "@annually": "01-01 00",
    }


def refusal_of(expression: str) -> str:
    with pytest.raises(ValidationError) as refused:
        validate(expression)
    (sentence,) = refused.value.messages
    return str(sentence)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "this one has none. For example, every six hours is “0 */6 * * *”."),
        (
            "0 2 * *",
            "five fields (minute, hour, day of the month, month, day of the week), or six with seconds first; this",
        ),
        ("0 2 * *", "this one has 4."),
        ("0 0 2 * * ? 2026", "Seven fields are Quartz's, the last for the year: leave the year out"),
        ("* * * * * * * *", "this one has 8."),
        ("@reboot", "“@reboot” is no time that comes again."),
        ("@every 5m", "“@every 5m” is none of @hourly, @daily,"),
        ("61 * * * *", "“61” is no minute: 0 to 59."),
        ("61 * * * * *", "“61” is no second: 0 to 59."),
        ("* 24 * * *", "“24” is no hour: 0 to 23."),
        ("* * 0 * *", "“0” is no day of the month: 1 to 31."),
        ("* * * 13 *", "“13” is no month: 1 to 12, or jan to dec."),
        ("* * * * 8", "“8” is no day of the week: 0 to 7, or sun to sat."),
        ("* * * * monday", "“monday” is no day of the week: write “mon”."),
        ("* * * June *", "“june” is no month: write “jun”."),
        ("* * * jul-june *", "“june” is no month: write “jun”."),
        ("* * * * jul", "“jul” is no day of the week: 0 to 7"),
        ("* * * mon *", "“mon” is no month: 1 to 12, or jan to dec."),
        ("0 0 31 4 *", "31 April never comes: April has 30 days."),
        ("0 0 31 apr *", "31 April never comes: April has 30 days."),
        ("0 0 31 2 *", "31 February never comes: February has 29 days."),
        ("0 0 30,31 2 *", "“0 0 30,31 2 *” never comes: none of its months has such a day."),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("0 0 */31 * 5#2", "never comes"),
        ("0 0 ? * 1", "“?” is Quartz's way to leave a field open: write “*”."),
        ("*/0 * * * *", "“*/0”: what follows “/” is a number from 1, such as in “*/2”."),
        ("*/ * * * *", "“*/”: what follows “/”"),
        ("*/x * * * *", "“*/x”: what follows “/”"),
        ("*/5/2 * * * *", "“*/5/2”: what follows “/”"),
        ("*/90 * * * *", "“*/90” is more than fits: the field for the minute goes from 0 to 59 and begins anew."),
        ("1,,2 * * * *", "“1,,2” has an empty part: leave out the comma that is too much."),
        (", * * * *", "“,” has an empty part"),
        ("-5 * * * *", "“-5” is half a range: write both ends, such as “1-5”."),
        ("5- * * * *", "“5-” is half a range"),
        ("*-5 * * * *", "“*” is no minute: 0 to 59."),
        ("1-2-3 * * * *", "“2-3” is no minute"),
        ("1.5 * * * *", "“1.5” is no minute"),
        ("0 0 15W * *", "“15w” is not known here: there are L, the last day of the month, and LW"),
        ("0 0 L-3 * *", "“l-3” is not known here"),
        ("0 0 * * L", "“L” alone is no day of the week: write 6 for Saturday, or 6L for the last Saturday."),
        ("0 0 * * 1#6", "“1#6”: of a weekday in a month there is a first to a fifth, #1 to #5."),
        ("0 0 * * 8L", "“8” is no day of the week"),
        ("L * * * *", "“l” is no minute"),
        ("٣ * * * *", "“٣” means nothing to cron: write plain digits and letters, and the signs * , - / #."),
        ("1–5 * * * *", "“–” means nothing to cron"),
        ("\0 * * * *", "The character U+0000 means nothing to cron"),
        ("0," * 120 + "0 * * * *", "The field for the minute is too long: at most 240 characters."),
        ("x" * 500 + " * * * *", f"“{'x' * 29}…” is no minute"),
        ("* " * 600, "A cron expression has at most 1000 characters."),
    ],
)
def test_what_does_not_come_is_refused_with_a_sentence_that_says_why(expression: str, says: str) -> None:
    assert says in refusal_of(expression)
    assert in_words(expression) == ""


def test_29_february_is_no_mistake() -> None:
    validate("0 0 29 2 *")
    came = islice(Cron("0 0 29 feb *", KOLKATA).after(datetime(2026, 1, 1, tzinfo=UTC)), 2)
    assert [moment.astimezone(KOLKATA).date() for moment in came] == [date(2028, 2, 29), date(2032, 2, 29)]


@pytest.mark.parametrize(
    ("position", "column", "part"),
    [
        (0, "minute", "10"),
        (1, "hour", "10"),
        (2, "day_of_month", "10"),
        (3, "month_of_year", "10"),
        (4, "day_of_week", "5L"),
    ],
)
def test_what_is_accepted_fits_the_columns_of_its_row(position: int, column: str, part: str) -> None:
    most = CrontabSchedule._meta.get_field(column).max_length
    longest = ",".join([part] + ["1"] * (most // 2 - 1))
    assert len(longest) == most
    fields = ["*"] * 5
    fields[position] = longest
    validate(" ".join(fields))

    fields[position] += ",1"
    assert f"at most {most} characters" in refusal_of(" ".join(fields))


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 2 * * *", "At 02:00"),
        ("0 14 * * mon-fri", "At 14:00, Monday through Friday"),
        ("@hourly", "Every hour"),
        ("*/10 * * * * *", "Every 10 seconds"),
        ("0 0 * * fri-mon", "At 00:00, only on Friday, Saturday, Sunday, and Monday"),
        ("0 0 L * *", "At 00:00, on the last day of the month"),
        ("0 0 13 * 5", "At 00:00 on the 13th day of month or on Friday"),
        ("0 0 */2 * 1", "At 00:00, every 2 days, only on Monday"),
        ("0 0 * * 1,3#2", "At 00:00 on Monday and the second Wednesday of the month"),
        ("0 0 L,1 * *", "At 00:00 on the last and the first day of month"),
        ("0 0 * * *,0", "At 00:00 on every day of week and Sunday"),
        ("0 0 * * 1/2", "At 00:00 on every second day of week from Monday through Sunday"),
    ],
)
def test_it_is_told_in_words_what_cron_does(expression: str, words: str) -> None:
    assert in_words(expression) == words


def test_words_do_not_depend_on_the_language_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getlocale", lambda *category: ("de_DE", "UTF-8"))
    assert in_words("0 2 * * 1") == "At 02:00, only on Monday"


ANYTHING = st.one_of(
    st.text(),
    st.text("0123456789*/,-#?LWw@ \tabdefjlmnoprstuvy", max_size=40),
    st.lists(st.text("0123456789*/,-#?Llw", min_size=1, max_size=4), min_size=5, max_size=6).map(" ".join),
    st.lists(
        st.from_regex(r"(\*|[0-7]{1,2}(-[0-7]{1,2})?)(/[0-9])?(,[1-3](L|#2)?)?", fullmatch=True), min_size=5, max_size=6
    ).map(" ".join),
    jobs().map(lambda job: job.text),
    jobs(with_seconds=True).map(lambda job: job.text),
)


@given(ANYTHING)
@settings(deadline=None, max_examples=600)
def test_whatever_is_typed_either_comes_or_is_refused_with_one_sentence(text: str) -> None:
    try:
        validate(text)
    except ValidationError as error:
        (sentence,) = error.messages
        assert sentence.endswith(".")
        assert len(sentence) < 250
        assert in_words(text) == ""
        return

    assert next(Cron(text, UTC).after(datetime(2026, 11, 22, tzinfo=UTC)))
    assert normalized(normalized(text)) == normalized(text)
    assert in_words(text)
    # What was refused as “never comes” was not merely something that cronsim reads otherwise.
    CronSim(normalized(text), datetime(2026, 11, 22))


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 */31 * 5#2",
        "0 0 29 2 */7",
        "0 0 * 2 1#5",
        "," * 900,
        "9" * 1000,
        "* * * * " + "fri-mon," * 100,
        "59-58," * 100 + "1 * * * *",
        "x" * 10_000_000,
    ],
)
def test_no_expression_takes_long(expression: str) -> None:
    began = time.process_time()
    try:
        validate(expression)
        next(Cron(expression, NEW_YORK).after(datetime(2026, 11, 22, tzinfo=UTC)))
    except ValidationError:
        pass
    assert time.process_time() - began < 0.05
