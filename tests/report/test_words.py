"""Numbers are never shown better than they are."""

import pytest

from tumorlens.report import words


def plain(text: str) -> str:
    return text.replace(words.NBSP, " ")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
        (0.9434, "94.3 %"),
        (0.99999, "99.9 %"),
        (1e-9, "0.1 %"),
        (0.5, "50.0 %"),
    ],
)
def test_percent(share, text) -> None:
    assert plain(words.percent(share)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.5, "0.50"),
        (0.9849, "0.98"),
        (0.9962, "0.996"),
        (0.99999, ">0.999"),
        (1.0, "1.00"),
        (0.0, "0.00"),
    ],
)
def test_probability(value, text) -> None:
    assert words.probability(value) == text


def test_other_numbers() -> None:
    assert plain(words.percent_range([0.919, 0.964])) == "91.9 to 96.4 %"
    assert words.percent_range(None) == "–"
    assert [words.score(v) for v in (None, 0.99999, 1.0, 0.0421)] == ["–", ">0.999", "1.000", "0.042"]
    assert words.count(1203844) == "1\u202f203\u202f844"
    assert [words.duration(s) for s in (None, 1.234, 59.0, 395.2, 7500)] == [
        "–",
        "1.2 s",
        "59 s",
        "6 min 35 s",
        "2 h 05 min",
    ]
    assert words.plural(1, "patient") == "1 patient"
    assert words.plural(2, "duplicate cluster") == "2 duplicate clusters"
    assert words.moment("2026-11-23T11:40:02+00:00") == "23 November 2026, 11:40 UTC"
    assert words.moment("yesterday") == "yesterday"


COUNTS = {"per_class": {"glioma": {"n": 300}, "pituitary": {"n": 312}}}


def test_what_is_no_better_than_guessing_says_so() -> None:
    """51 % of these slices are of the commoner class."""
    base = {"n": 612, "groups": 47, "unit": "patient", **COUNTS}
    good = base | {"accuracy": 0.943, "accuracy_ci95": [0.919, 0.964]}
    unsure = base | {"accuracy": 0.55, "accuracy_ci95": [0.48, 0.62]}
    bad = base | {"accuracy": 0.2, "accuracy_ci95": [0.1, 0.3]}
    assert words.guessing(good) == ""
    assert "no better, as far as these slices tell, than guessing" in words.headline(unsure)
    assert "worse than guessing" in words.headline(bad)
    assert "“Pituitary tumour”" in words.guessing(bad)


@pytest.mark.parametrize("unit", ["patient", "duplicate cluster", "slice"])
def test_the_headline_names_size_unit_and_interval(unit: str) -> None:
    scores = {"n": 612, "groups": 47, "unit": unit, "accuracy": 0.943, "accuracy_ci95": [0.919, 0.964], **COUNTS}
    text = plain(words.headline(scores))
    assert "612 test slices" in text
    assert "94.3 % (95 % interval 91.9 to 96.4 %)" in text
    assert ("47" in text) == (unit != "slice")
    assert "too few independent cases" in words.headline(scores | {"accuracy_ci95": None})
    assert words.unit_note(scores) != words.unit_note(scores | {"unit": "?"}) or unit == "slice"


def test_copies_and_look_alikes_are_said_to_count_once() -> None:
    note = words.unit_note({"n": 9, "groups": 4, "unit": "duplicate cluster"})
    assert "copies of an image, look-alikes kept together" in note


@pytest.mark.parametrize("unit", ["patient", "duplicate cluster", "slice"])
def test_the_note_on_intervals_names_both_ways(unit: str) -> None:
    note = words.unit_note({"n": 9, "groups": 4, "unit": unit})
    assert "bootstrapped" in note
    assert "exact binomial" in note


def test_markdown_shows_hostile_names_as_they_are() -> None:
    assert words.markdown("a|b\n# <script>`x`</script>") == r"a\|b \# &lt;script&gt;\`x\`&lt;/script&gt;"
