// What the database does with a trip of MemoryStore.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "memory_store.hpp"

namespace dbos::testing {

namespace {

const char* text_of(FinalStatus status) {
  return status == FinalStatus::success ? "SUCCESS" : status == FinalStatus::error ? "ERROR" : "MAX_RECOVERY_ATTEMPTS_EXCEEDED";
}

bool terminal(const std::string& status) { return status != "PENDING" && status != "ENQUEUED" && status != "DELAYED"; }

std::int64_t ms(MonotonicTime time) { return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count(); }

}  // namespace

TripReply MemoryStore::commit(const Trip& trip, Fault fault) {
  TripReply reply;
  reply.server_now_ms = ms(clock_->now());
  if (fault == Fault::never_sent) return reply.error = TripError::not_sent, reply;
  if (fault == Fault::transient) return reply.error = TripError::transient, reply.sqlstate = "40P01", reply;
  if (fail_companions_ && (trip.heartbeat || trip.held || trip.claim || !trip.outcomes.empty())) {
    reply.error = TripError::permanent;
    reply.sqlstate = "22012";
    reply.message = "division by zero";
    return reply;
  }
  std::lock_guard lock(database_->mutex);
  if (trip.flush) {
    for (const auto& run : trip.flush->runs) {
      if (run.is_new && end_incarnation.contains(identity_.incarnation))
        return reply.error = TripError::permanent, reply.sqlstate = "WF021", reply.ended = true, reply;
      if (!database_->poison.contains(run.id)) continue;
      reply.error = TripError::permanent;
      reply.sqlstate = "22P05";
      reply.message = "unsupported Unicode escape sequence";
      return reply;
    }
    flush(*trip.flush, reply);
  }
  for (const auto& key : trip.load) {
    auto& row = database_->rows[key.id];
    if (row.status == "PENDING" && row.owner == key.token) reply.loaded.push_back(claimed(key.id, row));
  }
  for (const auto& id : trip.outcomes) {
    auto row = database_->rows.find(id);
    if (row == database_->rows.end()) reply.outcomes.push_back({id, ""});
    else if (terminal(row->second.status)) reply.outcomes.push_back({id, row->second.status, row->second.output, row->second.error, "portable_json"});
  }
  if (trip.heartbeat) reply.ended = end_incarnation.contains(identity_.incarnation);
  if (trip.held) {
    for (auto& [id, row] : database_->rows)
      if (row.status == "PENDING" && row.executor == identity_.executor) reply.held.push_back({id, row.owner});
  }
  for (const auto& key : trip.give_back) {
    auto& row = database_->rows[key.id];
    if (row.status != "PENDING" || row.owner != key.token) continue;
    row.status = "ENQUEUED";
    row.owner.clear();
    --row.attempts;
    if (row.queue.empty()) row.queue = "_dbos_internal_queue";
  }
  if (trip.retire) {
    for (auto& [id, row] : database_->rows) {
      if (row.status != "PENDING" || row.executor != identity_.executor) continue;
      row.status = "ENQUEUED";
      row.owner.clear();
      --row.attempts;
      if (row.queue.empty()) row.queue = "_dbos_internal_queue";
    }
  }
  if (trip.claim) claim(*trip.claim, reply);
  if (trip.limits) serve_limits(*trip.limits, reply);
  for (const auto& step : trip.outbound) database_->outbound.emplace_back(step.name, step.limit);
  if (fault == Fault::reply_lost) {
    reply = TripReply{};
    reply.error = TripError::in_doubt;
  }
  return reply;
}

void MemoryStore::flush(const FlushRequest& request, TripReply& reply) {
  std::set<int> held;
  for (int index = 0; index < static_cast<int>(request.runs.size()); ++index)
    reply.runs.push_back(flush_run(request.runs[static_cast<std::size_t>(index)], request.careful, held, index));
  for (const auto& step : request.steps) {
    if (!held.contains(step.run)) continue;
    const auto& id = request.runs[static_cast<std::size_t>(step.run)].id;
    auto [entry, fresh] = database_->steps.try_emplace({id, step.function_id});
    if (!fresh && !request.careful) reply.error = TripError::transient;
    entry->second = {step.function_id, step.name, step.output, step.error, "", "portable_json"};
  }
  for (const auto& op : request.ops) reply.ops.push_back(held.contains(op.run) ? operate(request, op) : OpReply{});
  for (int index : held) {
    const auto& item = request.runs[static_cast<std::size_t>(index)];
    if (item.status == FinalStatus::none) continue;
    auto& row = database_->rows[item.id];
    if (row.status == text_of(item.status)) continue;
    row.status = text_of(item.status);
    row.output = item.output;
    row.error = item.error;
    row.owner.clear();
    ++row.updates;
  }
}

RunReply MemoryStore::flush_run(const RunItem& item, bool careful, std::set<int>& held, int index) {
  if (database_->locked.contains(item.id)) return {.state = RunState::busy};
  if (database_->refused_once.erase(item.id) > 0) return {.state = RunState::refused, .value = "WF014", .detail = "another step is recorded there"};
  if (auto stutter = database_->stutter.find(item.id); stutter != database_->stutter.end() && std::exchange(stutter->second, !stutter->second))
    return {.state = RunState::busy};
  auto found = database_->rows.find(item.id);
  if (!item.is_new) {
    if (found == database_->rows.end() || found->second.owner != item.token || found->second.status != "PENDING") {
      RunReply lost{.state = RunState::lost};
      if (found != database_->rows.end() && terminal(found->second.status))
        lost.outcome = WorkflowOutcome{item.id, found->second.status, found->second.output, found->second.error, "portable_json"};
      return lost;
    }
    held.insert(index);
    return {};
  }
  auto options = item.options.empty() ? nlohmann::json::object() : nlohmann::json::parse(item.options);
  // A child stands only where its parent does.
  if (options.contains("parent_run") && !held.contains(options["parent_run"].get<int>() - 1)) return {.state = RunState::lost};
  if (found != database_->rows.end()) {
    auto& row = found->second;
    if (careful && row.creator == item.token) {
      if (row.status == "PENDING") held.insert(index);
      return {};
    }
    if (row.name != item.name) return {.state = RunState::conflict, .value = row.name};
    return {.state = RunState::exists, .value = row.status};
  }
  MemoryRow row{.status = "PENDING",
                .name = item.name,
                .queue = options.value("queue", ""),
                .owner = item.token,
                .creator = item.token,
                .inputs = item.inputs,
                .executor = identity_.executor,
                .attempts = 1};
  row.inserts = 1;
  if (!row.queue.empty()) {
    row.status = "ENQUEUED";
    row.owner.clear();
    row.executor.clear();
    row.attempts = 0;
  }
  if (item.status != FinalStatus::none) {
    row.status = text_of(item.status);
    row.output = item.output;
    row.error = item.error;
    row.owner.clear();
  }
  database_->rows[item.id] = row;
  if (options.contains("parent_run")) {
    auto parent_id = options.value("parent_id", "");
    int function_id = options["parent_fid"].get<int>();
    database_->steps[{parent_id, function_id}] = {function_id, item.name, std::nullopt, std::nullopt, item.id, "portable_json"};
  }
  held.insert(index);
  return {};
}

OpReply MemoryStore::operate(const FlushRequest& request, const OpItem& op) {
  const auto& id = request.runs[static_cast<std::size_t>(op.run)].id;
  auto args = op.args.empty() ? nlohmann::json::object() : nlohmann::json::parse(op.args);
  auto record = [&](const char* name, std::optional<std::string> output, std::optional<std::string> error = std::nullopt, std::string child = "") {
    database_->steps[{id, op.function_id}] = {op.function_id, name, std::move(output), std::move(error), std::move(child), "portable_json"};
  };
  auto recorded = database_->steps.find({id, op.function_id});
  if (recorded != database_->steps.end() && !args.contains("unrecorded")) {
    const auto& step = recorded->second;
    return {step.error ? OpState::error : OpState::ok, step.error ? step.error : step.output, step.serialization};
  }
  if (op.kind == "send") {
    auto key = args.value("key", "");
    if (key.empty() || database_->keys.insert(key).second)
      database_->messages.emplace(args["destination"].get<std::string>(), args["message"].get<std::string>());
    if (!args.contains("unrecorded")) record("DBOS.send", std::nullopt);
    return {OpState::ok, std::nullopt, ""};
  }
  if (op.kind == "sleep" || op.kind == "marker") {
    auto wake = std::to_string(ms(clock_->now()) + args["ms"].get<std::int64_t>());
    record("DBOS.sleep", wake);
    return {OpState::ok, wake, "portable_json"};
  }
  if (op.kind == "recv") {
    auto message = database_->messages.find(id);
    if (message != database_->messages.end()) {
      auto text = message->second;
      database_->messages.erase(message);
      record("DBOS.recv", text);
      return {OpState::ok, text, "portable_json"};
    }
    if (!args.value("final", false)) return {OpState::wait, std::nullopt, ""};
    record("DBOS.recv", std::nullopt);
    return {OpState::none, std::nullopt, ""};
  }
  if (op.kind == "get_event") {
    auto event = database_->events.find({args["id"].get<std::string>(), args["key"].get<std::string>()});
    bool found = event != database_->events.end();
    if (!found && !args.value("final", false)) return {OpState::wait, std::nullopt, ""};
    auto value = found ? std::optional(event->second) : std::nullopt;
    record("DBOS.getEvent", value);
    return {found ? OpState::ok : OpState::none, value, "portable_json"};
  }
  if (op.kind == "get_result") {
    auto& row = database_->rows[args["id"].get<std::string>()];
    if (!terminal(row.status) || row.status.empty()) return {OpState::wait, std::nullopt, ""};
    if (row.status != "SUCCESS" && row.status != "ERROR") {
      bool cancelled = row.status == "CANCELLED";
      nlohmann::json error{{"name", cancelled ? "AwaitedWorkflowCancelled" : "AwaitedWorkflowMaxRecoveryAttemptsExceeded"},
                           {"message", row.status},
                           {"data", {{"awaited_workflow", args["id"]}, {"status", row.status}}}};
      record("DBOS.getResult", std::nullopt, error.dump(), args["id"].get<std::string>());
      return {OpState::error, error.dump(), "portable_json"};
    }
    record("DBOS.getResult", row.output, row.error, args["id"].get<std::string>());
    return row.error ? OpReply{OpState::error, row.error, ""} : OpReply{OpState::ok, row.output, "portable_json"};
  }
  if (op.kind == "set_event") database_->events[{id, args["key"].get<std::string>()}] = args["value"].get<std::string>();
  const char* name = op.kind == "set_event" ? "DBOS.setEvent" : op.kind == "write_stream" ? "DBOS.writeStream" : "DBOS.closeStream";
  if (!args.contains("unrecorded")) record(name, std::nullopt);
  return {OpState::ok, std::nullopt, ""};
}

void MemoryStore::serve_limits(const LimitRequest& request, TripReply& reply) {
  std::set<std::string> named(request.waits.begin(), request.waits.end());
  for (auto& [name, limit] : database_->limits) {
    for (const auto& ticket : request.releases) {
      limit.permits.erase(ticket);
      std::erase(limit.waiting, ticket);
    }
  }
  for (const auto& [name, span] : request.holds) {
    auto& until = database_->limits[name].held_until;
    until = std::max(until, ms(clock_->now()) + span);
  }
  for (const auto& ask : request.asks) {
    named.insert(ask.limit);
    auto limit = database_->limits.find(ask.limit);
    if (limit == database_->limits.end()) continue;
    auto& waiting = limit->second.waiting;
    if (limit->second.permits.contains(ask.ticket)) reply.limits.push_back({LimitWord::permit, ask.ticket, 0});
    else if (std::find(waiting.begin(), waiting.end(), ask.ticket) == waiting.end()) waiting.push_back(ask.ticket);
  }
  for (const auto& name : named) {
    auto limit = database_->limits.find(name);
    if (limit == database_->limits.end()) reply.limits.push_back({LimitWord::unknown, name, 0});
    else serve_limit(name, limit->second, reply);
  }
}

void MemoryStore::serve_limit(const std::string& name, MemoryLimit& limit, TripReply& reply) {
  constexpr std::int64_t kAhead = 100;
  auto time = ms(clock_->now());
  while (!limit.waiting.empty() && (limit.concurrency == 0 || static_cast<int>(limit.permits.size()) < limit.concurrency)) {
    auto slot = std::max({time, limit.next_ms, limit.held_until});
    if (slot > time + kAhead) break;
    if (limit.interval_ms > 0) limit.next_ms = std::max(limit.next_ms, slot) + limit.interval_ms;
    auto ticket = std::move(limit.waiting.front());
    limit.waiting.pop_front();
    limit.starts.push_back(slot);
    if (limit.concurrency > 0) limit.permits.insert(ticket);
    limit.most_permits = std::max(limit.most_permits, static_cast<int>(limit.permits.size()));
    reply.limits.push_back({limit.concurrency > 0 ? LimitWord::permit : LimitWord::granted, ticket, slot - time});
  }
  reply.limits.push_back({LimitWord::ask, name, 50});
}

ClaimedRun MemoryStore::claimed(const std::string& id, const MemoryRow& row) {
  ClaimedRun run{.id = id,
                 .token = row.owner,
                 .name = row.name,
                 .class_name = "",
                 .queue = row.queue,
                 .inputs = row.inputs,
                 .serialization = "portable_json",
                 .attempts = row.attempts,
                 .parent_id = "",
                 .partition = "",
                 .steps = {}};
  for (auto& [key, step] : database_->steps)
    if (key.first == id) run.steps.push_back(step);
  return run;
}

void MemoryStore::claim(const ClaimRequest& request, TripReply& reply) {
  for (const auto& queue : request.queues) {
    int left = queue.limit;
    auto held = std::count_if(database_->rows.begin(), database_->rows.end(), [&](const auto& entry) {
      return entry.second.status == "PENDING" && entry.second.queue == queue.queue && entry.second.executor == identity_.executor;
    });
    miscounted_ = miscounted_ || (queue.running && *queue.running < held);
    if (auto room = database_->rooms.find(queue.queue); room != database_->rooms.end()) {
      auto running = std::count_if(database_->rows.begin(), database_->rows.end(),
                                   [&](const auto& entry) { return entry.second.status == "PENDING" && entry.second.queue == queue.queue; });
      left = std::min(left, room->second - queue.running.value_or(static_cast<int>(running)));
    }
    if (auto report = database_->reports.find(queue.queue); report != database_->reports.end()) reply.queues.push_back(report->second);
    for (auto& [id, row] : database_->rows) {
      if (left <= 0) break;
      bool known = std::find(request.filter->names.begin(), request.filter->names.end(), row.name) != request.filter->names.end();
      if (row.status != "ENQUEUED" || row.queue != queue.queue || !known) continue;
      --left;
      bool first_run = row.attempts == 0 && row.executor.empty();
      row.status = "PENDING";
      row.owner = request.token;
      row.executor = identity_.executor;
      ++row.attempts;
      reply.claimed.push_back(claimed(id, row));
      reply.claimed.back().first_run = first_run;
    }
  }
}

}  // namespace dbos::testing
