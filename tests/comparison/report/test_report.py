"""The page: what stands on it and what does not, whatever the names; and that it needs nothing else."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import PIL.Image
import pytest
from selenium import webdriver

from genloss.comparison import report
from genloss.comparison.artifacts import Artifacts, Origin
from genloss.comparison.comparison import Comparison
from genloss.comparison.runs import Direction
from tests.comparison.report.examples import (
    HOSTILE,
    Memory,
    compared,
    failed,
    picture,
    runs,
    search,
    source,
    sweep,
)
from tests.tracking.pages import browser

LOWER = Direction(higher_is_better=False, unit="nats")
VOID = ("meta", "link", "img", "wbr", "br", "path", "circle")
EVERY = ("table", "intervals", "differences", "curves", "samples", "losses", "configuration")


class Outline(HTMLParser):
    """What a page holds; a page whose elements do not close in order is refused."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.names: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.names.add(tag)
        if "id" in found:
            self.ids.append(str(found["id"]))
        if tag == "section":
            self.sections.append(str(found["id"]))
        if tag == "a":
            self.links.append(str(found["href"]))
        else:
            self.addresses += [
                str(found[name]) for name in ("src", "href", "srcset", "action") if name in found
            ]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["style"], []):
            self.text += data


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Artifacts]:
    """Six objectives with eight seeds, as in gan.yaml."""
    found = runs([f"objective_{i}" for i in range(6)], 8, ("distance", "precision", "recall"))
    return compared(found), source(found, tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def rendered(full: tuple[Comparison, Artifacts]) -> str:
    return report.render(*full)


def test_a_page_has_its_sections_and_links_to_them(full: tuple[Comparison, Artifacts], rendered: str) -> None:
    outline = Outline(rendered)
    assert tuple(outline.sections) == EVERY
    assert outline.links == [f"#{name}" for name in EVERY]
    assert len(set(outline.ids)) == len(outline.ids)
    for said in full[0].answer():
        assert said.replace("`", "") in outline.text
    assert "What is asked" in outline.text
    assert "genloss run a.yaml\ngenloss ui study-1" in outline.text
    assert "name: a\nseeds: 5" in outline.text
    assert "cannot be compared" in outline.text


def test_the_table_has_every_figure(full: tuple[Comparison, Artifacts]) -> None:
    comparison = full[0]
    comparison = replace(
        comparison,
        runs=tuple(replace(run, sets={"training.steps": 5}, cost=run.cost) for run in comparison.runs),
    )
    text = Outline(report.render(comparison, full[1])).text
    for metric, summaries in comparison.summaries.items():
        assert f"{metric}, nats↓ lower is better" in text
        for summary in summaries.values():
            assert f"{summary.low:.4g} to {summary.high:.4g}" in text
            assert f"{summary.interquartile_mean:.4g}" in text
    for word in ("updates", "1,500", "2.5 s", "381 MiB", "steps = 5", "baseline", "real data"):
        assert word in text


def test_nothing_is_fetched(rendered: str) -> None:
    outline = Outline(rendered)
    assert all(address.startswith("data:") for address in outline.addresses)
    assert "script" not in outline.names
    assert not re.search(r"url\(|@import|https?:", rendered)
    assert "default-src 'none'" in rendered


def test_the_same_gives_the_same(full: tuple[Comparison, Artifacts], rendered: str) -> None:
    assert report.render(*full) == rendered


def test_a_page_is_small(rendered: str) -> None:
    """Though its pictures are noise, which nothing makes small."""
    assert len(rendered.encode()) < 5_000_000


def test_many_objectives_are_bounded(tmp_path: Path) -> None:
    found = runs([f"objective_{i}" for i in range(20)], 5, ("distance", "precision"))
    noise = picture(tmp_path / "noise.png", 0)
    kept = replace(source(found), shown={run.name: dict.fromkeys([100, 200, 300], noise) for run in found})
    page = report.render(compared(found), kept)
    assert len(page.encode()) < 5_000_000
    found = runs([f"objective_{i}" for i in range(45)], 1)
    page = report.render(compared(found, baseline="objective_44"), source(found))
    assert "5 more objectives are left out" in page
    assert len(page.encode()) < 5_000_000


def test_what_others_named_is_text() -> None:
    found = runs(["a", "b"], 3)
    found = [
        replace(
            run,
            objective=HOSTILE if run.objective == "b" else "a",
            name=f"{HOSTILE}-{run.seed}" if run.objective == "b" else run.name,
            metrics={HOSTILE: run.metrics["distance"]},
            sets={HOSTILE: HOSTILE},
            base=HOSTILE,
            point={HOSTILE: f"{HOSTILE}{run.objective}"},
            reproduce=HOSTILE,
        )
        for run in found
    ]
    found[4] = failed(found[4], HOSTILE, HOSTILE)
    kept = source(found)
    origin = Origin(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    hostile = Memory(kept.numbers, kept.lines, {}, {run.name: {300: HOSTILE} for run in found}, [origin])
    comparison = compared(found, name=HOSTILE, description=HOSTILE, allowed=[HOSTILE])
    page = report.render(comparison, hostile)
    outline = Outline(page)
    assert "script" not in outline.names
    assert "<script" not in page
    assert not re.search("[\x00\x1b\u202e]", page)
    assert outline.text.count("<script>") > 20
    assert {*EVERY, "problems", "sweeps"} == set(outline.sections)


def test_what_went_wrong_is_said_with_the_line_that_shows_it() -> None:
    found = runs(["plain", "beta"], 4)
    found[5] = failed(found[5], "`g/total` became nan at step 21", "lower `lr`")
    found[6] = failed(found[6], "`g/total` became nan at step 700")
    found[1] = replace(found[1], status="INTERRUPTED", message="stopped at step 5", metrics={})
    found[3] = replace(found[3], status="NOT STARTED", metrics={})
    found[2] = replace(found[2], metrics={"distance": math.nan})
    text = Outline(report.render(compared(found), source(found))).text
    assert "beta-1 and beta-2 failed" in text
    assert "became nan at step 21" in text
    assert "Hint: lower lr" in text
    assert "genloss run a.yaml --objective beta" in text
    assert "INTERRUPTED: plain-1: stopped at step 5" in text
    assert re.search(r"NOT STARTED: plain-3\s", text)
    assert "No finite distance: plain-2" in text
    assert "2 of 4" in text


def test_of_several_studies_the_runs_are_named_with_theirs() -> None:
    found = [replace(run, study=f"study-{place % 2 + 1}") for place, run in enumerate(runs(["a"], 4))]
    found[0] = failed(found[0])
    found[1] = replace(found[1], status="INTERRUPTED", metrics={})
    found[2] = replace(found[2], metrics={"distance": math.nan})
    text = Outline(report.render(compared(found), Memory())).text
    assert "a-0 of study-1 failed" in text
    assert "INTERRUPTED: a-1 of study-2" in text
    assert "No finite distance: a-2 of study-1" in text


def test_differences_that_were_accepted_are_named() -> None:
    text = Outline(
        report.render(compared(runs(["a", "b"], 2), allowed=["`training.steps`: 5 and 6"]), Memory())
    ).text
    assert "training.steps: 5 and 6" in text


def test_what_cannot_be_decided_is_said() -> None:
    text = Outline(report.render(compared(runs(["a", "b", "c"], 3)), Memory())).text
    assert (
        "With 3 seeds no comparison can be significant, whatever the numbers: p cannot be below 0.25, and "
        "2 comparisons need at least 7 seeds."
    ) in text
    assert "Inconclusive: b" in text


def test_all_pairs_are_there_where_they_were_asked_for() -> None:
    found = runs(["a", "b", "c"], 3)
    assert "c − b" not in report.render(compared(found), Memory())
    page = report.render(compared(found, baseline="a", pairs=True), Memory())
    assert [pair in page for pair in ("b − a", "c − a", "c − b")] == [True] * 3


def test_what_is_decided_is_marked() -> None:
    comparison = compared(runs(["a", "b"], 8, number=lambda o, seed: seed % 3 - (20 + seed) * o))
    page = report.render(comparison, Memory())
    assert '<span class="mark better">better</span>' in page
    assert "Better than a: b." in Outline(page).text


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_objective_is_compared_with_nothing(seeds: int) -> None:
    found = runs(["only"], seeds)
    sections = Outline(report.render(compared(found), source(found))).sections
    assert "differences" not in sections
    assert "intervals" in sections


def test_what_is_empty_has_no_section() -> None:
    found = [replace(run, metrics={}) for run in runs(["a", "b"], 2)]
    assert Outline(report.render(compared(found), Memory())).sections == ["table"]
    unfinished = [replace(run, status="NOT STARTED", metrics={}) for run in found]
    sections = Outline(report.render(compared(unfinished), Memory())).sections
    assert sections == ["table", "problems"]


def test_plots_are_pictures_too(full: tuple[Comparison, Artifacts], rendered: str, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curves-of_earlier.png").write_bytes(b"")
    assert report.write(*full, tmp_path) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_text() == rendered
    found = {path.stem: path for path in (tmp_path / "plots").iterdir()}
    curves = [f"curves-{metric}" for metric in full[0].metrics]
    assert set(found) == {"intervals", "differences", "losses", *curves}
    for path in found.values():
        with PIL.Image.open(path) as image:
            assert image.width >= 500


def test_sweeps_have_their_plots(tmp_path: Path) -> None:
    found = sweep({"lr": [1e-4, 1e-3, 1e-2]}, ["beta", "elbo"], seeds=2)
    path = report.write(compared(found), source(found), tmp_path)
    assert "sweeps" in Outline(path.read_text()).sections
    assert (tmp_path / "plots" / "sweep-1-distance.png").exists()


def test_a_search_has_its_best_trials_and_compares_none(tmp_path: Path) -> None:
    found = search(["beta", "elbo"], 12, ("distance", "recall"))
    comparison = compared(found, metrics={"distance": LOWER, "recall": LOWER})
    path = report.write(comparison, source(found, tmp_path), tmp_path)
    page = path.read_text()
    outline = Outline(page)
    assert outline.sections == ["best", "table", "sweeps", "curves", "samples", "losses", "configuration"]
    assert {link[1:] for link in outline.links} <= set(outline.ids)
    best, table, rest = (part for part in re.split(r'<section id="(?:table|sweeps)"', page))
    assert best.count("<td>11</td>") == 2
    assert "<td>12<small>1 pruned</small></td>" in best
    assert "weight = 0.0004883" in best.replace("<wbr>", "")
    for base in ("beta", "elbo"):
        assert f"--objective {base} --set &#39;seeds=[1, 2, 3, 4, 5, 6, 7, 8]&#39;" in best
    rows = re.findall(r"(?:beta|elbo),<wbr>trial=(\d+)", table)
    assert rows == [str(n) for n in [*range(11, 0, -1), 0, *range(11, -1, -1)]]
    assert "<td>pruned</td>" in table
    assert not re.search(r"(better|worse)</span>|baseline|seeds needed", table + rest)
    assert "optimistic" in outline.text
    assert outline.text.count("elbo,trial=11") > 3
    assert "elbo,trial=3:" in page  # a point in a plot of the values
    samples = page[page.index('<section id="samples"') :]
    assert set(re.findall(r"(\w+,trial=\d+)", samples)) == {"beta,trial=11", "elbo,trial=11"}
    assert (tmp_path / "plots" / "sweep-1-distance.png").exists()
    assert not (tmp_path / "plots" / "intervals.png").exists()


def test_a_search_without_any_value_has_a_report(tmp_path: Path) -> None:
    found = [failed(run) for run in search(["beta"], 2)]
    page = report.write(compared(found, metrics={"distance": LOWER}), source(found), tmp_path).read_text()
    outline = Outline(page)
    assert "best" not in outline.sections
    assert "problems" in outline.sections
    assert "None of 2 runs finished" in outline.text


def test_names_of_files_are_harmless(tmp_path: Path) -> None:
    found = [replace(run, metrics={"../../a b": 1.0 + run.seed}) for run in runs(["a", "b"], 2)]
    report.write(compared(found), source(found), tmp_path)
    assert (tmp_path / "plots" / "curves-_.._a_b.png").exists()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browser(tmp_path_factory.mktemp("profile"), logging=True) as driver:
        yield driver


FITS = """
document.querySelectorAll('details').forEach(one => one.open = true);
const wrong = [];
document.querySelectorAll('svg[role=img]').forEach(svg => {
  const width = svg.viewBox.baseVal.width, texts = [...svg.querySelectorAll('text')];
  const boxes = texts.map(text => text.getBBox());
  boxes.forEach((box, i) => {
    if (box.x < -1 || box.x + box.width > width + 1) wrong.push('cut off: ' + texts[i].textContent);
    boxes.slice(i + 1).forEach((other, j) => {
      const across = Math.min(box.x + box.width, other.x + other.width) - Math.max(box.x, other.x);
      const down = Math.min(box.y + box.height, other.y + other.height) - Math.max(box.y, other.y);
      const [one, two] = [texts[i].textContent, texts[i + 1 + j].textContent];
      if (across > 1 && down > 4) wrong.push(`overlap: ${one} ${two}`);
    });
    const size = parseFloat(getComputedStyle(texts[i]).fontSize) * texts[i].getScreenCTM().a;
    if (size < 10) wrong.push('tiny: ' + texts[i].textContent);
  });
});
return [document.documentElement.scrollWidth <= window.innerWidth, wrong.slice(0, 10)];
"""


@pytest.mark.slow
@pytest.mark.parametrize("case", ["full", "one", "many", "sweep", "grid", "failed", "hostile", "search"])
def test_a_page_fits(
    case: str, full: tuple[Comparison, Artifacts], chromium: webdriver.Chrome, tmp_path: Path
) -> None:
    """No text is tiny, cut off or written over, only tables scroll, nothing is fetched or complained of."""
    many = [f"objective_number_{i}_with_a_long_name" for i in range(20)]
    found = {
        "full": [],
        "one": runs(["only"], 1),
        "many": runs(many, 3, ("frechet_distance", "precision")),
        "sweep": sweep({"model.network": ["mlp", "conv", "resnet_with_attention"], "lr": [1, 10]}, ["beta"]),
        "grid": sweep({"training.optimizer.lr": [1e-4, 1e-3], "model.latent_dim": [2, 4, 8]}, ["beta"]),
        "failed": [failed(run) if run.objective == "beta" else run for run in runs(["plain", "beta"], 3)],
        "hostile": [replace(run, objective=f"{run.objective}{HOSTILE}") for run in runs(["a", "b"], 3)],
        "search": search(["likelihood", "squared_error"], 6, ("frechet_distance", "precision")),
    }[case]
    comparison, kept = full if case == "full" else (compared(found), source(found, tmp_path))
    page = report.write(comparison, kept, tmp_path)
    for width, theme in itertools.product([375, 1280], ["light", "dark"]):
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        chromium.get_log("performance")
        chromium.get(page.as_uri())
        fits, wrong = chromium.execute_script(FITS)
        assert (fits, wrong) == (True, []), (width, theme)
        assert chromium.get_log("browser") == []
        messages = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
        fetched = {
            m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"
        }
        assert {url for url in fetched if not url.startswith("data:")} == {page.as_uri()}
