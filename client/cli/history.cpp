#include "history.hpp"

#include <dbos/client.hpp>
#include <dbos/error.hpp>
#include <dbos/json.hpp>
#include <iostream>

#include "text.hpp"
#include "verb.hpp"

namespace dbos::cli {

namespace {

constexpr std::size_t kValueColumns = 80;

nlohmann::json to_json(const HistoryEntry& entry) {
  nlohmann::json out = {{"what", entry.what}, {"archived", entry.archived}};
  if (entry.at != 0) out["at"] = entry.at;
  if (entry.function_id >= 0) out["function_id"] = entry.function_id;
  if (!entry.name.empty()) out["name"] = entry.name;
  if (entry.value) out["value"] = *entry.value;
  if (entry.error) out["error"] = *entry.error;
  return out;
}

std::string value_text(const HistoryEntry& entry) {
  return cut(printable(entry.error ? "error " + *entry.error : entry.value.value_or("")), kValueColumns);
}

}  // namespace

void run_history(const Common& common, const HistoryArguments& arguments) {
  require_ids({arguments.id});
  auto entries = connect(common).history(arguments.id);
  if (entries.empty())
    throw NotFound("no workflow has the id '" + arguments.id + "', in the tables or in the archive", "WF010", arguments.id,
                   "dbos-sys list shows ids, dbos-sys list --archived those in the archive");
  if (common.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const HistoryEntry& entry : entries) rows.push_back(to_json(entry));
    print(rows);
    return;
  }
  Table table({"AT", "WHAT", ">STEP", "NAME", "VALUE"});
  for (const HistoryEntry& entry : entries)
    table.add({local_time(entry.at), printable(entry.what), entry.function_id < 0 ? "-" : std::to_string(entry.function_id),
               entry.name.empty() ? "-" : printable(entry.name), value_text(entry)});
  std::cout << table.text();
  if (entries.front().archived) std::cerr << "(from the archive)\n";
}

void run_restore(const Common& common, const HistoryArguments& arguments) {
  require_ids({arguments.id});
  auto hold = duration_option("--hold", arguments.hold);
  auto rows = connect(common).restore(arguments.id, hold, arguments.children);
  if (common.json) print({{"id", arguments.id}, {"rows", rows}});
  else std::cout << "restored " << printable(arguments.id) << ", " << rows << " rows\n";
}

void run_fork(const Common& common, const HistoryArguments& arguments) {
  require_ids({arguments.id});
  auto handle = connect(common).fork<nlohmann::json>(
      arguments.id, {.from_step = arguments.step, .id = arguments.new_id, .queue = arguments.queue, .version = arguments.version});
  if (common.json) print({{"id", handle.id()}, {"forked_from", arguments.id}, {"step", arguments.step}});
  else std::cout << printable(handle.id()) << "\n";
}

}  // namespace dbos::cli
