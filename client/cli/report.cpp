#include "report.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace dbos::cli {

namespace {

constexpr std::size_t kBarColumns = 24;

nlohmann::json payload(const std::string& text, const std::string& serialization) {
  if (serialization != "portable_json") return text;
  nlohmann::json parsed = nlohmann::json::parse(text, nullptr, false);
  return parsed.is_discarded() ? nlohmann::json(text) : parsed;
}

void put(nlohmann::json& object, const char* key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}
void put(nlohmann::json& object, const char* key, std::int64_t value) {
  if (value != 0) object[key] = value;
}
void put(nlohmann::json& object, const char* key, const std::optional<std::string>& value, const std::string& serialization) {
  if (value) object[key] = payload(*value, serialization);
}

std::string took(const WorkflowInfo& workflow) {
  if (workflow.completed_at == 0) return "-";
  std::int64_t from = workflow.started_at != 0 ? workflow.started_at : workflow.created_at;
  return duration_text(std::max<std::int64_t>(0, workflow.completed_at - from));
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : printable(text); }

// What a run's time line spans: from its first execution or creation to its last sign of life.
struct Span {
  std::int64_t from = 0;
  std::int64_t to = 0;
};

Span span_of(const WorkflowInfo& workflow, const std::vector<StepInfo>& steps) {
  Span span{workflow.started_at != 0 ? workflow.started_at : workflow.created_at, workflow.completed_at};
  for (const StepInfo& step : steps) {
    if (step.started_at != 0) span.from = std::min(span.from, step.started_at);
    span.to = std::max({span.to, step.started_at, step.completed_at});
  }
  span.to = std::max(span.to, span.from);
  return span;
}

std::string bar(const Span& span, const StepInfo& step) {
  std::string text(kBarColumns, '.');
  if (step.started_at == 0) return text;
  auto column = [&](std::int64_t at) {
    auto length = std::max<std::int64_t>(1, span.to - span.from);
    return static_cast<std::size_t>(std::clamp<std::int64_t>((at - span.from) * static_cast<std::int64_t>(kBarColumns) / length, 0, kBarColumns - 1));
  };
  std::size_t first = column(step.started_at);
  std::size_t last = std::max(first, column(std::max(step.completed_at, step.started_at)));
  std::fill(text.begin() + static_cast<std::ptrdiff_t>(first), text.begin() + static_cast<std::ptrdiff_t>(last) + 1, '#');
  return text;
}

std::string step_result(const StepInfo& step) {
  std::string text = step.error ? "error " + *step.error : step.output.value_or("");
  if (!step.child_id.empty()) text = "-> " + step.child_id + (text.empty() ? "" : " " + text);
  return printable(text);
}

std::string timeline(const WorkflowInfo& workflow, const std::vector<StepInfo>& steps, std::size_t columns) {
  Span span = span_of(workflow, steps);
  std::size_t names = 4;
  for (const StepInfo& step : steps) names = std::max(names, std::min<std::size_t>(32, width(printable(step.name))));
  std::size_t taken = 4 + 12 + 12 + kBarColumns + 2 + names + 10;
  std::size_t room = columns > taken + 20 ? columns - taken : 20;
  Table table({">#", ">at", ">took", "when", "step", "result"});
  for (const StepInfo& step : steps) {
    bool timed = step.started_at != 0;
    std::int64_t end = std::max(step.completed_at, step.started_at);
    table.add({std::to_string(step.function_id), timed ? "+" + duration_text(step.started_at - span.from) : "-",
               timed && step.completed_at != 0 ? duration_text(end - step.started_at) : "-", "[" + bar(span, step) + "]",
               cut(printable(step.name), names), cut(step_result(step), room)});
  }
  return table.text();
}

}  // namespace

nlohmann::json to_json(const WorkflowInfo& w) {
  nlohmann::json out = {{"id", w.id}, {"status", to_string(w.status)}, {"name", w.name}, {"priority", w.priority}, {"attempts", w.attempts}};
  for (auto [key, value] : {std::pair{"class_name", &w.class_name},
                            {"application", &w.application},
                            {"version", &w.version},
                            {"executor_id", &w.executor_id},
                            {"queue", &w.queue},
                            {"partition", &w.partition},
                            {"deduplication_id", &w.deduplication_id},
                            {"parent_id", &w.parent_id},
                            {"forked_from", &w.forked_from},
                            {"authenticated_user", &w.authenticated_user},
                            {"serialization", &w.serialization}})
    put(out, key, *value);
  for (auto [key, value] : {std::pair{"created_at", w.created_at},
                            {"started_at", w.started_at},
                            {"updated_at", w.updated_at},
                            {"completed_at", w.completed_at},
                            {"delay_until", w.delay_until},
                            {"timeout_ms", w.timeout_ms},
                            {"deadline", w.deadline}})
    put(out, key, value);
  if (!w.attributes_json.empty()) out["attributes"] = payload(w.attributes_json, "portable_json");
  put(out, "inputs", w.inputs, w.serialization);
  put(out, "output", w.output, w.serialization);
  put(out, "error", w.error, w.serialization);
  return out;
}

