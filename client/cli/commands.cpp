#include "commands.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <dbos/admin.hpp>
#include <dbos/client.hpp>
#include <dbos/error.hpp>
#include <iostream>
#include <iterator>
#include <utility>

#include "plain_script.hpp"
#include "report.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace dbos::cli {

namespace {

bool use_colour() { return isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr; }

std::size_t screen_columns() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 160;
}

Milliseconds given_duration(const char* option, const std::string& text) { return text.empty() ? Milliseconds{0} : duration_option(option, text); }

std::int64_t time_option(const char* option, const std::string& text) {
  if (text.empty()) return 0;
  auto now = std::chrono::duration_cast<Milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  auto time = parse_time(text, now);
  if (!time) {
    throw UsageError(std::string(option) + " '" + text + "' is not a time", {}, {},
                     "write 2030-01-31, 2030-01-31T12:00, epoch milliseconds or how long ago, as 90m");
  }
  return *time;
}

Status status_option(const std::string& text) {
  std::string known = text;
  std::transform(known.begin(), known.end(), known.begin(), [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); });
  Status status = status_from_string(known);
  if (status == Status::unknown) {
    throw UsageError("--status '" + text + "' is unknown", {}, {},
                     "one of ENQUEUED, DELAYED, PENDING, SUCCESS, ERROR, CANCELLED, MAX_RECOVERY_ATTEMPTS_EXCEEDED");
  }
  return status;
}

// The inputs envelope around the user's own text: numbers keep the digits that were typed.
std::string envelope(std::string args) {
  if (args == "-") args.assign(std::istreambuf_iterator<char>(std::cin), {});
  if (args.empty()) args = "[]";
  nlohmann::json value;
  try {
    value = detail::parse_json(args, "--args");
  } catch (const CodecError& e) {
    throw UsageError(e.what(), {}, {}, "write a JSON array, as '[\"a\", 1]', or an object of named arguments");
  }
  if (value.is_array()) return "{\"positionalArgs\":" + args + "}";
  if (value.is_object()) return "{\"namedArgs\":" + args + "}";
  throw UsageError(std::string("--args is a JSON ") + value.type_name() + ", not an array or an object", {}, {},
                   "one argument is an array of one: '[" + args + "]'");
}

// What became of the named workflows, whether the verb changed them or not.
void report_change(Client& client, const Common& common, const char* verb, const std::vector<std::string>& ids, int changed) {
  std::vector<std::pair<std::string, std::optional<WorkflowInfo>>> rows;
  for (const std::string& id : ids) rows.emplace_back(id, client.status(id));
  if (common.json) {
    nlohmann::json workflows = nlohmann::json::array();
    for (const auto& [id, info] : rows)
      workflows.push_back({{"id", id}, {"status", info ? nlohmann::json(to_string(info->status)) : nlohmann::json()}});
    print({{"changed", changed}, {"workflows", workflows}});
  } else {
    Table table({"ID", "STATUS"});
    for (const auto& [id, info] : rows) table.add({printable(id), info ? to_string(info->status) : "no such workflow"});
    std::cout << table.text() << verb << " " << changed << (changed == 1 ? " workflow\n" : " workflows\n");
  }
  for (const auto& [id, info] : rows)
    if (!info) throw NotFound("no workflow has the id '" + id + "'", "WF010", id, "dbos-sys list shows ids");
}

}  // namespace

void run_init(const Common& common, const InitArguments& arguments) {
  InitReport report = init_system_database({.database = common.db,
                                            .name = arguments.name,
                                            .owner = arguments.owner,
                                            .maintenance_database = arguments.maintenance_database,
                                            .plain_script = arguments.plain ? kPlainScript : nullptr,
                                            .server_settings = arguments.settings,
                                            .log = tell});
  bool restart = std::any_of(report.settings.begin(), report.settings.end(), [](const AppliedSetting& setting) { return setting.restart; });
  if (common.json) {
    nlohmann::json out = {
        {"database", report.database}, {"created_database", report.created_database},   {"created_extension", report.created_extension},
        {"tables", report.tables},     {"extension_version", report.extension_version}, {"collation", report.collation}};
    if (arguments.settings) {
      out["settings"] = nlohmann::json::array();
      for (const AppliedSetting& setting : report.settings)
        out["settings"].push_back({{"name", setting.name}, {"statement", setting.statement}, {"restart", setting.restart}});
      out["tuned_tables"] = report.tuned_tables;
      out["restart"] = restart;
    }
    print(out);
    return;
  }
  std::cout << "database   " << printable(report.database) << (report.created_database ? " created" : " was there") << ", collation "
            << printable(report.collation) << (report.collation == "C" ? "" : " (C would be faster)") << "\n"
            << (report.plain ? "functions  dbos_sys " : "extension  dbos_sys ") << report.extension_version
            << (report.created_extension ? " created"
                : arguments.plain        ? " written again"
                : report.plain           ? " of the plain script were there; --plain writes them again"
                                         : " was there")
            << "\n"
            << "tables     " << report.tables << "\n";
  if (!arguments.settings) return;
  for (const AppliedSetting& setting : report.settings)
    std::cout << "setting    " << printable(setting.statement) << (setting.restart ? "  (from the next start on)" : "") << "\n";
  std::cout << "settings   " << report.settings.size() << " changed, " << report.tuned_tables << " tables tuned"
            << (restart ? "; restart the server" : "") << "\n";
}

