#include "store/pg_rows.hpp"

#include <charconv>
#include <stdexcept>

namespace dbos::detail {

namespace {

enum FlushColumn { kPart, kIndex, kState, kValue, kStatus, kOutput, kError, kSerialization, kHolder, kInfo };

RunState run_state(std::string_view text) {
  if (text == "lost") return RunState::lost;
  if (text == "busy") return RunState::busy;
  if (text == "exists") return RunState::exists;
  if (text == "conflict") return RunState::conflict;
  if (text == "deduplicated") return RunState::deduplicated;
  if (text == "refused") return RunState::refused;
  throw std::runtime_error("dbos_sys.flush() replied the unknown state '" + std::string(text) + "'");
}

OpState op_state(std::string_view text) {
  if (text == "ok") return OpState::ok;
  if (text == "none") return OpState::none;
  if (text == "error") return OpState::error;
  if (text == "wait") return OpState::wait;
  throw std::runtime_error("dbos_sys.flush() replied the unknown operation state '" + std::string(text) + "'");
}

bool is_terminal_text(std::string_view status) {
  return status == "SUCCESS" || status == "ERROR" || status == "CANCELLED" || status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED";
}

template <class Entry>
Entry& entry_at(std::vector<Entry>& entries, int index) {
  if (index < 1 || static_cast<std::size_t>(index) > entries.size()) {
    throw std::runtime_error("dbos_sys.flush() replied about entry " + std::to_string(index) + " of " + std::to_string(entries.size()));
  }
  return entries[static_cast<std::size_t>(index) - 1];
}

void read_run(const pg::Result& rows, int row, const std::string& id, RunReply& reply) {
  reply.state = run_state(rows.bytes(row, kState));
  reply.value = rows.text(row, kValue);
  reply.detail = rows.text(row, kInfo);
  reply.holder = rows.text(row, kHolder);
  if (reply.state == RunState::lost && is_terminal_text(rows.bytes(row, kStatus))) {
    reply.outcome =
        WorkflowOutcome{id, rows.text(row, kStatus), rows.text_or_null(row, kOutput), rows.text_or_null(row, kError), rows.text(row, kSerialization)};
  }
}

std::vector<RecordedStep> read_steps(const pg::Result& rows, int row, int column) {
  auto ids = rows.array(row, column);
  auto names = rows.array(row, column + 1);
  auto outputs = rows.array(row, column + 2);
  auto errors = rows.array(row, column + 3);
  auto children = rows.array(row, column + 4);
  auto serializations = rows.array(row, column + 5);
  std::vector<RecordedStep> steps(static_cast<std::size_t>(ids.count()));
  auto copy = [](const std::optional<std::string_view>& text) { return text ? std::optional<std::string>(std::in_place, *text) : std::nullopt; };
  for (auto& step : steps) {
    auto id = ids.next();
    if (!id || id->size() != 4) throw std::runtime_error("a recorded step has no function id");
    step.function_id = pg::get_int4(id->data());
    step.name = names.next().value_or("");
    step.output = copy(outputs.next());
    step.error = copy(errors.next());
    step.child_id = children.next().value_or("");
    step.serialization = serializations.next().value_or("");
  }
  return steps;
}

ClaimedRun read_run_row(const pg::Result& rows, int row) {
  ClaimedRun run;
  int column = 0;
  run.id = rows.text(row, column++);
  run.name = rows.text(row, column++);
  run.class_name = rows.text(row, column++);
  run.queue = rows.text(row, column++);
  run.inputs = rows.text_or_null(row, column++);
  run.serialization = rows.text(row, column++);
  run.attempts = rows.int8(row, column++);
  run.timeout_ms = rows.int8(row, column++);
  run.deadline_ms = rows.int8(row, column++);
  run.parent_id = rows.text(row, column++);
  run.partition = rows.text(row, column++);
  run.steps = read_steps(rows, row, column);
  return run;
}

constexpr int kClaimNow = 17;
enum ClaimOnlyColumn { kFirstRun = kClaimNow + 1, kWaits, kRetry, kWalk, kPriority, kCreated, kWorkers, kBeatAfterClaim };

QueueReport read_report(const pg::Result& rows, int row) {
  QueueReport report{.queue = rows.text(row, 3), .waits = rows.boolean(row, kWaits), .cost = std::chrono::microseconds(rows.int8(row, kWalk))};
  if (!rows.is_null(row, kRetry)) report.retry_after = std::chrono::milliseconds(rows.int4(row, kRetry));
  if (!rows.is_null(row, kWorkers)) report.workers = rows.int4(row, kWorkers);
  if (!rows.is_null(row, kPriority)) report.last = QueuePlace{rows.int4(row, kPriority), rows.int8(row, kCreated)};
  return report;
}

void read_beat_at(const pg::Result& rows, int column, TripReply& reply) {
  if (rows.rows() < 1) throw std::runtime_error("dbos_sys.beat() replied no row");
  reply.ended = rows.bytes(0, column) == "ended";
  reply.server_now_ms = rows.int8(0, column + 1);
  reply.maintained = rows.boolean(0, column + 2);
  if (rows.is_null(0, column + 3)) return;
  auto ids = rows.array(0, column + 3);
  auto tokens = rows.array(0, column + 4);
  for (int left = ids.count(); left > 0; --left) {
    auto id = ids.next();
    auto token = tokens.next();
    reply.held.push_back({std::string(id.value_or("")), std::string(token.value_or(""))});
  }
}

void read_rows(const pg::Result& rows, std::vector<ClaimedRun>& runs, std::int64_t& now_ms) {
  runs.reserve(static_cast<std::size_t>(rows.rows()));
  for (int row = 0; row < rows.rows(); ++row) {
    runs.push_back(read_run_row(rows, row));
    now_ms = rows.int8(row, kClaimNow);
  }
}

}  // namespace

void read_flush(const pg::Result& rows, const FlushRequest& request, TripReply& reply) {
  reply.runs.resize(request.runs.size());
  reply.ops.resize(request.ops.size());
  for (int row = 0; row < rows.rows(); ++row) {
    auto part = rows.bytes(row, kPart);
    int index = rows.int4(row, kIndex);
    if (part == "run") {
      auto& run = entry_at(reply.runs, index);
      read_run(rows, row, request.runs[static_cast<std::size_t>(index) - 1].id, run);
    } else if (part == "op") {
      auto& op = entry_at(reply.ops, index);
      op = {op_state(rows.bytes(row, kState)), rows.text_or_null(row, kValue), rows.text(row, kSerialization)};
    } else if (part == "queue") {
      reply.unknown_queues.push_back(rows.text(row, kValue));
    } else if (part == "now") {
      auto text = rows.bytes(row, kValue);
      std::from_chars(text.data(), text.data() + text.size(), reply.server_now_ms);
    }
  }
}

void read_claimed(const pg::Result& rows, const std::string& token, TripReply& reply) {
  for (int row = 0; row < rows.rows(); ++row) {
    if (rows.is_null(row, kClaimNow)) continue;  // of beat() alone
    reply.server_now_ms = rows.int8(row, kClaimNow);
    if (rows.is_null(row, 0)) {
      reply.queues.push_back(read_report(rows, row));
      continue;
    }
    auto& run = reply.claimed.emplace_back(read_run_row(rows, row));
    run.token = token;
    run.first_run = rows.boolean(row, kFirstRun);
  }
}

void read_loaded(const pg::Result& rows, const std::vector<RunKey>& keys, std::vector<ClaimedRun>& runs, std::int64_t& now_ms) {
  std::unordered_map<std::string_view, const std::string*> tokens;
  for (const auto& key : keys) tokens.emplace(key.id, &key.token);
  read_rows(rows, runs, now_ms);
  for (auto& run : runs) {
    auto found = tokens.find(run.id);
    if (found == tokens.end()) throw std::runtime_error("dbos_sys.load() replied a workflow that was not asked for");
    run.token = *found->second;
  }
}

void read_outcomes(const pg::Result& rows, std::vector<WorkflowOutcome>& outcomes) {
  outcomes.reserve(static_cast<std::size_t>(rows.rows()));
  for (int row = 0; row < rows.rows(); ++row) {
    outcomes.push_back({rows.text(row, 0), rows.text(row, 1), rows.text_or_null(row, 2), rows.text_or_null(row, 3), rows.text(row, 4)});
  }
}

void read_held(const pg::Result& rows, std::vector<RunKey>& held) {
  held.reserve(static_cast<std::size_t>(rows.rows()));
  for (int row = 0; row < rows.rows(); ++row) held.push_back({rows.text(row, 0), rows.text(row, 1)});
}

void read_limits(const pg::Result& rows, std::vector<LimitAnswer>& answers) {
  answers.reserve(static_cast<std::size_t>(rows.rows()));
  for (int row = 0; row < rows.rows(); ++row) {
    auto kind = rows.bytes(row, 0);
    auto word = kind == "granted"   ? LimitWord::granted
                : kind == "permit"  ? LimitWord::permit
                : kind == "unknown" ? LimitWord::unknown
                                    : LimitWord::ask;
    answers.push_back({word, rows.text(row, 1), rows.int8(row, 2)});
  }
}

void read_beat(const pg::Result& rows, TripReply& reply) { read_beat_at(rows, 0, reply); }

void read_claimed_and_beat(const pg::Result& rows, const std::string& token, TripReply& reply) {
  read_beat_at(rows, kBeatAfterClaim, reply);
  read_claimed(rows, token, reply);
}

void read_heartbeat(const pg::Result& rows, TripReply& reply) {
  if (rows.rows() != 1) throw std::runtime_error("dbos_sys.heartbeat() replied " + std::to_string(rows.rows()) + " rows");
  reply.ended = rows.bytes(0, 0) == "ended";
  reply.server_now_ms = rows.int8(0, 1);
  reply.maintained = rows.boolean(0, 2);
}

}  // namespace dbos::detail
