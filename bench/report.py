"""Medians, the table, and the JSON lines."""

import json
import os
import platform
import statistics
import subprocess
import time

from server import ROOT

UNITS = {
    "rate": None,
    "p50": "ms",
    "p99": "ms",
    "commits": "per 1,000",
    "trips": "per 1,000",
    "wire": "per 1,000",
    "statements": "per 1,000",
    "wal": "bytes each",
    "full_pages": "bytes each",
    "server_cpu": "s per 1,000",
    "client_cpu": "s per 1,000",
    "others": "cores",
}
# Others that use more than this make a figure doubtful.
DISTURBED = 0.3


class Results:
    """Samples by (case, phase) in the order in which they came, then by system."""

    def __init__(self):
        self.rows = {}
        self.failed = []

    def add(self, case, system, sample):
        self.rows.setdefault((case, sample.phase), {}).setdefault(system, []).append(sample.metrics)

    def fail(self, case, system):
        self.failed.append((case, system))

    def values(self, key, system, metric):
        return [run[metric] for run in self.rows[key].get(system, []) if metric in run]


def name_of(case, phase):
    return f"{case.name}/{phase}" if phase else case.name


def environment(server, versions, runs):
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "commit": commit or None,
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "kernel": platform.release(),
        "postgres": server.observer.value("SHOW server_version"),
        "settings": server.settings,
        "sdk": "@dbos-inc/dbos-sdk 5.3.0",
        "runs": runs,
        **versions,
    }


def write_json(results, surroundings, path):
    with open(path, "w", encoding="utf-8") as file:
        line = {"case": "environment", "system": "both", "metric": "environment", "value": surroundings, "unit": "none"}
        file.write(json.dumps(line) + "\n")
        for (case, phase), systems in results.rows.items():
            for system in systems:
                for metric, unit in UNITS.items():
                    runs = results.values((case, phase), system, metric)
                    if not runs:
                        continue
                    line = {"case": name_of(case, phase), "system": system, "metric": metric, "value": statistics.median(runs)}
                    line |= {"unit": unit or case.unit, "min": min(runs), "max": max(runs), "runs": runs, "title": case.title}
                    file.write(json.dumps(line) + "\n")


def figure(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 else f"{value:.4f}"


def row(results, key, system):
    case, phase = key
    main = "p50" if case.unit == "ms" else "rate"
    runs = results.values(key, system, main)
    median = statistics.median(runs)
    cells = [name_of(case, phase), system, f"{figure(median)} {case.unit}", f"{figure(min(runs))}–{figure(max(runs))}"]
    cells += [ratio(results, key, main) if system == "ours" else ""]
    for metric in ("commits", "trips", "wal", "server_cpu", "client_cpu"):
        cells.append(figure(statistics.median(results.values(key, system, metric))))
    if statistics.median(results.values(key, system, "others")) > DISTURBED:
        cells[2] += " *"
    return cells


def ratio(results, key, metric):
    """How many times as fast ours is."""
    ours, sdk = (results.values(key, system, metric) for system in ("ours", "sdk"))
    if not ours or not sdk:
        return ""
    ours, sdk = statistics.median(ours), statistics.median(sdk)
    return f"{sdk / ours if metric == 'p50' else ours / sdk:.1f} x"


def queue_trips(results):
    """Enqueue and drain together: all that a queued workflow costs."""
    lines = []
    for case, phase in results.rows:
        both = (case, "enqueue"), (case, "drain")
        if phase != "drain" or both[0] not in results.rows:
            continue
        totals = []
        for system in ("ours", "sdk"):
            values = [results.values(key, system, "trips") for key in both]
            if all(values):
                totals.append(f"{system} {sum(statistics.median(runs) for runs in values):,.0f}")
        lines.append(f"Round trips per 1,000 workflows of {case.name}, enqueue and drain together: {', '.join(totals)}.")
    return lines


def table(results):
    header = ["case", "system", "value", "min–max", "ours/sdk", "commits", "trips", "WAL bytes", "server CPU s", "client CPU s"]
    rows = [header]
    for key, systems in results.rows.items():
        rows += [row(results, key, system) for system in ("ours", "sdk") if system in systems]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(header))]

    def text(cells):
        padded = [cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(zip(cells, widths))]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    lines = ["", text(header), rule, *(text(cells) for cells in rows[1:]), ""]
    lines += [f"{case.name}: {case.title}" for case in dict.fromkeys(case for case, _ in results.rows)]
    lines += ["", "Medians. Commits, trips and CPU are per 1,000 workflows (alone: per 1,000 steps), WAL bytes per one."]
    lines += queue_trips(results)
    if any(" *" in cells[2] for cells in rows[1:]):
        lines.append(f"* others used more than {DISTURBED} cores meanwhile: compare CPU rather than rates.")
    lines += [f"FAILED: {case.name} {system}" for case, system in results.failed]
    return "\n".join(lines)
