"""What the judgement of executors rests on that one session, or one setting, cannot show."""
from common import set_system
from harness import equal, until

HOUR_MS = 3600000


def sessions_elsewhere_do_not_count(cluster):
    """a session of the incarnation counts in its own database only"""
    session, other, here = cluster.session(), cluster.session("other"), cluster.session()
    other.query("SET application_name = 'dbos_sys/judged'")
    equal(session.value("SELECT dbos_sys.has_session('judged')"), "f")
    here.query("SET application_name = 'dbos_sys/judged lane 1'")
    equal(session.value("SELECT dbos_sys.has_session('judged')"), "t")
    here.query("RESET application_name")
    equal(session.value("SELECT dbos_sys.has_session('judged')"), "f")


def gap_is_counted_in_tick_intervals(cluster):
    """only more than five tick intervals without a tick are a gap"""
    session = cluster.session()
    set_system(session, "dbos_sys.tick_interval", "1h")
    until("the setting is seen", lambda: session.value("SHOW dbos_sys.tick_interval") == "1h")
    session.query("BEGIN")
    begun = 1800000000000
    holds = [session.value(f"SELECT n.hold_from FROM dbos_sys.note_tick({begun + hours * HOUR_MS}) AS n") for hours in (0, 5, 10)]
    equal(holds, [str(begun)] * 3)
    equal(session.value(f"SELECT n.hold_from FROM dbos_sys.note_tick({begun + 15 * HOUR_MS + 1}) AS n"), str(begun + 15 * HOUR_MS + 1))
    session.query("ROLLBACK")


def run(tap, cluster):
    for test in (sessions_elsewhere_do_not_count, gap_is_counted_in_tick_intervals):
        tap.run(test, cluster)
    cluster.close_sessions()
