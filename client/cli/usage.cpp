#include "usage.hpp"

#include <algorithm>
#include <array>
#include <iostream>
#include <regex>
#include <utility>
#include <vector>

#include "secrets.hpp"
#include "text.hpp"

namespace dbos::cli {

namespace {

// `dbos-sys schedules apply` for arguments that got so far.
std::pair<const CLI::App*, std::string> reached(const CLI::App& app) {
  const CLI::App* verb = &app;
  std::string path = app.get_name();
  while (!verb->get_subcommands().empty()) {
    verb = verb->get_subcommands().front();
    path += " " + verb->get_name();
  }
  return {verb, path};
}

bool has_verbs(const CLI::App& verb) {
  return !verb.get_subcommands([](const CLI::App*) { return true; }).empty();
}

// `--from and --to`: options without which a verb does nothing.
std::string missing_options(const CLI::App& verb) {
  std::string names;
  for (const CLI::Option* option : verb.get_options())
    if (option->get_required() && !option->get_positional() && option->count() == 0) names += (names.empty() ? "" : " and ") + option->get_name();
  return names;
}

}  // namespace

int fail(std::string message, const std::string& hint, const std::string& db, int code) {
  if (!hint.empty()) message += " (hint: " + hint + ")";
  message = without_passwords(std::move(message), db);
  std::replace(message.begin(), message.end(), '\n', ' ');
  while (message.ends_with(' ')) message.pop_back();
  std::cerr << "dbos-sys: " << printable(message) << "\n";
  return code;
}

// CLI11 has exit codes of its own, reports a mistyped verb as a missing one, and names what is left over from the end to the beginning.
int usage_exit(const CLI::App& app, const CLI::ParseError& error, const std::string& db) {
  if (error.get_exit_code() == 0) return app.exit(error);
  auto [verb, path] = reached(app);
  std::vector<std::string> rest = app.remaining(true);
  if (rest.empty()) return fail(error.what(), path + " --help", db, 2);
  const std::string& first = rest.front();
  if (first.starts_with('-')) return fail("unknown option '" + first + "'", path + " --help", db, 2);
  if (first.starts_with("postgres:") || first.starts_with("postgresql:")) return fail("unexpected argument '" + first + "'", "--db URI", db, 2);
  if (has_verbs(*verb)) return fail("unknown verb '" + first + "'", path + " --help lists the verbs", db, 2);
  std::string missing = missing_options(*verb);
  std::string advice = missing.empty() ? "quote what belongs together; " : "give it with " + missing + "; ";
  return fail("unexpected argument '" + first + "'", advice + path + " --help", db, 2);
}

std::string in_our_words(std::string hint) {
  static const std::array<std::pair<std::regex, const char*>, 12> words{{
      {std::regex(R"(^(Cancel it first, or: )force => true\.)"), "$1--force"},
      {std::regex(R"((or mean it: )(?:[a-z_]+\(…, )?force => true\)?\.?)"), "$1--force"},
      {std::regex(R"(or NULL for all of them\.)"), "or leave it out."},
      {std::regex(R"(SELECT \* FROM dbos_sys\.retention\(\); lists them\.)"), "dbos-sys retain list"},
      {std::regex(R"(SELECT \* FROM dbos_sys\.archives\(\); lists them\.)"), "dbos-sys archive list"},
      {std::regex(R"(SELECT \* FROM dbos_sys\.queues\(\) lists them\.)"), "dbos-sys queues list"},
      {std::regex(R"(SELECT name FROM dbos_sys\.schedules\(\) lists them\.)"), "dbos-sys schedules list"},
      {std::regex(R"(SELECT workflow_uuid FROM dbos_sys\.list\(\) shows the ids\.)"), "dbos-sys list shows ids"},
      {std::regex(R"(SELECT workflow_uuid FROM dbos_sys\.list\(archived => true\) shows the ids\.)"), "dbos-sys list --archived shows ids"},
      {std::regex(R"(SELECT dbos_sys\.register_queue\('.*'\))"), "dbos-sys queues register NAME"},
      {std::regex(R"(SELECT \* FROM dbos_sys\.prune\(dry_run => true\) shows)"), "dbos-sys prune --dry-run shows"},
      {std::regex(R"(SELECT \* FROM dbos_sys\.history\(id\) shows)"), "dbos-sys history shows"},
  }};
  for (const auto& [pattern, ours] : words) hint = std::regex_replace(hint, pattern, ours);
  return hint;
}

}  // namespace dbos::cli
