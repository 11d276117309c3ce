// The verb `queues`: list, register, alter, pause, resume, drop.
// May include: commands.hpp.
#pragma once

#include <string>
#include <vector>

#include "commands.hpp"

namespace dbos::cli {

// Numbers as typed; empty = not given, `none` takes a limit away.
struct QueueLimitArguments {
  std::string worker_concurrency = {};
  std::string concurrency = {};
  std::string rate = {};  // 100/1s
};

struct QueueArguments {
  std::string name = {};
  QueueLimitArguments whole = {};
  QueueLimitArguments partition = {};
  std::string fair = {};                  // yes, no
  std::string partitioned = {};           // yes, no
  std::vector<std::string> weights = {};  // KEY=NUMBER
  std::string polling_interval = {};
  bool keep = false;   // register: leave a queue that exists as it is
  bool force = false;  // drop
};

void run_queues_list(const Common& common);
void run_queues_register(const Common& common, const QueueArguments& arguments);
void run_queues_alter(const Common& common, const QueueArguments& arguments);
void run_queues_pause(const Common& common, const QueueArguments& arguments);
void run_queues_resume(const Common& common, const QueueArguments& arguments);
void run_queues_drop(const Common& common, const QueueArguments& arguments);

}  // namespace dbos::cli
