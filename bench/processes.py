"""Processes of the bench: CPU time of trees, and children that talk in lines and never outlive their time limit."""

import os
import selectors
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """A case that cannot be counted; the bench goes on with the next."""


def _stat(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Fields after the name: state, ppid, …; utime, stime, cutime, cstime are fields 14 to 17 of the whole line.
    return int(fields[1]), [int(ticks) / TICK for ticks in fields[11:15]]


def tree_cpu(root, without=()):
    """CPU seconds of process root, its living descendants and those that it has reaped, but for the pids in without."""
    stats = {int(name): _stat(name) for name in os.listdir("/proc") if name.isdigit()}
    stats = {pid: stat for pid, stat in stats.items() if stat}
    children = {}
    for pid, (parent, _) in stats.items():
        children.setdefault(parent, []).append(pid)
    total, todo = 0.0, [root]
    while todo:
        pid = todo.pop()
        if pid in without or pid not in stats:
            continue
        total += sum(stats[pid][1])
        todo += children.get(pid, [])
    return total


def machine_cpu():
    """CPU seconds that anybody used on this machine since its start, time stolen by other machines included."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = [int(ticks) for ticks in file.readline().split()[1:9]]
    return (user + nice + system + irq + softirq + steal) / TICK


def wait_for_quiet(limit=6.0, busy=0.5):
    """Waits until others use less than `busy` cores, at most `limit` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        before, since = machine_cpu(), time.monotonic()
        time.sleep(0.3)
        if (machine_cpu() - before) / (time.monotonic() - since) < busy:
            return


class Child:
    """A process that is told what to do in lines and answers in lines; its standard error goes to a log file."""

    def __init__(self, command, log, env=None):
        self.name = os.path.basename(command[0])
        self.log = log
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=env)
        self.buffer = b""
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    @property
    def pid(self):
        return self.process.pid

    def say(self, line):
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.fail("ended too early")

    def line(self, limit):
        """The next line of its output, without the newline."""
        end = time.monotonic() + limit
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not self.selector.select(left):
                self.fail(f"said nothing for {limit:.0f} s")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                self.fail("ended too early")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def fail(self, what):
        self.kill()
        with open(self.log, encoding="utf-8", errors="replace") as file:
            tail = file.read()[-1500:]
        raise Failure(f"{self.name} {what}\n{tail}".rstrip())

    def finish(self, limit=30):
        """Closes its input and waits for a clean end."""
        self.process.stdin.close()
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.fail(f"did not end within {limit} s")
        self.close()
        if code != 0:
            self.fail(f"ended with exit status {code}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close()

    def close(self):
        self.selector.close()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
