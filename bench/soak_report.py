"""What a soak says: quarters, the table, JSON lines, and the plot."""

import json
import statistics

from report import DISTURBED, figure
from svg import Line, Panel, document

# The last quarter may be so many times the second.
FLAT = 1.1
NAMES = {"ours": "dbos_sys", "sdk": "TypeScript SDK"}
COLOURS = {"ours": "#1668a8", "sdk": "#c4541a"}
MIB = 1 << 20


def sample_text(sample):
    return f"{sample['second']} s: {sample['ended']:,}/s, p50 {sample['p50']:.2f} ms, p99 {sample['p99']:.2f} ms, {sample['size'] / MIB:,.0f} MiB, {sample['rows']:,} rows"


def quarters(samples, metric, of):
    """The second quarter and the last."""
    size = len(samples) // 4
    return of(sample[metric] for sample in samples[size : 2 * size]), of(sample[metric] for sample in samples[-size:])


def metrics(result):
    """{metric: (value, unit)}; sizes are means of a quarter, latencies medians of its seconds."""
    samples = result["samples"]
    found = {"workflows": (result["ended"], "workflows"), "rate": (result["rate"], "wf/s"), "kept": (result["kept"], "workflows"), "pruned": (result["pruned"], "workflows")}
    for metric, unit, of in (("size", "bytes", statistics.fmean), ("p50", "ms", statistics.median), ("p99", "ms", statistics.median)):
        second, last = quarters(samples, metric, of)
        found |= {f"{metric}_second_quarter": (second, unit), f"{metric}_last_quarter": (last, unit), f"{metric}_ratio": (last / second, "x")}
    if "oldest" in result:
        found["oldest_kept"] = (result["oldest"], "s")
    return found | {
        "bytes_per_workflow": (samples[-1]["size"] / result["ended"], "bytes each"),
        "bytes_per_kept_workflow": (samples[-1]["size"] / result["kept"], "bytes each"),
        "largest_dead_rows": (max(sample["dead"] for sample in samples), "rows"),
        "server_cpu": (result["server_cpu"], "s per 1,000"),
        "others": (result["others"], "cores"),
    }


def title(load):
    kept = f"kept {load.keep:g} s" if load.keep else "no retention"
    return f"{NAMES[load.system]}, {load.rate:,} workflows of 1 step per second, {kept}"


def write_json(results, surroundings, path):
    with open(path, "w", encoding="utf-8") as file:
        lines = [{"case": "environment", "system": "both", "metric": "environment", "value": surroundings, "unit": "none"}]
        for load, result in results.items():
            common = {"case": "soak", "system": load.system}
            lines += [{**common, "metric": name, "value": value, "unit": unit, "title": title(load)} for name, (value, unit) in metrics(result).items()]
            lines += [{**common, "metric": "sample", "value": sample, "unit": "none"} for sample in result["samples"]]
        file.writelines(json.dumps(line) + "\n" for line in lines)


def table(results):
    lines = ["", "| system | what | second quarter | last quarter | ratio |", "|---|---|---:|---:|---:|"]
    for load, result in results.items():
        found = metrics(result)
        for metric, what, scale, unit in (("size", "tables and indexes", MIB, "MiB"), ("p50", "latency p50", 1, "ms"), ("p99", "latency p99", 1, "ms")):
            second, last, ratio = (found[f"{metric}_{part}"][0] for part in ("second_quarter", "last_quarter", "ratio"))
            lines.append(f"| {load.system} | {what} | {figure(second / scale)} {unit} | {figure(last / scale)} {unit} | {ratio:.2f} |")
    lines.append("")
    for load, result in results.items():
        found = {name: value for name, (value, _) in metrics(result).items()}
        lines.append(f"{load.system}: {title(load)}, for {load.seconds} s: {found['workflows']:,} ended, {found['rate']:,.0f}/s{' *' if found['others'] > DISTURBED else ''}.")
        oldest = f", the oldest ended {found['oldest_kept']:.0f} s ago" if "oldest_kept" in found else ""
        lines.append(f"  At the end {found['kept']:,} are kept{oldest}, {found['pruned']:,} pruned; {found['bytes_per_workflow']:,.0f} bytes per workflow that ran, "
                     f"{found['bytes_per_kept_workflow']:,.0f} per one that is kept; server CPU {figure(found['server_cpu'])} s per 1,000.")
    if any(result["others"] > DISTURBED for result in results.values()):
        lines.append(f"* others used more than {DISTURBED} cores meanwhile.")
    return "\n".join(lines)


def not_flat(results):
    """What of ours grew from the second quarter to the last."""
    complaints = []
    for load, result in results.items():
        found = metrics(result)
        for metric in ("size", "p50") if load.system == "ours" else ():
            if (ratio := found[f"{metric}_ratio"][0]) > FLAT:
                complaints.append(f"ours: {metric} is not flat: the last quarter is {ratio:.2f} times the second")
        if load.system == "ours" and result["rate"] < 0.98 * load.rate:
            complaints.append(f"ours: {load.rate} workflows per second were asked for, {result['rate']:,.0f} came")
    return complaints


def plot(results, environment):
    def lines(metric, scale=1.0, dash=""):
        return [Line(title(load), COLOURS[load.system], dash, [(s["second"], s[metric] / scale) for s in result["samples"]]) for load, result in results.items()]

    panels = [
        Panel("tables and indexes, MiB", lines("size", MIB)),
        Panel("workflows in the tables, thousands (by the server's statistics)", lines("rows", 1000)),
        Panel("start to result, ms (p50 dashed, p99)", lines("p99") + lines("p50", dash="4 3"), logarithmic=True),
    ]
    about = f"PostgreSQL {environment['postgres'].split()[0]}, {environment['cores']} cores, {environment['cpu']}; bench/soak, {environment['at'][:10]}"
    return document("The system database under constant load", about, "seconds", panels)
