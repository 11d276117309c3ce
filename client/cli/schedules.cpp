#include "schedules.hpp"

#include <algorithm>
#include <chrono>
#include <dbos/client.hpp>
#include <dbos/error.hpp>
#include <dbos/json.hpp>
#include <iostream>

#include "report.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace dbos::cli {

namespace {

bool yes(const char* option, const std::string& text) {
  if (text != "yes" && text != "no") throw UsageError(std::string(option) + " '" + text + "' is neither yes nor no");
  return text == "yes";
}

std::string context_text(const std::string& text) {
  if (!nlohmann::json::accept(text))
    throw UsageError("--context '" + text + "' is not JSON", {}, {}, "write --context '{\"a\": 1}', a text as '\"a\"'");
  return text;
}

// `none` is the internal one.
std::string queue_option(const std::string& text) { return text == "none" ? "" : text; }

std::int64_t time_option(const char* option, const std::string& text) {
  auto now = std::chrono::duration_cast<Milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  auto time = parse_time(text, now);
  if (!time)
    throw UsageError(std::string(option) + " '" + text + "' is not a time", {}, {},
                     "write 2030-01-31, 2030-01-31T12:00, 2030-01-31T11:00Z, epoch milliseconds or how long ago, as 90m");
  return *time;
}

nlohmann::json to_json(const ScheduleInfo& schedule) {
  nlohmann::json out = {{"name", schedule.name},     {"workflow", schedule.workflow},       {"cron", schedule.cron},
                        {"paused", schedule.paused}, {"server", schedule.obstacle.empty()}, {"automatic_backfill", schedule.automatic_backfill}};
  auto put = [&](const char* key, const std::string& value) {
    if (!value.empty()) out[key] = value;
  };
  put("class_name", schedule.class_name);
  put("time_zone", schedule.time_zone);
  put("queue", schedule.queue);
  put("application", schedule.application);
  put("last_fired_at", schedule.last_fired_at);
  put("obstacle", schedule.obstacle);
  if (schedule.next_at > 0) out["next_at"] = schedule.next_at;
  if (schedule.backfill_from > 0) out["backfill_from"] = schedule.backfill_from;
  return out;
}

std::string dash(const std::string& text) { return text.empty() ? "-" : printable(text); }

std::string schedules_text(const std::vector<ScheduleInfo>& schedules) {
  Table table({"NAME", "WORKFLOW", "CRON", "ZONE", "NEXT", "LAST", "QUEUE", "APPLICATION", "NOTE"});
  for (const auto& s : schedules) {
    std::string note = s.paused ? "paused" : printable(s.obstacle);
    if (s.backfill_from > 0) note += (note.empty() ? "" : "; ") + std::string("backfill stopped at ") + local_time(s.backfill_from);
    table.add({printable(s.name), printable(s.workflow), printable(s.cron), dash(s.time_zone), local_time(s.next_at), dash(s.last_fired_at),
               dash(s.queue), dash(s.application), note.empty() ? "-" : note});
  }
  return table.text();
}

// The schedule as it is now.
void report(Client& client, const Common& common, const std::string& name) {
  auto schedules = client.schedules();
  std::erase_if(schedules, [&](const ScheduleInfo& schedule) { return schedule.name != name; });
  if (common.json) print(schedules.empty() ? nlohmann::json() : to_json(schedules.front()));
  else std::cout << schedules_text(schedules);
}

}  // namespace

void run_schedules_list(const Common& common) {
  auto schedules = connect(common).schedules();
  if (common.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& schedule : schedules) rows.push_back(to_json(schedule));
    print(rows);
  } else if (schedules.empty()) {
    std::cerr << "there is no schedule\n";
  } else {
    std::cout << schedules_text(schedules);
  }
}

void run_schedules_apply(const Common& common, const ScheduleArguments& arguments) {
  ScheduleOptions options{.cron = arguments.cron, .queue = queue_option(arguments.queue), .class_name = arguments.class_name};
  if (arguments.typescript) options.typescript = true;
  if (!arguments.time_zone.empty()) options.time_zone = arguments.time_zone;
  if (!arguments.context.empty()) options.context_json = context_text(arguments.context);
  if (!arguments.backfill.empty()) options.automatic_backfill = yes("--backfill", arguments.backfill);
  if (!arguments.server.empty()) options.server = yes("--server", arguments.server);
  Client client = connect(common);
  client.apply_schedule(arguments.name, arguments.workflow, options);
  report(client, common, arguments.name);
}

void run_schedules_alter(const Common& common, const ScheduleArguments& arguments) {
  ScheduleChange change;
  if (!arguments.cron.empty()) change.cron = arguments.cron;
  if (!arguments.time_zone.empty()) change.time_zone = arguments.time_zone;
  if (!arguments.queue.empty()) change.queue = queue_option(arguments.queue);
  if (!arguments.context.empty()) change.context_json = context_text(arguments.context);
  if (!arguments.backfill.empty()) change.automatic_backfill = yes("--backfill", arguments.backfill);
  if (!arguments.server.empty()) change.server = yes("--server", arguments.server);
  Client client = connect(common);
  client.alter_schedule(arguments.name, change);
  report(client, common, arguments.name);
}

void run_schedules_pause(const Common& common, const ScheduleArguments& arguments) {
  Client client = connect(common);
  client.pause_schedule(arguments.name);
  report(client, common, arguments.name);
}

void run_schedules_resume(const Common& common, const ScheduleArguments& arguments) {
  Client client = connect(common);
  client.resume_schedule(arguments.name);
  report(client, common, arguments.name);
}

void run_schedules_drop(const Common& common, const ScheduleArguments& arguments) {
  connect(common).drop_schedule(arguments.name);
  if (common.json) print(nlohmann::json{{"dropped", arguments.name}});
  else std::cout << "dropped " << printable(arguments.name) << "\n";
}

void run_schedules_trigger(const Common& common, const ScheduleArguments& arguments) {
  auto id = connect(common).trigger_schedule(arguments.name);
  if (common.json) print(nlohmann::json{{"id", id}});
  else std::cout << printable(id) << "\n";
}

void run_schedules_backfill(const Common& common, const ScheduleArguments& arguments) {
  auto done =
      connect(common).backfill_schedule(arguments.name, time_option("--from", arguments.from), time_option("--to", arguments.to), arguments.limit);
  if (common.json) {
    nlohmann::json out = {{"runs", done.runs}, {"enqueued", done.enqueued}};
    if (done.rest_from > 0) out["rest_from"] = done.rest_from;
    print(out);
    return;
  }
  std::cout << "enqueued " << done.enqueued << " of " << done.runs << " runs\n";
  if (done.rest_from > 0) std::cout << "there are more: go on with --from " << done.rest_from << "\n";
}

}  // namespace dbos::cli
