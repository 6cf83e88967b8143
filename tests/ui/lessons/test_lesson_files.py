"""Lessons as files: what is written is checked, and what is wrong is said with its file and field."""

import re
from pathlib import Path

import pytest

from certssb_core.runs.run import Run
from tests.reading import length, sentences
from ui.kit import tables
from ui.kit.glossary import TERMS
from ui.kit.pages import PAGES
from ui.lessons.lesson_files import FOLDER, LessonError, course, filled, read

RUN = Run(Path(__file__).parents[3] / "checkpoints" / "digits")

GOOD = """
title = "A lesson"
summary = "One sentence."

[[steps]]
title = "A step"
text = "σ* is {{noise.sigma:g}}, and again σ*."
view = {show = "sigma-histogram", by = "class"}
question = "Which?"
choices = ["this", "that"]
answer = "that"
explanation = "Because."
"""

COURSE = course(FOLDER)
STEPS = [(lesson, step) for lesson in COURSE.lessons.values() for step in lesson.steps]


def facts_of(step) -> dict:
    facts = dict(tables.facts(RUN))
    facts |= {f"view.{name}": value for name, value in step.view.facts(RUN).items()}
    if step.reveal:
        facts |= {f"reveal.{name}": value for name, value in step.reveal.facts(RUN).items()}
    return facts