void run_migrate(const Common& common, const MigrateArguments& arguments) {
  auto told = [&](const MigrationStep& step) {
    if (common.json) return;
    if (!arguments.dry_run) std::cout << step.version << (step.online ? " online\n" : "\n") << std::flush;
    else
      for (const std::string& statement : step.statements)
        std::cout << "-- " << step.version << (step.online ? " online\n" : "\n") << statement << ";\n";
  };
  MigrateReport report = migrate_system_database({.database = common.db, .force = arguments.force, .dry_run = arguments.dry_run, .log = tell}, told);
  if (common.json) {
    nlohmann::json steps = nlohmann::json::array();
    for (const MigrationStep& step : report.steps)
      steps.push_back({{"version", step.version}, {"online", step.online}, {"statements", step.statements}});
    print({{"from", report.from}, {"to", report.to}, {"steps", steps}});
  } else if (!arguments.dry_run || report.steps.empty()) {
    std::cout << (arguments.dry_run ? "-- " : "") << "tables at version " << report.to << (report.steps.empty() ? ", as they were\n" : "\n");
  }
}

void run_list(const Common& common, const ListArguments& arguments) {
  ListFilter filter{.name = arguments.name,
                    .queue = arguments.queue,
                    .id_prefix = arguments.id_prefix,
                    .executor_id = arguments.executor,
                    .version = arguments.version,
                    .parent_id = arguments.parent,
                    .created_from = time_option("--since", arguments.since),
                    .created_to = time_option("--until", arguments.until),
                    .limit = arguments.limit,
                    .offset = arguments.offset,
                    .newest_first = !arguments.oldest_first,
                    .load_payloads = arguments.payloads,
                    .archived = arguments.archived};
  for (const std::string& status : arguments.status) filter.status.push_back(status_option(status));
  std::vector<WorkflowInfo> workflows = connect(common).list(filter);
  if (common.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const WorkflowInfo& workflow : workflows) rows.push_back(to_json(workflow));
    print(rows);
  } else if (workflows.empty()) {
    std::cerr << "no workflow matches\n";
  } else {
    std::cout << list_text(workflows);
    if (std::cmp_equal(workflows.size(), arguments.limit)) std::cerr << "(the first " << arguments.limit << "; more with --limit or --offset)\n";
  }
}

void run_show(const Common& common, const std::string& id) {
  require_ids({id});
  Client client = connect(common);
  std::optional<WorkflowInfo> workflow = client.status(id);
  if (!workflow)
    throw NotFound("no workflow has the id '" + id + "'", "WF010", id, "dbos-sys list shows ids; dbos-sys history ID looks into the archive too");
  std::vector<StepInfo> steps = client.steps(id);
  if (!common.json) {
    std::cout << show_text(*workflow, steps, use_colour(), screen_columns());
    return;
  }
  nlohmann::json out = to_json(*workflow);
  out["steps"] = nlohmann::json::array();
  for (const StepInfo& step : steps) out["steps"].push_back(to_json(step));
  print(out);
}

void run_start(const Common& common, const StartArguments& arguments) {
  StartOptions options{.id = arguments.id,
                       .timeout = given_duration("--timeout", arguments.timeout),
                       .attributes_json = arguments.attributes,
                       .partition = arguments.partition,
                       .priority = arguments.priority,
                       .delay = given_duration("--delay", arguments.delay),
                       .deduplication_id = arguments.deduplication_id,
                       .version = arguments.version,
                       .class_name = arguments.class_name};
  Client client = connect(common);
  auto handle = client.enqueue_json(arguments.name, arguments.queue, std::move(options), envelope(arguments.args));
  nlohmann::json out = {{"id", handle.id()}, {"queue", arguments.queue}};
  if (arguments.wait) out["result"] = handle.result();
  if (common.json) {
    print(out);
  } else {
    std::cout << printable(arguments.wait ? out["result"].dump() : handle.id()) << "\n";
  }
}

void run_cancel(const Common& common, const ChangeArguments& arguments) {
  require_ids(arguments.ids);
  Client client = connect(common);
  int changed = client.cancel(arguments.ids, {.children = arguments.children});
  report_change(client, common, "cancelled", arguments.ids, changed);
}

void run_resume(const Common& common, const ChangeArguments& arguments) {
  require_ids(arguments.ids);
  Client client = connect(common);
  int changed = client.resume(arguments.ids, arguments.queue);
  report_change(client, common, "resumed", arguments.ids, changed);
}

}  // namespace dbos::cli
