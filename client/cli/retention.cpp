#include "retention.hpp"

#include <charconv>
#include <dbos/error.hpp>
#include <dbos/json.hpp>
#include <dbos/retention.hpp>
#include <iostream>
#include <optional>

#include "text.hpp"
#include "verb.hpp"

namespace dbos::cli {

namespace {

// As the server has it.
constexpr std::int64_t kMostRows = 10'000'000;

Retention open(const Common& common) { return Retention({.database = common.db, .log = tell}); }

std::optional<Milliseconds> span_option(const char* option, const std::string& text) {
  if (text.empty()) return {};
  return duration_option(option, text);
}

std::optional<std::int64_t> rows_option(const std::string& text) {
  if (text.empty()) return {};
  std::int64_t rows = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rows);
  if (error != std::errc() || end != text.data() + text.size() || rows < 0 || rows > kMostRows)
    throw UsageError("--keep-rows '" + text + "' is not a number from 0 to " + std::to_string(kMostRows), {}, {},
                     "write digits, as 100000; without --keep-rows their number has no bound");
  return rows;
}

// What the server would refuse in words of SQL.
void check(const RetentionPolicy& policy) {
  if (policy.archive && !policy.keep && !policy.keep_rows)
    throw UsageError("--archive needs --keep or --keep-rows: what stays for ever is not archived", {}, {},
                     "say how long it stays in the tables, as --keep 30d");
  if (!policy.selector.status.empty() && policy.cancel_after)
    throw UsageError("--cancel-after goes with no --status, which is the one in which a workflow has ended", {}, {}, "leave --status out");
  if (policy.cancel_after == Milliseconds{0})
    throw UsageError("--cancel-after is 0", {}, {}, "give 1ms or more; without --cancel-after nothing is cancelled");
}

RetentionSelector selector_of(const Common& common, const RetentionArguments& arguments) {
  return {.workflow = arguments.workflow, .queue = arguments.queue, .application = common.application, .status = arguments.status};
}

nlohmann::json to_json(const RetentionSelector& selector) {
  auto text = [](const std::string& value) { return value.empty() ? nlohmann::json() : nlohmann::json(value); };
  return {{"workflow", text(selector.workflow)},
          {"queue", text(selector.queue)},
          {"application", text(selector.application)},
          {"status", text(selector.status)}};
}

nlohmann::json to_json(const RetentionPolicy& policy) {
  nlohmann::json out = to_json(policy.selector);
  out["keep_ms"] = policy.keep ? nlohmann::json(policy.keep->count()) : nlohmann::json();
  out["keep_rows"] = policy.keep_rows ? nlohmann::json(*policy.keep_rows) : nlohmann::json();
  out["cancel_after_ms"] = policy.cancel_after ? nlohmann::json(policy.cancel_after->count()) : nlohmann::json();
  out["archive"] = policy.archive;
  return out;
}

std::string any(const std::string& text) { return text.empty() ? "any" : printable(text); }

std::string keeps_text(const RetentionPolicy& policy) {
  std::string text;
  if (policy.keep) text = duration_text(policy.keep->count());
  if (policy.keep_rows) text += (text.empty() ? "" : ", ") + std::string("the newest ") + std::to_string(*policy.keep_rows);
  if (text.empty()) return policy.cancel_after ? "-" : "for ever";
  return text + (policy.archive ? ", then archived" : "");
}

}  // namespace

void run_retain_list(const Common& common) {
  auto policies = open(common).policies();
  if (common.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& policy : policies) rows.push_back(to_json(policy));
    print(rows);
    return;
  }
  if (policies.empty()) {
    std::cerr << "there is no policy: everything stays\n";
    return;
  }
  Table table({"WORKFLOW", "QUEUE", "APPLICATION", "STATUS", "STAYS", "CANCELLED AFTER"});
  for (const auto& policy : policies) {
    const auto& s = policy.selector;
    table.add({any(s.workflow), any(s.queue), any(s.application), any(s.status), keeps_text(policy),
               policy.cancel_after ? duration_text(policy.cancel_after->count()) : "-"});
  }
  std::cout << table.text();
}

void run_retain_set(const Common& common, const RetentionArguments& arguments) {
  RetentionPolicy policy{.selector = selector_of(common, arguments),
                         .keep = span_option("--keep", arguments.keep),
                         .keep_rows = rows_option(arguments.keep_rows),
                         .cancel_after = span_option("--cancel-after", arguments.cancel_after),
                         .archive = arguments.archive};
  check(policy);
  open(common).retain(policy, arguments.force);
  run_retain_list(common);
}

void run_retain_drop(const Common& common, const RetentionArguments& arguments) {
  open(common).drop(selector_of(common, arguments));
  run_retain_list(common);
}

void run_prune(const Common& common, const RetentionArguments& arguments) {
  Retention retention = open(common);
  if (!arguments.dry_run) {
    PruneReport report = retention.prune(span_option("--budget", arguments.budget).value_or(Milliseconds{0}));
    if (common.json)
      print({{"workflows", report.workflows},
             {"orphans", report.orphans},
             {"cancelled", report.cancelled},
             {"bytes", report.bytes},
             {"note", report.note}});
    else
      std::cout << "pruned " << report.workflows << " workflows, " << report.orphans << " orphaned rows, about " << report.bytes
                << " bytes; cancelled " << report.cancelled << "\n"
                << printable(report.note) << "\n";
    return;
  }
  nlohmann::json rows = nlohmann::json::array();
  bool going = false;
  Table table({"WORKFLOW", "QUEUE", "APPLICATION", "STATUS", "WHAT", ">COUNT", ">BYTES", "OLDEST"});
  for (const auto& line : retention.preview()) {
    nlohmann::json row = to_json(line.selector);
    row.update({{"what", line.what}, {"count", line.count}, {"bytes", line.bytes}, {"oldest", line.oldest}});
    rows.push_back(std::move(row));
    if (line.count == 0) continue;
    going = true;
    const auto& s = line.selector;
    table.add({any(s.workflow), any(s.queue), any(s.application), any(s.status), printable(line.what), std::to_string(line.count),
               std::to_string(line.bytes), local_time(line.oldest)});
  }
  if (common.json) print(rows);
  else if (!going) std::cerr << "nothing would go\n";
  else std::cout << table.text();
}

void run_delete(const Common& common, const RetentionArguments& arguments) {
  auto places = open(common).remove(arguments.ids, arguments.children, arguments.force);
  if (common.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& deleted : places) rows.push_back({{"id", deleted.id}, {"place", deleted.place}});
    print(rows);
    return;
  }
  Table table({"ID", "PLACE"});
  for (const auto& deleted : places) table.add({printable(deleted.id), printable(deleted.place)});
  std::cout << table.text();
}

}  // namespace dbos::cli