def write(tmp_path, text: str, name: str = "1-mine.toml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_five_lessons_ship_and_none_is_bad():
    assert list(COURSE.lessons) == [
        "What a backdoor is",
        "Why noise helps",
        "Why one σ does not fit all",
        "What happens when balls collide",
        "What a certificate does not promise",
    ]
    assert COURSE.problems == ()


@pytest.mark.parametrize(("lesson", "step"), STEPS, ids=lambda one: one.title)
def test_every_word_can_be_filled_in_from_the_shipped_run(lesson, step):
    facts = facts_of(step)
    for words in (step.text, step.question, step.explanation, *step.choices):
        said = filled(words, facts, field="it")
        assert "{{" not in said
        assert "nan" not in said.split()


# What the right answers claim, checked on the shipped run; every step is here.
CLAIMS = {
    "Four brighter pixels": lambda f: f["images.poisoned"] / f["images.train"] == pytest.approx(1 / 20, abs=0.001),
    "How large the change is": lambda f: (
        f["reveal.norm_max"] <= f["attack.norm"] + 1e-6 and f["reveal.norm_median"] < 1
    ),
    "On clean images nothing is amiss": lambda f: f["undefended.clean_accuracy"] > 0.95,
    "With the trigger it obeys": lambda f: f["undefended.attack_success_rate"] > 0.8,
    "Larger than the trigger": lambda f: f["view.noise_norm"] > 2 * f["attack.norm"],
    "Many copies, one vote": lambda f: f["triggered.attack_success_rate"] < 0.05 and f["triggered.abstained"] > 0.1,
    "Drag the trigger": lambda f: f["view.misled"] > 200 and f["view.share"] < 0.05,
    "What it costs": lambda f: 0.90 < f["clean.accuracy"] < 0.95,
    "From a vote to a promise": lambda f: f["reveal.clean"] == pytest.approx(1 / 8, abs=0.01),
    "A radius with a hill": lambda f: f["reveal.best_sigma2"] > 2 * f["view.best_sigma"] == 2 * f["reveal.best_sigma1"],
    "A climb for every image": lambda f: 0.35 < f["reveal.below_start"] < 0.45,
    "Some digits bear more": lambda f: f["sigma.boldest_class"] == "0",
    "The poisoned images": lambda f: f["sigma.poisoned_median"] < f["sigma.unpoisoned_median"],
    "One σ for all": lambda f: f["reveal.contested"] == 0 and f["reveal.changed"] == 0,
    "A σ for each, and the attacker comes last": lambda f: (
        f["reveal.attacker_case"] == "aligned" and f["view.inputs"] == 25
    ),
    "The attacker comes first": lambda f: f["reveal.trimmed_away"] > 5 * f["reveal.trimmed_away_attacker_last"],
    "So the order decides": lambda f: f["view.answered"] != f["reveal.answered"],
    "And among images?": lambda f: f["balls.conflicts"] == 0 and f["images.dimensions"] == 64,
    "And among images sent on purpose?": lambda f: (
        (f["reveal.trimmed"] + f["reveal.aligned"]) / f["reveal.inputs"] == pytest.approx(1 / 6, abs=0.01)
    ),
    "Beyond the radius it is silent": lambda f: f["reveal.triggered"] == 0 and f["radius.max"] < f["attack.norm"],
    "Certified, but wrong": lambda f: (
        (f["view.label"], f["reveal.answer"]) == ("5", "9") and f["reveal.radius"] > 0 and f["reveal.members"] == 200
    ),
    "Training images that move too": lambda f: f["reveal.standing"] == 0 < f["reveal.test_input_alone"],
    "Replaced and relabelled": lambda f: (
        f["view.backing"] >= f["view.needed"] and 0.75 < f["reveal.clean"] / f["reveal.of"] < 0.85
    ),
    "For the noise levels as fixed": lambda f: f["noise.test_map"] == "sample-specific",
    "With probability": lambda f: (
        f["images.certified"] < f["images.asked"] == 720 and f["certificates.wrong_at_most"] == 720 * 0.001
    ),
}


@pytest.mark.parametrize(("lesson", "step"), STEPS, ids=lambda one: one.title)
def test_the_right_answer_is_right_on_the_shipped_run(lesson, step):
    assert CLAIMS[step.title](facts_of(step))


def test_every_step_has_a_picture_of_its_own_and_something_to_do():
    views = [view for _, step in STEPS for view in (step.view, step.reveal) if view]
    pinned = [view.model_dump_json(exclude={"move"}) for view in views]
    assert len(set(pinned)) == len(pinned)
    for _, step in STEPS:
        assert any(view.move or view.hands_on for view in (step.view, step.reveal) if view), step.title


def test_every_term_is_explained_before_the_course_uses_it():
    explained: set[str] = set()
    for _, step in STEPS:
        explained |= set(step.terms)
        words = " ".join((step.title, step.text, step.question, *step.choices, step.explanation))
        words = re.sub(r"{{.*?}}", "", words)
        used = {name for name, term in TERMS.items() if re.search(term.words, words, re.IGNORECASE)}
        assert used <= explained, f"{step.title} uses {used - explained}"
    introduced = [name for _, step in STEPS for name in step.terms]
    assert len(set(introduced)) == len(introduced)


@pytest.mark.parametrize(("lesson", "step"), STEPS, ids=lambda one: one.title)
def test_no_sentence_is_longer_than_thirty_words(lesson, step):
    for words in (lesson.summary, step.text, step.question, *step.choices, step.explanation):
        for sentence in sentences(filled(words, facts_of(step), field="it")):
            assert length(sentence) <= 30, sentence


@pytest.mark.parametrize(
    ("move", "words"),
    [
        ('{field = "of", label = "x", options = {clean = "a", train = "b"}}', None),
        ('{field = "sigma", label = "x", low = 0, high = 1, step = 0.1}', "this view has no field “sigma”"),
        ('{field = "show", label = "x", low = 0, high = 1, step = 1}', "this view has no field “show”"),
        ('{field = "of", label = "x", options = {clean = "a", all = "b"}}', "Input should be"),
        ('{field = "of", label = "x", options = {clean = "a"}}', "either low, high and step, or at least two options"),
        ('{field = "of", label = "x", low = 1, high = 0, step = 1}', "low must lie below its high"),
    ],
)
def test_a_control_sets_a_field_of_its_view(tmp_path, move, words):
    path = write(tmp_path, GOOD.replace('by = "class"}', f'by = "class", move = {move}}}'))
    if words is None:
        assert read(path).steps[0].view.move.field == "of"
    else:
        with pytest.raises(LessonError, match=r"1-mine\.toml, step 1, view") as error:
            read(path)
        assert words in str(error.value)


def test_every_kind_of_view_links_to_its_page():
    for _, step in STEPS:
        for view in filter(None, (step.view, step.reveal)):
            link = view.link(RUN)
            assert view.page in PAGES
            assert all(isinstance(value, str | list) for value in link.values())


def test_a_good_file_is_read(tmp_path):
    lesson = read(write(tmp_path, GOOD))
    assert lesson.steps[0].view.by == "class"
    assert lesson.run == "digits"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "A lesson"', "title = A lesson", "1-mine.toml cannot be read"),
        ('answer = "that"', 'answer = "those"', "step 1: Value error, answer: “those” is none of the choices"),
        ('choices = ["this", "that"]', 'choices = ["that"]', "step 1, choices"),
        ('choices = ["this", "that"]', 'choices = ["that", "that"]', "two of them are the same"),
        ('show = "sigma-histogram"', 'show = "histogram"', "step 1, view: Input tag 'histogram'"),
        ('by = "class"', 'by = "colour"', "step 1, view, sigma-histogram, by: Input should be"),
        ('by = "class"', 'bye = "class"', "step 1, view, sigma-histogram, bye: Extra inputs"),
        ('question = "Which?"', "", "step 1, question: Field required"),
        ('summary = "One sentence."', "", "1-mine.toml, summary: Field required"),
    ],
)
def test_a_bad_file_is_told_with_its_field(tmp_path, old, new, words):
    assert old in GOOD
    with pytest.raises(LessonError, match=r"1-mine\.toml") as error:
        read(write(tmp_path, GOOD.replace(old, new)))
    assert words in str(error.value)


def test_a_bad_file_stops_no_other(tmp_path):
    write(tmp_path, GOOD)
    write(tmp_path, "[[", "2-bad.toml")
    write(tmp_path, GOOD, "3-again.toml")
    found = course(tmp_path)
    assert list(found.lessons) == ["A lesson"]
    assert "2-bad.toml cannot be read" in found.problems[0]
    assert "3-again.toml, title: another lesson is called “A lesson”" in found.problems[1]


def test_facts_are_quoted_and_formulas_left_alone():
    facts = {"clean.accuracy": 0.9222, "name": "seven"}
    assert (
        filled("{{clean.accuracy:.1%}} of {{ name }}, $\\frac{a}{b}$", facts, field="x")
        == "92.2% of seven, $\\frac{a}{b}$"
    )
    assert filled("σ* and σ*", facts, field="x") == "σ&ast; and σ&ast;"
    with pytest.raises(
        LessonError, match=r"step 1, text: nothing is known as clean\.acuracy; known are clean\.accuracy"
    ):
        filled("{{clean.acuracy}}", facts, field="step 1, text")
    with pytest.raises(LessonError, match=r"name is 'seven' and cannot be written as '\.1%'"):
        filled("{{name:.1%}}", facts, field="x")
