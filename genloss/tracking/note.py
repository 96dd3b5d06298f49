"""The experiment's note: the newest study's table, what a person wrote, and the studies before.

Each study's part ends with a comment and has one in its second line, by which it is found again; the first
line is what MLflow's list of experiments shows.
"""

from __future__ import annotations

import re

from mlflow import MlflowClient

TAG = "mlflow.note.content"
LONGEST_TAG = 20_000

BEGIN, END = "<!-- genloss: {} -->", "<!-- genloss ends -->"
NAME = r"([^\n]*?)"
PART = re.compile(rf"(?:^[^\n]+\n)?{BEGIN.format(NAME)}\n(.*?){END}", re.DOTALL | re.MULTILINE)
"""A study's part: its first line, if it has one of its own; its name, and what it says."""

TABLES = 3
"""Studies that are shown with their tables; of those before, only the line that opens them."""


def write(client: MlflowClient, experiment_id: str, study: str, description: str, table: str) -> None:
    """Puts a study's table at the top of the experiment's note.

    What is there of other studies goes below, as far as there is room, and what a person wrote stays.

    Args:
        client: of the store.
        experiment_id: MLflow's.
        study: the study's name.
        description: what the experiment asks.
        table: Markdown.
    """
    before = client.get_experiment(experiment_id).tags.get(TAG, "")
    client.set_experiment_tag(experiment_id, TAG, note(study, description, table, before))


def note(study: str, description: str, table: str, before: str) -> str:
    """The note with the study's part, and with what is kept of the note as it was before."""
    first = " ".join(description.split())[:1000] or f"Study {study}"
    own = f"{first}\n{_part(study, f'{_title(study)}{spaced(table)}')}"
    if len(own) > LONGEST_TAG:
        own = f"{first}\n{_part(study, f'{_title(study)}The table is too long for this place.')}"
    others: list[str] = []
    for name, said in PART.findall(before):
        if name != study:
            others.append(_part(name, said if len(others) < TABLES - 1 else _title(name)))
    personal = PART.sub("", before).strip()
    while True:
        whole = "\n\n".join(part for part in [own, personal, *others] if part)
        if len(whole) <= LONGEST_TAG:
            return whole
        if others:
            others.pop()
        else:
            personal = personal[: LONGEST_TAG - len(own) - 2]


def _title(study: str) -> str:
    return f"**{study}** `genloss ui {study}`\n\n"


def _part(study: str, said: str) -> str:
    return f"{BEGIN.format(study)}\n{said.strip()}\n{END}"


def spaced(table: str) -> str:
    """A Markdown table with space between the columns, which the front end sets solid (and to the left)."""
    lines = table.splitlines()
    return "\n".join(line if set(line) <= set("|:- ") else line.replace(" |", "&emsp; |") for line in lines)
