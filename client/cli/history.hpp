// Verbs on workflows that have ended, wherever they are: history, restore, fork.
// May include: commands.hpp.
#pragma once

#include <string>

#include "commands.hpp"

namespace dbos::cli {

struct HistoryArguments {
  std::string id = {};
  std::string hold = "1d";  // restore
  bool children = false;
  int step = 0;  // fork
  std::string new_id = {};
  std::string queue = {};
  std::string version = {};
};

void run_history(const Common& common, const HistoryArguments& arguments);
void run_restore(const Common& common, const HistoryArguments& arguments);
void run_fork(const Common& common, const HistoryArguments& arguments);

}  // namespace dbos::cli
