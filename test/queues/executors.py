"""Executors as the property tests want them: threads with a session each, which claim, hold what they got for a while, and end it;
and somebody who kills their sessions in the middle."""
import random
import threading
import time
import uuid

from harness import SqlError

# Every change of a status, in the transaction that makes it; and flush() for the ends of some runs.
AUDIT = """
CREATE TABLE public.audit (number bigserial, id text, key text, was text, status text, executor text, started bigint);
CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.audit (id, key, was, status, executor, started)
  VALUES (NEW.workflow_uuid, NEW.queue_partition_key, CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, NEW.status, NEW.executor_id, NEW.started_at_epoch_ms);
  RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OF status ON dbos.workflow_status FOR EACH ROW EXECUTE FUNCTION public.audit();
CREATE FUNCTION public.finish(p_executor text, p_incarnation text, p_ids text[], p_tokens text[]) RETURNS void LANGUAGE sql AS $$
  SELECT FROM dbos_sys.flush('shop', p_executor, p_incarnation, 'v1', true, p_ids, p_tokens, array_fill(false, ARRAY[cardinality(p_ids)]),
    array_fill(NULL::text, ARRAY[cardinality(p_ids)]), array_fill(NULL::text, ARRAY[cardinality(p_ids)]), array_fill(NULL::jsonb, ARRAY[cardinality(p_ids)]),
    array_fill('SUCCESS'::text, ARRAY[cardinality(p_ids)]), array_fill('1'::text, ARRAY[cardinality(p_ids)]), array_fill(NULL::text, ARRAY[cardinality(p_ids)]),
    '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')
$$;
"""


def texts(values):
    return "ARRAY[" + ", ".join(f"'{value}'" for value in values) + "]::text[]"


class Executor(threading.Thread):
    """Claims from one queue until told to stop; a session that was killed makes it join again under a new incarnation."""

    def __init__(self, connect, name, queue, limit, hold, seed, always=False):
        super().__init__(daemon=True)
        self.connect, self.id, self.queue, self.limit, self.hold = connect, name, queue, limit, hold
        self.random, self.always = random.Random(seed), always
        self.stop, self.session, self.held, self.failure = False, None, [], None

    def run(self):
        try:
            while not self.stop:
                try:
                    self.turn()
                except SqlError as error:
                    if error.state not in ("57P01", "08006", "08001", "08003", "WF021", "40P01", ""):
                        raise
                    self.session = None
        except Exception as failure:  # told by the main thread
            self.failure = failure

    def join_again(self):
        self.session = self.connect()
        self.incarnation, self.held = str(uuid.uuid4()), []
        try:
            self.session.query(f"SELECT FROM dbos_sys.register_executor('shop', '{self.id}', '{self.incarnation}', 'v1')")
        except SqlError:
            # The old session may still be going down: as an operator would, who knows that it is dead.
            self.session.query(f"SELECT dbos_sys.recover(ARRAY['{self.id}'], 'shop', p_force => true)")
            self.session.query(f"SELECT FROM dbos_sys.register_executor('shop', '{self.id}', '{self.incarnation}', 'v1')")

    def turn(self):
        if self.session is None:
            self.join_again()
        retry = self.claim()
        now = time.monotonic()
        due = [run for run in self.held if run[0] <= now]
        if due:
            self.session.query(f"SELECT public.finish('{self.id}', '{self.incarnation}', {texts(r[1] for r in due)}, {texts(r[2] for r in due)})")
            self.held = [run for run in self.held if run[0] > now]
        pause = min([retry, 0.05] + [max(run[0] - time.monotonic(), 0.001) for run in self.held])
        time.sleep(pause)

    def claim(self):
        token = str(uuid.uuid4())
        limit = self.limit if self.always else self.random.randint(1, self.limit)
        self.session.query("BEGIN")
        rows = self.session.query(
            f"SELECT c.id, c.retry_ms FROM dbos_sys.claim('shop', '{self.id}', '{self.incarnation}', 'v1', '{token}', ARRAY['{self.queue}'], "
            f"ARRAY[{limit}], ARRAY['w'], ARRAY[''], ARRAY[1000], ARRAY[NULL]::integer[], ARRAY[NULL]::bigint[]) AS c")
        if self.random.random() < 0.1:
            time.sleep(self.random.uniform(0, 0.01))   # a slow commit, in which the others claim and the killer strikes
        self.session.query("COMMIT")
        now = time.monotonic()
        got = [row[0] for row in rows if row[0]]
        self.held += [(now + self.random.uniform(*self.hold), run, token) for run in got]
        retries = [int(row[1]) / 1000 for row in rows if not row[0] and row[1]]
        return 0 if len(got) == limit else min(retries, default=0.05)


class Killer(threading.Thread):
    """Ends the session of some executor from time to time, whatever it is doing."""

    def __init__(self, connect, executors, seed, every):
        super().__init__(daemon=True)
        self.session, self.executors, self.every = connect(), executors, every
        self.random = random.Random(seed)
        self.stopped, self.kills = threading.Event(), 0

    def run(self):
        while not self.stopped.wait(self.random.uniform(0, 2 * self.every)):
            session = self.random.choice(self.executors).session
            if session is not None and self.session.value(f"SELECT pg_terminate_backend({session.pid})") == "t":
                self.kills += 1
