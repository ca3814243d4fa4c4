"""A seed is a history; what it may hold can be limited; and the report counts it."""

import pytest

from tests.chaos.comparison import Compared
from tests.chaos.injuries import Phase, Victim, draw
from tests.chaos.report import Calm, Told, to_json, to_markdown
from tests.chaos.suffering import Suffered, says_more
from tests.jobs.integration.command_line import Done


def test_the_same_seed_is_the_same_history():
    assert draw(1, 30) == draw(1, 30)
    assert draw(1, 30) != draw(2, 30)
    assert [len(one.injuries) for one in draw(1, 30)] == [12, 12, 6]
    assert [one.workload.name for one in draw(1, 30)] == ["random", "grid", "random"]


def test_injuries_come_in_the_order_of_the_work():
    for one in draw(3, 60):
        phases = [injury.phase for injury in one.injuries]
        assert phases == sorted(phases, key=list(Phase).index)
        shares = [injury.share for injury in one.injuries if injury.share is not None and injury.phase is Phase.SWEEP]
        assert shares == sorted(shares)


def test_restarts_can_be_limited_and_everybody_is_hurt_sooner_or_later():
    assert sum(injury.is_costly for one in draw(5, 60, most_costly=3) for injury in one.injuries) == 3
    assert {injury.victim for one in draw(5, 200) for injury in one.injuries} == set(Victim)


def test_the_report_counts_and_names():
    [one] = draw(7, 12)
    suffered = Suffered(injuries=list(one.injuries), verbs=dict.fromkeys(Phase, 3), seconds=dict.fromkeys(Phase, 50.0),
                        ending=2.0, restarting=28.0, waiting=10.0)  # fmt: skip
    calm = Calm(dict.fromkeys(Phase, 10), dict.fromkeys(Phase, 20.0))
    sound = Told("random", suffered, Compared(100, 100, 0, 0, (), 8, 2), calm)
    unsound = Told("random", suffered, Compared(100, 98, 1, 2, ("the table differs",)), calm)
    assert to_json(7, [sound])["summary"] == {
        "injuries": 12, "missed": 0, "expected": 100, "found": 100, "doubled": 0, "lost": 0, "to_the_bit": 8,
        "within_rounding": 2, "differences": 0,
        "restarts": 4, "seconds": 100.0, "seconds_unbroken": 40.0, "seconds_of_ends": 2.0, "seconds_of_restarts": 28.0,
        "seconds_without_a_server": 10.0, "times_unbroken_without_these": 1.5,
    }  # fmt: skip
    text = to_markdown(7, [sound, unsound])
    assert "| points expected / found / doubled / lost | 200 / 198 / 1 / 2 |" in text
    assert "* round 1 (random): the table differs" in text
    assert "* round 1 (random): 2 points lost" in text
    assert "round 0" not in text


@pytest.mark.parametrize(
    ("out", "err", "said"),
    [
        ("s stopped: 1 stopped\ngo on with: oplstm resume s\n", "", True),  # a sweep
        ("", "s stopped; go on with: oplstm promote s\n", True),  # a promotion
        ("", "oplstm: the head service of Ray has died; oplstm resume s\n", True),
        ("", "(raylet) A worker died or was killed\ns: 20%, 0/5 runs\n", False),
        ("", "stopping at the next update; once more to stop at once\n", False),
    ],
)
def test_a_verb_that_ended_too_soon_has_to_say_so_itself(out, err, said):
    assert says_more(Done(1, out, err)) is said
