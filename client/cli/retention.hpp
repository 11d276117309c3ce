// The verbs `retain`, `prune` and `delete`.
// May include: commands.hpp.
#pragma once

#include <string>
#include <vector>

#include "commands.hpp"

namespace dbos::cli {

// Texts as typed; empty = not given.
struct RetentionArguments {
  std::string workflow = {};
  std::string queue = {};
  std::string status = {};
  std::string keep = {};
  std::string keep_rows = {};
  std::string cancel_after = {};
  bool archive = false;
  bool force = false;
  // prune
  std::string budget = "1h";
  bool dry_run = false;
  // delete
  std::vector<std::string> ids = {};
  bool children = false;
};

void run_retain_list(const Common& common);
void run_retain_set(const Common& common, const RetentionArguments& arguments);
void run_retain_drop(const Common& common, const RetentionArguments& arguments);
void run_prune(const Common& common, const RetentionArguments& arguments);
void run_delete(const Common& common, const RetentionArguments& arguments);

}  // namespace dbos::cli
