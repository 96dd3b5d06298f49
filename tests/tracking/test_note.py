"""The experiment's note: what comes first, what stays, what is shortened."""

from __future__ import annotations

from genloss.tracking.note import Said, fenced, link, note
from genloss.tracking.tags import LONGEST_EXPERIMENT_TAG

TABLE = Said(
    "plain is best.\n\n| objective | recall ↑ |\n| --- | ---: |\n| plain | 0.5 ± 0.1 |", "plain is best."
)


def test_a_note_has_the_newest_study_first_and_keeps_what_a_person_wrote() -> None:
    one = note("study-1", "What changes?", TABLE, "My own words.")
    two = note("study-2", "What changes?", TABLE, one)
    again = note("study-2", "What changes?", Said(TABLE.whole.replace("0.5", "0.7")), two)
    assert two.count("study-2") == again.count("study-2")
    assert again.index("**study-2**") < again.index("My own words.") < again.index("**study-1**")
    assert "`genloss ui study-2`" in again
    assert again.count("0.7 ± 0.1") == again.count("0.5 ± 0.1") == again.count("My own words.") == 1
    assert "| --- | ---: |" in again


def test_the_first_line_is_the_question_alone() -> None:
    """MLflow's list of experiments shows it, as it stands."""
    assert note("study-1", "What  changes\nhere?", TABLE, "").startswith("What changes here?\n<!-- genloss: ")
    assert note("study-1", "", TABLE, "").startswith("Study study-1\n<!-- genloss: study-1 -->\n")
    twice = note("study-2", "What changes?", TABLE, note("study-1", "What changes?", TABLE, ""))
    assert twice.count("What changes?") == 1


def test_of_older_studies_the_table_is_left_out() -> None:
    text = "My own words."
    for number in range(6):
        text = note(f"study-{number}", "What changes?", TABLE, text)
    assert text.count("0.5 ± 0.1") == 3
    assert [f"`genloss ui study-{number}`" in text for number in range(6)] == [True] * 6
    tables = text.rindex("0.5 ± 0.1")
    assert text.index("**study-3**") < tables < text.index("**study-2**") < text.index("**study-0**")
    assert text.count("My own words.") == 1


def test_a_note_of_an_earlier_version_is_read() -> None:
    """There the comment stood in the first line."""
    old = (
        "My own words.\n\n<!-- genloss: study-1 -->\n**study-1** What changes? `genloss ui study-1`\n\n"
        f"{TABLE.whole}\n\n&nbsp;\n<!-- genloss ends -->"
    )
    new = note("study-2", "What changes?", TABLE, old)
    assert new.count("My own words.") == 1
    assert new.count("study-1") == 3
    assert note("study-1", "What changes?", TABLE, old).count("0.5 ± 0.1") == 1


def test_a_note_never_grows_over_mlflow_s_limit() -> None:
    text = "x" * 1000
    for number in range(400):
        text = note(f"study-{number}", "What changes?", TABLE, text)
        assert len(text) <= LONGEST_EXPERIMENT_TAG
        assert f"**study-{number}**" in text
    assert "**study-0**" not in text
    assert "x" * 1000 in text
    huge = note("huge", "", Said("| x |\n" * 10_000, "x is best; the table is too long."), text)
    assert len(huge) <= LONGEST_EXPERIMENT_TAG
    assert "x is best; the table is too long." in huge


def test_links_stay_where_the_table_goes() -> None:
    text = ""
    for number in range(6):
        text = note(f"study-{number}", "", TABLE, text, link("report", f"#/experiments/1/{number}"))
    assert text.count("0.5 ± 0.1") == 3
    for number in range(6):
        assert f"`genloss ui study-{number}` · [report](#/experiments/1/{number})\n" in text


def test_as_much_is_said_as_there_is_room_for() -> None:
    said = Said("whole " * 10, "short")
    assert said.within(100) == said.whole
    assert said.within(20) == "short"
    assert "too long" in Said("whole " * 10, "short " * 10).within(50)


HOSTILE = (
    "<!-- genloss ends --> <img src=x onerror=alert(1)> </td>\x1b[31m ![seen](http://host/x.png) --> <?x"
)


def test_what_a_message_says_is_no_markup_and_ends_no_study_s_part() -> None:
    said = Said(f"plain is best.\n\n* FAILED: `plain`: {HOSTILE}", HOSTILE)
    text = note("study-1", HOSTILE, said, "My own words.")
    for _ in range(3):
        text = note("study-1", HOSTILE, said, text)
        assert text.count("<") == text.count("-->") == 2  # our own comments
        assert "](" not in text
        assert "\x1b" not in text
        assert text.count("My own words.") == text.count("plain is best.") == 1
    other = note("study-2", "What changes?", TABLE, text)
    assert other.count("My own words.") == other.count("plain is best.") - 1 == 1


def test_a_name_is_no_markup() -> None:
    text = note("a --> <b>\nc", "What changes?", TABLE, "")
    assert text.count("-->") == text.count("<") == 2
    assert note("a --> <b>\nc", "What changes?", TABLE, text) == text


def test_smaller_than_is_no_markup() -> None:
    assert "a < b <= c" in note("study-1", "a < b <= c", TABLE, "")


def test_a_block_of_code_ends_where_we_end_it() -> None:
    assert fenced("a") == "```\na\n```"
    assert fenced("```\n<b>") == "````\n```\n<b>\n````"
