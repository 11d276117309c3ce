// The verbs of `dbos-sys schedules`.
// May include: public headers, the files of this folder.
#pragma once

#include <string>

#include "commands.hpp"

namespace dbos::cli {

struct ScheduleArguments {
  std::string name = {};
  std::string workflow = {};
  // Empty = not given; for alter, `none` clears the queue.
  std::string cron = {};
  std::string time_zone = {};
  std::string queue = {};
  std::string context = {};
  std::string class_name = {};
  std::string backfill = {};  // yes or no
  std::string server = {};    // yes or no
  bool typescript = false;
  std::string from = {};
  std::string to = {};
  int limit = 10000;
};

void run_schedules_list(const Common& common);
void run_schedules_apply(const Common& common, const ScheduleArguments& arguments);
void run_schedules_alter(const Common& common, const ScheduleArguments& arguments);
void run_schedules_pause(const Common& common, const ScheduleArguments& arguments);
void run_schedules_resume(const Common& common, const ScheduleArguments& arguments);
void run_schedules_drop(const Common& common, const ScheduleArguments& arguments);
void run_schedules_trigger(const Common& common, const ScheduleArguments& arguments);
void run_schedules_backfill(const Common& common, const ScheduleArguments& arguments);

}  // namespace dbos::cli
