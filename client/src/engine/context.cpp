// Context: what workflow code calls, on its fiber. Each call takes its function ids first, then looks for the record, then acts.
#include "dbos/context.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "codec/object_text.hpp"
#include "codec/portable_error.hpp"
#include "engine/engine.hpp"
#include "engine/ids.hpp"
#include "engine/outcome.hpp"
#include "engine/start_options.hpp"
#include "engine/step_body.hpp"

namespace dbos {

using namespace detail;

namespace {

void require_fiber(const Run& run, const char* call) {
  if (current_run() == &run) return;
  throw UsageError(
      std::string(call) + (current_body_run() ? " inside a step body: only the workflow's own code may call it" : " outside its workflow"), {},
      run.id);
}

void check_payload(std::string_view what, const std::string& value, const Run& run) {
  auto limit = run.engine.options().max_payload;
  if (value.size() > limit)
    throw UsageError(std::string(what) + " has " + std::to_string(value.size()) + " bytes, at most " + std::to_string(limit) + " are allowed",
                     "WF001", run.id, "send a reference to the data instead");
}

// Waits: "for ever" (Milliseconds::max()) is the longest that there is.
Milliseconds check_timeout(std::string_view what, Milliseconds timeout, const Run& run) {
  if (timeout.count() < 0)
    throw UsageError(std::string(what) + " of " + std::to_string(timeout.count()) + " ms: a timeout is not negative", {}, run.id);
  return std::min(timeout, kLongestWait);
}

void check_id(std::string_view what, std::string_view id, const Run& run) { check_label(what, id, kIdBytes, run.id); }
void check_name(std::string_view what, std::string_view name, const Run& run) { check_label(what, name, kNameBytes, run.id); }

[[noreturn]] void throw_step_error(const std::string& text, const Run& run) {
  auto parts = decode_error(text);
  throw StepFailed(parts.name, parts.message, parts.code_json, parts.data_json, run.id);
}

std::optional<std::string> replay(const RecordedStep& step, const Run& run) {
  if (step.error) throw_step_error(*step.error, run);
  return step.output;
}

std::int64_t to_ms(const std::optional<std::string>& text, Run& run) {
  double value = 0;
  const char* begin = text ? text->data() : nullptr;
  if (!begin || std::from_chars(begin, begin + text->size(), value).ec != std::errc{})
    run.die("UndecodableRecord", "the recorded wake time " + text.value_or("NULL") + " of workflow " + run.id + " is no number");
  return static_cast<std::int64_t>(value);
}

std::string topic_key(const Run& run, const std::string& topic) { return "m:" + run.id + "::" + (topic.empty() ? "__null__topic__" : topic); }

ObjectText topic_args(const std::string& topic) {
  ObjectText args;
  if (topic.empty()) args.json("topic", "null");
  else args.text("topic", topic);
  return args;
}

// recv, get_event and get_result with a timeout: look, mark the deadline durably, wait, look again until it is over.
OpReply wait_for(Run& run, const std::string& kind, int function_id, int marker_id, const ObjectText& args, const std::string& key,
                 std::optional<Milliseconds> timeout) {
  auto look = [&](bool last) { return run.operate(function_id, kind, ObjectText(args).boolean("final", last).str()); };
  if (timeout && timeout->count() <= 0) return look(true);
  // Before the first look: what comes between it and the wait must wake.
  run.engine.watch(run, key);
  auto reply = look(false);
  auto deadline = MonotonicTime::max() - std::chrono::hours(1);
  if (reply.state == OpState::wait && timeout) {
    auto marker = run.recorded_step(marker_id, "DBOS.sleep");
    auto wake = marker ? marker->output : run.operate(marker_id, "marker", ObjectText().number("ms", timeout->count()).str()).value;
    deadline = run.engine.from_server_ms(to_ms(wake, run));
  }
  while (reply.state == OpState::wait) {
    run.wait_for_watch(deadline);
    bool last = timeout && run.engine.now() >= deadline;
    reply = look(last);
    if (last) break;
  }
  run.engine.end_watch(run);
  return reply;
}

}  // namespace

const std::string& Context::workflow_id() const noexcept { return run_->id; }
std::int64_t Context::attempt() const noexcept { return run_->attempts; }

void detail::undecodable_record(const CodecError& error) {
  Run* run = thread_run();
  if (!run || current_body_run()) throw error;
  run->die("UndecodableRecord", std::string(error.what()) + " (application version " + run->engine.identity().version + ")");
}

std::string Context::step_text(std::string_view name, const StepOptions& options, const std::function<std::string(StepContext&)>& body) {
  Run& run = *run_;
  require_fiber(run, "step()");
  check_name("step name", name, run);
  if (name.starts_with("DBOS.")) throw UsageError("step name " + std::string(name) + " begins with DBOS., which is reserved", {}, run.id);
  if (options.retries < 0 || options.interval.count() < 0 || !std::isfinite(options.factor) || options.factor < 1.0 || options.cap.count() < 0 ||
      options.timeout.count() < 0)
    throw UsageError("step " + std::string(name) + ": retries, interval, cap and timeout must not be negative, factor finite and not below 1", {},
                     run.id);
  if (!options.limit.empty()) check_name("limit", options.limit, run);
  else if (!options.limit_key.empty()) throw UsageError("step " + std::string(name) + ": limit_key without limit", {}, run.id);
  if (!options.limit_key.empty()) check_name("limit key", options.limit_key, run);
  int function_id = run.next_function_id++;
  if (auto* recorded = run.recorded_step(function_id, name)) {
    if (!recorded->serialization.empty() && recorded->serialization != "portable_json")
      run.die("UndecodableRecord", "step " + std::string(name) + " of workflow " + run.id + " is recorded as " + recorded->serialization);
    return replay(*recorded, run).value_or("null");
  }
  return StepBody(run, function_id, name, options, body).execute();
}

void Context::sleep(Milliseconds duration) {
  Run& run = *run_;
  require_fiber(run, "sleep()");
  if (duration.count() < 0 || duration > kLongestWait)
    throw UsageError("sleep of " + std::to_string(duration.count()) + " ms: a duration is between 0 and 100 years", {}, run.id);
  int function_id = run.next_function_id++;
  auto* recorded = run.recorded_step(function_id, "DBOS.sleep");
  auto wake = recorded ? recorded->output : run.operate(function_id, "sleep", ObjectText().number("ms", duration.count()).str()).value;
  auto deadline = run.engine.from_server_ms(to_ms(wake, run));
  while (run.engine.now() < deadline) run.wait_until(deadline, true);
}

namespace {

template <class Make>
std::string recorded_value(Run& run, const char* name, Make&& make) {
  require_fiber(run, name);
  int function_id = run.next_function_id++;
  if (auto* recorded = run.recorded_step(function_id, name)) return replay(*recorded, run).value_or("null");
  auto now = run.engine.server_now_ms();
  std::string text = make();
  run.record({.run = 0, .function_id = function_id, .name = name, .output = text, .started_ms = now, .completed_ms = now});
  return text;
}

}  // namespace

std::int64_t Context::now_ms() {
  return to_ms(recorded_value(*run_, "DBOS.now", [&] { return std::to_string(run_->engine.server_now_ms()); }), *run_);
}

std::string Context::uuid() {
  auto text = recorded_value(*run_, "DBOS.randomUUID", [] { return json_quote(uuid_v4()); });
  return text.size() > 2 ? text.substr(1, text.size() - 2) : text;
}

double Context::random() {
  auto text = recorded_value(*run_, "DBOS.random", [] { return Codec<double>::encode(static_cast<double>(random_bits() >> 11) * 0x1.0p-53); });
  return decode_recorded<double>(text, "DBOS.random");
}

std::shared_ptr<HandleState> Context::start_text(const std::string& name, const std::string& class_name, const std::string& queue,
                                                 StartOptions options, std::string inputs) {
  Run& run = *run_;
  require_fiber(run, "start()");
  int function_id = run.next_function_id++;
  if (auto* recorded = run.recorded_step(function_id, name)) {
    if (recorded->error) throw_step_error(*recorded->error, run);
    return std::make_shared<EngineHandle>(run.engine.shared_from_this(), recorded->child_id, nullptr);
  }
  // The parent's own start must be durable before a child can refer to it.
  run.settle();
  if (options.id.empty()) options.id = run.id + "-" + std::to_string(function_id);
  auto child = run.engine.make_child(run, function_id,
                                     start_request(name, class_name, queue, options, std::move(inputs), run.engine.options().max_payload, run.id));
  run.settle();
  auto reply = run.engine.start_reply(*child);
  if (reply.state == RunState::conflict)
    throw StepFailed("ConflictingWorkflow", "workflow id " + child->id + " belongs to workflow " + reply.value + ", not " + name, {}, {}, run.id);
  if (reply.state == RunState::deduplicated)
    throw StepFailed("QueueDeduplicated", "workflow " + reply.value + " holds the deduplication id " + options.deduplication_id, {}, {}, run.id);
  return std::make_shared<EngineHandle>(run.engine.shared_from_this(), reply.holder.empty() ? child->id : reply.holder, child);
}

// One operation: the bounce, or the new run, commits with its record.
std::shared_ptr<HandleState> Context::debounce_text(const std::string& name, const std::string& class_name, const std::string& key,
                                                    const DebounceOptions& options, std::string inputs) {
  Run& run = *run_;
  require_fiber(run, "debounce()");
  auto& engine = run.engine;
  auto put_off =
      debounce_start(name, class_name, key, options, std::move(inputs), engine.options().max_payload, engine.identity().application, run.id);
  int function_id = run.next_function_id++;
  std::optional<std::string> id;
  if (auto* recorded = run.recorded_step(function_id, "DBOS.debounceDelayedWorkflow")) {
    id = replay(*recorded, run);
  } else {
    auto& start = put_off.run;
    if (start.id.empty()) start.id = run.id + "-" + std::to_string(function_id);
    auto args = ObjectText().text("name", start.name).text("key", key).number("ms", put_off.delay.count()).text("id", start.id);
    if (put_off.deadline.count() > 0) args.number("deadline_ms", put_off.deadline.count());
    args.text("inputs", start.inputs).json("options", start.options);
    auto reply = run.operate(function_id, "debounce", args.str());
    if (reply.state == OpState::error) throw_step_error(reply.value.value_or("{}"), run);
    id = reply.value;
  }
  return std::make_shared<EngineHandle>(engine.shared_from_this(), Codec<std::string>::decode(id.value_or("null"), "id of a debounced workflow"),
                                        nullptr);
}

void Context::send_text(const std::string& destination, std::string message, const std::string& topic) {
  Run& run = *run_;
  check_id("destination", destination, run);
  check_topic(topic, run.id);
  check_payload("message", message, run);
  auto args = topic_args(topic).text("destination", destination).text("message", message).text("serialization", "portable_json");
  if (current_body_run() == &run) {
    // Not recorded, so a key tells a message whose reply was lost when it goes again. Time-ordered: messages of one millisecond sort by it.
    auto reply = run.operate_from_body(run.next_function_id - 1, "send", args.boolean("unrecorded", true).text("key", uuid_v7()).str());
    if (reply.state == OpState::error) throw_step_error(reply.value.value_or("{}"), run);
    return;
  }
  require_fiber(run, "send()");
  int function_id = run.next_function_id++;
  if (auto* recorded = run.recorded_step(function_id, "DBOS.send")) {
    replay(*recorded, run);
    return;
  }
  auto reply = run.operate(function_id, "send", args.str());
  if (reply.state == OpState::error) throw_step_error(reply.value.value_or("{}"), run);
}

std::optional<std::string> Context::recv_text(const std::string& topic, Milliseconds timeout) {
  Run& run = *run_;
  require_fiber(run, "recv()");
  check_topic(topic, run.id);
  timeout = check_timeout("recv", timeout, run);
  int function_id = run.next_function_id++;
  int marker_id = run.next_function_id++;
  if (auto* recorded = run.recorded_step(function_id, "DBOS.recv")) return replay(*recorded, run);
  return wait_for(run, "recv", function_id, marker_id, topic_args(topic), topic_key(run, topic), timeout).value;
}

void Context::set_event_text(const std::string& key, std::string value) {
  Run& run = *run_;
  check_name("event key", key, run);
  check_payload("event", value, run);
  auto args = ObjectText().text("key", key).text("value", value);
  if (current_body_run() == &run) {
    run.operate_from_body(run.next_function_id - 1, "set_event", args.boolean("unrecorded", true).str());
    return;
  }
  require_fiber(run, "set_event()");
  int function_id = run.next_function_id++;
  if (!run.recorded_step(function_id, "DBOS.setEvent")) run.operate_later(function_id, "set_event", args.str());
}

std::optional<std::string> Context::get_event_text(const std::string& id, const std::string& key, Milliseconds timeout) {
  Run& run = *run_;
  require_fiber(run, "get_event()");
  check_name("event key", key, run);
  check_id("workflow id", id, run);
  timeout = check_timeout("get_event", timeout, run);
  int function_id = run.next_function_id++;
  int marker_id = run.next_function_id++;
  if (auto* recorded = run.recorded_step(function_id, "DBOS.getEvent")) return replay(*recorded, run);
  auto args = ObjectText().text("id", id).text("key", key);
  return wait_for(run, "get_event", function_id, marker_id, args, "e:" + id + "::" + key, timeout).value;
}

void Context::write_stream_text(const std::string& key, std::string value) {
  Run& run = *run_;
  check_name("stream key", key, run);
  check_payload("stream entry", value, run);
  auto args = ObjectText().text("key", key).text("value", value);
  if (current_body_run() == &run) {
    run.operate_from_body(run.next_function_id - 1, "write_stream", args.boolean("unrecorded", true).str());
    return;
  }
  require_fiber(run, "write_stream()");
  int function_id = run.next_function_id++;
  if (!run.recorded_step(function_id, "DBOS.writeStream")) run.operate_later(function_id, "write_stream", args.str());
}

void Context::close_stream(const std::string& key) {
  Run& run = *run_;
  require_fiber(run, "close_stream()");
  check_name("stream key", key, run);
  int function_id = run.next_function_id++;
  if (!run.recorded_step(function_id, "DBOS.closeStream")) run.operate_later(function_id, "close_stream", ObjectText().text("key", key).str());
}

namespace detail {

namespace {

void check_readable(const std::string& serialization, const std::string& id) {
  if (serialization.empty() || serialization == "portable_json") return;
  undecodable_record(CodecError("result of workflow " + id + " is serialized as " + serialization + ", which C++ cannot read", {}, id));
}

}  // namespace

// handle.result() called by workflow code.
std::string recorded_result(Run& run, const std::string& id, std::optional<Milliseconds> timeout) {
  check_id("workflow id", id, run);
  if (timeout) timeout = check_timeout("result", *timeout, run);
  int marker_id = timeout ? run.next_function_id++ : -1;
  int function_id = run.next_function_id++;
  if (auto* recorded = run.recorded_step(function_id, "DBOS.getResult")) {
    // An outcome's record bears the workflow's id; what we recorded ourselves when we gave up does not.
    if (recorded->error && recorded->child_id.empty()) throw_awaited_timeout(*recorded->error, id);
    if (recorded->error) throw_awaited_error(*recorded->error, id);
    check_readable(recorded->serialization, id);
    return recorded->output.value_or("null");
  }
  auto reply = wait_for(run, "get_result", function_id, marker_id, ObjectText().text("id", id), "r:" + id, timeout);
  if (reply.state == OpState::error) throw_awaited_error(reply.value.value_or("{}"), id);
  if (reply.state == OpState::wait) {
    // Recorded, so that a replay gives up at the same place although the workflow may have ended since.
    auto now = run.engine.server_now_ms();
    auto error = encode_error("Timeout", "workflow " + id + " has not ended within " + std::to_string(timeout->count()) + " ms");
    run.record({.run = 0, .function_id = function_id, .name = "DBOS.getResult", .error = error, .started_ms = now, .completed_ms = now});
    throw_awaited_timeout(error, id);
  }
  check_readable(reply.serialization, id);
  return reply.value.value_or("null");
}

}  // namespace detail

}  // namespace dbos
