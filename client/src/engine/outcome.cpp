#include "engine/outcome.hpp"

#include "codec/portable_error.hpp"
#include "dbos/error.hpp"
#include "dbos/json.hpp"

namespace dbos::detail {

namespace {

// Of a workflow that ended with no error of its own the record tells the status in `data`; "" where the error is the workflow's.
// The name alone proves nothing: a workflow may fail with any.
std::string status_in_record(const ErrorParts& parts, const std::string& id) {
  if (!parts.name.starts_with("AwaitedWorkflow") || parts.data_json.empty()) return {};
  auto data = parse_json(parts.data_json, "data of an error");
  auto member = [&](const char* key) { return data.is_object() && data.contains(key) && data[key].is_string() ? data[key].get<std::string>() : ""; };
  return member("awaited_workflow") == id ? member("status") : "";
}

}  // namespace

std::string outcome_text(const WorkflowOutcome& outcome) {
  if (outcome.status == "SUCCESS") {
    if (!outcome.serialization.empty() && outcome.serialization != "portable_json")
      throw CodecError("result of workflow " + outcome.id + " is serialized as " + outcome.serialization + ", which C++ cannot read", {}, outcome.id);
    return outcome.output.value_or("null");
  }
  if (outcome.status.empty()) throw NotFound("no workflow has the id " + outcome.id, "WF010", outcome.id);
  if (outcome.status == "CANCELLED") throw Cancelled("workflow " + outcome.id + " was cancelled", {}, outcome.id);
  auto parts = decode_error(outcome.error.value_or("{}"));
  if (outcome.status == "ERROR") throw WorkflowFailed(parts.name, parts.message, parts.code_json, parts.data_json, outcome.id);
  throw DeadLetter("workflow " + outcome.id + " is in the dead letter" + (parts.message.empty() ? "" : ": " + parts.message), {}, outcome.id,
                   "mend the cause, then resume it");
}

void throw_awaited_timeout(const std::string& error_text, const std::string& id) { throw Timeout(decode_error(error_text).message, {}, id); }

void throw_awaited_error(const std::string& error_text, const std::string& id) {
  auto parts = decode_error(error_text);
  auto status = status_in_record(parts, id);
  if (status == "CANCELLED") throw Cancelled("workflow " + id + " was cancelled", {}, id);
  if (status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED") throw DeadLetter("workflow " + id + " is in the dead letter", {}, id);
  throw WorkflowFailed(parts.name, parts.message, parts.code_json, parts.data_json, id);
}

const std::string& EngineHandle::id() const noexcept { return id_; }

void EngineHandle::wait_durable() {
  if (!run_) return;
  engine_->wait_durable(run_);
  if (!id_may_change_) return;
  auto holder = engine_->start_reply(*run_).holder;
  if (!holder.empty() && holder != id_) {
    id_ = holder;
    run_ = nullptr;
  }
}

std::string EngineHandle::result_text(std::optional<Milliseconds> timeout) {
  if (Run* run = current_run()) return recorded_result(*run, id_, timeout);
  BodyLend lend;
  if (id_may_change_) wait_durable();
  auto outcome = engine_->wait_outcome(id_, run_, timeout);
  if (!outcome) throw Timeout("workflow " + id_ + " has not ended within " + std::to_string(timeout->count()) + " ms", {}, id_);
  return outcome_text(*outcome);
}

WorkflowInfo EngineHandle::info() {
  if (current_run()) throw UsageError("the status of a workflow changes: ask for it inside a step", {}, id_);
  return engine_->workflow_info(id_);
}

void off_fiber(void (*body)(void*), void* argument) {
  auto call = [&] { body(argument); };
  Fiber::outside(call);
}

}  // namespace dbos::detail
