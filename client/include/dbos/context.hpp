// Context: what a workflow's code may do. One per run; by reference, first parameter of every workflow.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "dbos/handle.hpp"
#include "dbos/json.hpp"
#include "dbos/options.hpp"

namespace dbos {

template <class F>
class Workflow;

namespace detail {
class Run;
class StepBody;
}  // namespace detail

// Given to step bodies that ask for it. Valid during the body only.
class StepContext {
 public:
  const std::string& workflow_id() const noexcept { return *workflow_id_; }
  int step_id() const noexcept { return step_id_; }
  // 1 on the first attempt of this execution.
  int attempt() const noexcept { return attempt_; }
  // The same on every attempt and every execution of this step: `<workflow id>-<step id>`. Hand it to services that deduplicate.
  std::string idempotency_key() const { return *workflow_id_ + "-" + std::to_string(step_id_); }
  // Requested when the workflow is cancelled or lost, the step's timeout is over, or the process shuts down.
  std::stop_token stop_token() const noexcept { return stop_; }

 private:
  friend class detail::StepBody;
  friend class Context;
  const std::string* workflow_id_ = nullptr;
  int step_id_ = 0;
  int attempt_ = 1;
  std::stop_token stop_;
};

// Thread safety: none; used by the workflow's own code only, one call at a time. The code may continue on another thread after any call.
// Code between calls must be deterministic; what is not belongs into a step. Calls throw a library exception that is not a std::exception
// when the run must stop (cancelled, taken over, unloaded, shutdown): let it pass.
class Context {
 public:
  explicit Context(detail::Run& run) noexcept : run_(&run) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const std::string& workflow_id() const noexcept;
  // Executions so far, this one included.
  std::int64_t attempt() const noexcept;

  // Runs body once and records what it returned or threw; a replay returns the record. The body runs at least once, on the thread's own
  // stack, may block, and may take nothing, a StepContext& or a std::stop_token. Throws StepFailed with the recorded error.
  template <class F>
  auto step(std::string_view name, F&& body) {
    return step(name, StepOptions{}, std::forward<F>(body));
  }
  template <class F>
  auto step(std::string_view name, const StepOptions& options, F&& body) {
    using R = decltype(invoke_body(body, std::declval<StepContext&>()));
    if constexpr (std::is_void_v<R>) {
      step_text(name, options, [&](StepContext& context) {
        invoke_body(body, context);
        return std::string("null");
      });
    } else {
      std::optional<R> fresh;
      std::string text = step_text(name, options, [&](StepContext& context) {
        fresh.emplace(invoke_body(body, context));
        return Codec<R>::encode(*fresh, name);
      });
      if (fresh) return R(std::move(*fresh));
      return decode_recorded<R>(text, name);
    }
  }

  // Durable: survives restarts, holds no thread. Longer waits give up the stack too (RuntimeOptions::unload_after).
  void sleep(Milliseconds duration);

  // Recorded values: the same on every replay.
  std::int64_t now_ms();
  std::string uuid();
  double random();  // [0, 1)

  // Starts a child directly in this process, or on a queue with enqueue; recorded, so a replay finds the same child.
  template <class R, class... A>
  Handle<R> start(const Workflow<R(A...)>& workflow, const std::type_identity_t<A>&... arguments);
  template <class R, class... A>
  Handle<R> start(const Workflow<R(A...)>& workflow, StartOptions options, const std::type_identity_t<A>&... arguments);
  template <class R, class... A>
  Handle<R> enqueue(const Workflow<R(A...)>& workflow, const std::string& queue, StartOptions options, const std::type_identity_t<A>&... arguments);

  // As Client::debounce(), recorded: a replay returns the same run and puts nothing off. Throws StepFailed (QueueDeduplicated) when a run that is
  // not debounced holds the key, (ConflictingWorkflow) when options.start.id belongs to another workflow, (InvalidArgument) for what the queue
  // does not take.
  template <class R, class... A>
  Handle<R> debounce(const Workflow<R(A...)>& workflow, const std::string& key, DebounceOptions options, const std::type_identity_t<A>&... arguments);

  // Messages to a workflow of any language. Throws StepFailed (NonExistentWorkflow) when the destination does not exist. From a step body it
  // is sent at once and not recorded: once for each call, so again with each attempt of the step.
  template <class T>
  void send(const std::string& destination, const T& message, const std::string& topic = {}) {
    send_text(destination, Codec<T>::encode(message, "message"), topic);
  }
  // The oldest unread message of the topic; empty when none came within timeout. 0 looks once.
  template <class T>
  std::optional<T> recv(const std::string& topic = {}, Milliseconds timeout = Milliseconds{60000}) {
    auto text = recv_text(topic, timeout);
    if (!text) return std::nullopt;
    return decode_recorded<T>(*text, "message");
  }
  // From a step body at once and not recorded, as send().
  template <class T>
  void set_event(const std::string& key, const T& value) {
    set_event_text(key, Codec<T>::encode(value, key));
  }
  template <class T>
  std::optional<T> get_event(const std::string& workflow_id, const std::string& key, Milliseconds timeout = Milliseconds{60000}) {
    auto text = get_event_text(workflow_id, key, timeout);
    if (!text) return std::nullopt;
    return decode_recorded<T>(*text, key);
  }
  // Once, in order. From a step body at once and not recorded: at least once for each call, since an entry whose reply was lost with the
  // connection is written again.
  template <class T>
  void write_stream(const std::string& key, const T& value) {
    write_stream_text(key, Codec<T>::encode(value, key));
  }
  void close_stream(const std::string& key);

 private:
  template <class F>
  static auto invoke_body(F& body, StepContext& context) {
    if constexpr (std::is_invocable_v<F&, StepContext&>) return body(context);
    else if constexpr (std::is_invocable_v<F&, std::stop_token>) return body(context.stop_token());
    else return body();
  }
  template <class R>
  static R decode_recorded(const std::string& text, std::string_view what) {
    std::optional<R> value;
    auto decode = [&] { decode_into(value, text, what); };
    detail::off_fiber([](void* f) { (*static_cast<decltype(decode)*>(f))(); }, &decode);
    return std::move(*value);
  }
  template <class R>
  static void decode_into(std::optional<R>& value, const std::string& text, std::string_view what) {
    try {
      value.emplace(Codec<R>::decode(text, what));
    } catch (const CodecError& e) {
      detail::undecodable_record(e);
    }
  }

  std::string step_text(std::string_view name, const StepOptions& options, const std::function<std::string(StepContext&)>& body);
  std::shared_ptr<detail::HandleState> start_text(const std::string& name, const std::string& class_name, const std::string& queue,
                                                  StartOptions options, std::string inputs);
  std::shared_ptr<detail::HandleState> debounce_text(const std::string& name, const std::string& class_name, const std::string& key,
                                                     const DebounceOptions& options, std::string inputs);
  void send_text(const std::string& destination, std::string message, const std::string& topic);
  std::optional<std::string> recv_text(const std::string& topic, Milliseconds timeout);
  void set_event_text(const std::string& key, std::string value);
  std::optional<std::string> get_event_text(const std::string& id, const std::string& key, Milliseconds timeout);
  void write_stream_text(const std::string& key, std::string value);

  detail::Run* run_;
};

}  // namespace dbos
