// dbos-sys doctor: the checklist for production, as text or JSON, with an exit code and a wait.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <dbos/admin.hpp>
#include <dbos/error.hpp>
#include <dbos/json.hpp>
#include <iostream>
#include <thread>

#include "commands.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace dbos::cli {

namespace {

constexpr Milliseconds kPause{1000};
constexpr int kAllWell = 0, kToMend = 3, kNotKnown = 4;

bool is_to_mend(const DoctorLine& line) { return line.state == "warn" || line.state == "bad"; }

class Verdict {
 public:
  Verdict(std::vector<DoctorLine> lines, const std::vector<std::string>& accepted) : lines_(std::move(lines)), accepted_(accepted) {
    for (const std::string& name : accepted_)
      if (std::none_of(lines_.begin(), lines_.end(), [&](const DoctorLine& line) { return line.name == name; }))
        throw UsageError("--accept '" + name + "' is no line", {}, {}, "name lines as dbos-sys doctor shows them, as --accept traces");
  }

  const std::vector<DoctorLine>& lines() const { return lines_; }
  bool is_accepted(const DoctorLine& line) const {
    return line.state != "ok" && std::find(accepted_.begin(), accepted_.end(), line.name) != accepted_.end();
  }
  int exit_code() const {
    bool unknown = false;
    for (const DoctorLine& line : lines_) {
      if (is_accepted(line)) continue;
      if (is_to_mend(line)) return kToMend;
      unknown = unknown || line.state != "ok";
    }
    return unknown ? kNotKnown : kAllWell;
  }
  long count(std::string_view state) const {
    return std::count_if(lines_.begin(), lines_.end(), [&](const DoctorLine& line) { return line.state == state; });
  }

 private:
  std::vector<DoctorLine> lines_;
  std::vector<std::string> accepted_;
};

std::string coloured_state(const std::string& state, bool colour) {
  std::string padded = state + std::string(state.size() < 9 ? 9 - state.size() : 0, ' ');
  if (!colour) return padded;
  const char* code = state == "ok" ? "32" : state == "warn" ? "33" : state == "bad" ? "31" : "35";
  return std::string("\033[") + code + "m" + padded + "\033[0m";
}

// One line for what is well; for the others what was wanted, why, and what mends it.
void print_text(const Verdict& verdict, bool colour) {
  std::size_t names = 0;
  for (const DoctorLine& line : verdict.lines()) names = std::max(names, width(printable(line.name)));
  std::string indent(10, ' ');
  for (const DoctorLine& line : verdict.lines()) {
    std::string name = printable(line.name);
    std::cout << coloured_state(line.state, colour) << " " << name << std::string(names + 2 - width(name), ' ') << printable(line.found)
              << (verdict.is_accepted(line) ? " (accepted)" : "") << "\n";
    if (line.state == "ok" || verdict.is_accepted(line)) continue;
    std::cout << indent << "wanted  " << printable(line.wanted) << "\n" << indent << "why     " << printable(line.why) << "\n";
    std::cout << indent << "mend    " << printable(line.mend) << "\n";
  }
  std::cout << verdict.count("ok") << " ok, " << verdict.count("warn") + verdict.count("bad") << " to mend, " << verdict.count("not known")
            << " not known\n";
}

void print_json(const Verdict& verdict) {
  nlohmann::json lines = nlohmann::json::array();
  for (const DoctorLine& line : verdict.lines()) {
    nlohmann::json row = {{"name", line.name}, {"state", line.state}, {"found", line.found}, {"wanted", line.wanted}, {"why", line.why}};
    if (!line.mend.empty()) row["mend"] = line.mend;
    if (verdict.is_accepted(line)) row["accepted"] = true;
    lines.push_back(std::move(row));
  }
  nlohmann::json out = {{"lines", std::move(lines)},
                        {"ok", verdict.count("ok")},
                        {"warn", verdict.count("warn")},
                        {"bad", verdict.count("bad")},
                        {"not_known", verdict.count("not known")},
                        {"exit_code", verdict.exit_code()}};
  print(out);
}

// Looks again until nothing is to mend or the time is over; a server that does not answer is one that may yet come up.
Verdict examine(const DoctorOptions& options, const std::vector<std::string>& accepted, Milliseconds wait) {
  auto until = std::chrono::steady_clock::now() + wait;
  for (;;) {
    bool last = std::chrono::steady_clock::now() + kPause > until;
    try {
      Verdict verdict(examine_system_database(options), accepted);
      if (last || verdict.exit_code() != kToMend) return verdict;
    } catch (const ConnectionError&) {
      if (last) throw;
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

int run_doctor(const Common& common, const DoctorArguments& arguments) {
  auto wait = arguments.wait.empty() ? Milliseconds{0} : duration_option("--wait", arguments.wait);
  Verdict verdict = examine({.database = common.db, .names = arguments.names, .log = tell}, arguments.accepted, wait);
  if (common.json) print_json(verdict);
  else print_text(verdict, isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr);
  return verdict.exit_code();
}

}  // namespace dbos::cli
