"""The experiment's note: the newest study's answer and table, what a person wrote, and the studies before.

Each study's part ends with a comment and has one in its second line, by which it is found again; the first
line is what MLflow's list of experiments shows. Links are relative to the page of MLflow's front end, and so
work on any server that shows the store (tried on 3.17). So would pictures, but they are shown in their own
size, and cut off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from unicodedata import category

from mlflow import MlflowClient

from genloss.tracking import store
from genloss.tracking.tags import LONGEST_EXPERIMENT_TAG

if TYPE_CHECKING:
    from genloss.comparison.comparison import Comparison

TAG = "mlflow.note.content"

BEGIN, END = "<!-- genloss: {} -->", "<!-- genloss ends -->"
NAME = r"([^\n]*?)"
PART = re.compile(rf"(?:^[^\n]+\n)?{BEGIN.format(NAME)}\n(.*?){END}", re.DOTALL | re.MULTILINE)
"""A study's part: its first line, if it has one of its own; its name, and what it says."""

MARKUP = re.compile(r"<(?=[A-Za-z/!?])")
"""Where HTML begins."""

TABLES = 3
"""Studies that are shown with their tables; of those before, only the line that opens them."""

TOO_LONG = "The table is too long for this place; the report has it."


@dataclass(frozen=True)
class Said:
    """What there is to say of a study, as Markdown.

    Attributes:
        whole: the answer, the table, and the runs that did not finish.
        short: the answer, where there is no room for the rest.
    """

    whole: str
    short: str = TOO_LONG

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        """What a comparison says."""
        from genloss.comparison.table import markdown

        return cls(spaced(markdown(comparison)), f"{' '.join(comparison.answer())}\n\n{TOO_LONG}")

    def within(self, longest: int) -> str:
        """The text cut to a number of characters, and sanitized."""
        for text in map(harmless, (self.whole, self.short)):
            if len(text) <= longest:
                return text
        return TOO_LONG


def write(
    client: MlflowClient, experiment_id: str, study: str, description: str, said: Said, more: str = ""
) -> None:
    """Put a study's answer and table at the top of the experiment's note.

    What is there of other studies goes below, as far as there is room, and what a person wrote stays.

    Args:
        client: of the store.
        experiment_id: MLflow's.
        study: the study's name.
        description: what the experiment asks.
        said: of the study.
        more: links to more of it.
    """
    before = client.get_experiment(experiment_id).tags.get(TAG, "")
    store.set_experiment_tag(
        client, experiment_id, TAG, lambda longest: note(study, description, said, before, more, longest)
    )


def note(
    study: str,
    description: str,
    said: Said,
    before: str,
    more: str = "",
    longest: int = LONGEST_EXPERIMENT_TAG,
) -> str:
    """The note with the study's part, and with what is kept of the note as it was before."""
    study = " ".join(harmless(study).split())
    first = " ".join(harmless(description).split())[:1000] or f"Study {study}"
    title = " · ".join(part for part in (_title(study), more) if part)
    room = longest - len("\n".join([first, _part(study, title), "", ""]))
    own = "\n".join([first, _part(study, "\n\n".join([title, said.within(room)]))])
    others: list[str] = []
    for name, text in PART.findall(before):
        if name != study:
            others.append(_part(name, text if len(others) < TABLES - 1 else _opening(name, text)))
    personal = PART.sub("", before).strip()
    while True:
        whole = "\n\n".join(part for part in [own, personal, *others] if part)
        if len(whole) <= longest:
            return whole
        if others:
            others.pop()
        else:
            personal = personal[: longest - len(own) - 2]


def harmless(text: str) -> str:
    """Markdown in which messages and names, which may say anything, are no HTML, no comments and no links."""
    text = MARKUP.sub("&lt;", text).replace("-->", "--&gt;").replace("](", "]\\(")
    return "".join(c if c == "\n" or category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in text)


def fenced(text: str) -> str:
    """A text as a block of code, which it cannot end."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def link(text: str, address: str) -> str:
    """A link to a page of the same MLflow."""
    return f"[{text}]({address})"


def _title(study: str) -> str:
    return f"**{study}** `genloss ui {study}`"


def _opening(study: str, text: str) -> str:
    """The line that opens what was said of a study."""
    first = text.split("\n", 1)[0]
    return first if first.startswith(f"**{study}**") else _title(study)


def _part(study: str, said: str) -> str:
    return f"{BEGIN.format(study)}\n{said.strip()}\n{END}"


def spaced(table: str) -> str:
    """A Markdown table with space between the columns, which the front end sets solid (and to the left)."""
    lines = table.splitlines()
    return "\n".join(line if set(line) <= set("|:- ") else line.replace(" |", "&emsp; |") for line in lines)
