// Blocking calls of the public Client (and of the CLI): one call = one transaction on a pooled connection of its own.
// Thread safety: all members may be called from any thread. Throws dbos::Error leaves mapped from the SQLSTATE.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dbos/options.hpp"
#include "dbos/records.hpp"
#include "store/store.hpp"

namespace dbos::detail {

struct DebounceRequest {
  std::string name;
  std::string key;
  Milliseconds delay{0};
  Milliseconds deadline{0};  // 0 = none
  std::string inputs;
  std::string options_json;  // queue included
  std::string id;
};

class ClientStore {
 public:
  explicit ClientStore(const ClientOptions& options);
  ~ClientStore();
  ClientStore(const ClientStore&) = delete;
  ClientStore& operator=(const ClientStore&) = delete;

  // Inserts all or none; an id that exists with the same name is fine. Returns one reply per item. Re-sent carefully after a lost reply.
  std::vector<RunReply> enqueue(const std::vector<RunItem>& runs);
  // The end of a workflow; nullopt when it has not ended within timeout (nullopt = wait for ever). Throws NotFound for an unknown id
  // when must_exist. Woken by notifications where the server sends them, else polls with back-off (1 ms … 1 s).
  std::optional<WorkflowOutcome> wait_outcome(const std::string& id, std::optional<Milliseconds> timeout, bool must_exist);
  std::optional<WorkflowInfo> status(const std::string& id);
  std::vector<WorkflowInfo> list(const std::string& filter_json, bool archived = false);
  std::vector<StepInfo> steps(const std::string& id);
  std::vector<HistoryEntry> history(const std::string& id);
  std::int64_t restore(const std::string& id, Milliseconds hold, bool children);
  std::string fork(const std::string& id, const ForkOptions& options);
  int cancel(const std::vector<std::string>& ids, bool children);
  int resume(const std::vector<std::string>& ids, const std::string& queue);
  void send(const std::string& destination, const std::string& topic, const std::string& message_json, const std::string& key);
  // Event value (portable JSON text), nullopt when it was not set within timeout.
  std::optional<std::string> get_event(const std::string& id, const std::string& key, Milliseconds timeout);
  // Returns the id of the run.
  std::string debounce(const DebounceRequest& request);
  // version: that of the application which registers, where on_conflict asks for it.
  void register_queue(const std::string& name, const QueueOptions& options, const std::string& version = {});
  void alter_queue(const std::string& name, const QueueOptions& options);
  void pause_queue(const std::string& name);
  void resume_queue(const std::string& name);
  void drop_queue(const std::string& name, bool force);
  std::vector<QueueInfo> queues();
  std::vector<UnregisteredQueue> unregistered_queues();
  void register_limit(const std::string& name, const LimitOptions& options);
  void alter_limit(const std::string& name, const LimitChange& change);
  std::int64_t drop_limit(const std::string& name, bool force);
  std::int64_t hold(const std::string& name, Milliseconds duration);
  std::vector<LimitInfo> limits();
  void apply_schedule(const std::string& name, const std::string& workflow, const ScheduleOptions& options);
  void alter_schedule(const std::string& name, const ScheduleChange& change);
  void pause_schedule(const std::string& name);
  void resume_schedule(const std::string& name);
  void drop_schedule(const std::string& name);
  std::string trigger_schedule(const std::string& name);
  BackfillReport backfill_schedule(const std::string& name, std::int64_t from, std::int64_t to, int limit);
  std::vector<ScheduleInfo> schedules();
  // Extension and schema versions: throws when missing, older or newer than this client can use.
  void check_version();
  std::string install();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbos::detail