nlohmann::json to_json(const StepInfo& step) {
  nlohmann::json out = {{"function_id", step.function_id}, {"name", step.name}};
  put(out, "child_id", step.child_id);
  put(out, "serialization", step.serialization);
  put(out, "started_at", step.started_at);
  put(out, "completed_at", step.completed_at);
  put(out, "output", step.output, step.serialization);
  put(out, "error", step.error, step.serialization);
  return out;
}

std::string status_text(Status status, bool colour) {
  if (!colour) return to_string(status);
  const char* code = status == Status::success ? "32" : status == Status::pending ? "36" : is_terminal(status) ? "31" : "33";
  return std::string("\033[") + code + "m" + to_string(status) + "\033[0m";
}

std::string list_text(const std::vector<WorkflowInfo>& workflows) {
  Table table({"ID", "WORKFLOW", "STATUS", "QUEUE", "EXECUTOR", "CREATED", ">TOOK", ">ATTEMPTS"});
  for (const WorkflowInfo& w : workflows)
    table.add({printable(w.id), or_dash(w.name), to_string(w.status), or_dash(w.queue), or_dash(w.executor_id), local_time(w.created_at), took(w),
               std::to_string(w.attempts)});
  return table.text();
}

nlohmann::json to_json(const LimitInfo& limit) {
  nlohmann::json out = {{"name", limit.name},       {"burst", limit.burst},     {"weights", nlohmann::json::parse(limit.weights_json)},
                        {"waiting", limit.waiting}, {"holding", limit.holding}, {"granted", limit.granted}};
  if (limit.rate > 0) out["rate"] = limit.rate, out["per_ms"] = limit.per_ms;
  if (limit.concurrency > 0) out["concurrency"] = limit.concurrency;
  if (limit.held_until > 0) out["held_until"] = limit.held_until;
  return out;
}

std::string limits_text(const std::vector<LimitInfo>& limits) {
  Table table({"NAME", "RATE", ">BURST", ">CONCURRENCY", ">WAITING", ">HOLDING", ">GRANTED", "HELD UNTIL", "WEIGHTS"});
  for (const auto& limit : limits)
    table.add({printable(limit.name), limit.rate > 0 ? nlohmann::json(limit.rate).dump() + " per " + duration_text(limit.per_ms) : "-",
               std::to_string(limit.burst), limit.concurrency > 0 ? std::to_string(limit.concurrency) : "-", std::to_string(limit.waiting),
               std::to_string(limit.holding), std::to_string(limit.granted), local_time(limit.held_until), printable(limit.weights_json)});
  return table.text();
}

std::string show_text(const WorkflowInfo& w, const std::vector<StepInfo>& steps, bool colour, std::size_t columns) {
  Table facts({"id", printable(w.id)});
  auto fact = [&](const char* key, const std::string& value) {
    if (!value.empty()) facts.add({key, value});
  };
  auto text_fact = [&](const char* key, const std::string& value) { fact(key, printable(value)); };
  auto time_fact = [&](const char* key, std::int64_t at) { fact(key, at == 0 ? "" : local_time(at)); };
  std::size_t room = columns > 40 ? columns - 16 : 24;
  auto payload_fact = [&](const char* key, const std::optional<std::string>& value) { fact(key, value ? cut(printable(*value), room) : ""); };
  text_fact("workflow", w.class_name.empty() ? w.name : w.class_name + "." + w.name);
  fact("status", status_text(w.status, colour));
  text_fact("application", w.application);
  text_fact("version", w.version);
  text_fact("executor", w.executor_id);
  text_fact("queue", w.queue);
  text_fact("partition", w.partition);
  text_fact("parent", w.parent_id);
  text_fact("forked from", w.forked_from);
  fact("attempts", std::to_string(w.attempts));
  time_fact("created", w.created_at);
  time_fact("delayed to", w.delay_until);
  time_fact("started", w.started_at);
  time_fact("deadline", w.deadline);
  time_fact("ended", w.completed_at);
  fact("took", w.completed_at == 0 ? "" : took(w));
  text_fact("attributes", w.attributes_json);
  payload_fact("inputs", w.inputs);
  payload_fact("output", w.output);
  payload_fact("error", w.error);
  if (steps.empty()) return facts.text() + "\nno steps recorded\n";
  return facts.text() + "\n" + timeline(w, steps, columns);
}

}  // namespace dbos::cli
