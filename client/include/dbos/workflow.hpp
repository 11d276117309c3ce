// Workflow<R(A...)>: a registered workflow, the typed way to start it.
#pragma once

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "dbos/context.hpp"
#include "dbos/handle.hpp"
#include "dbos/options.hpp"
#include "dbos/signature.hpp"

namespace dbos {

namespace detail {
class RuntimeImpl;
// Starts directly (queue empty) or enqueues; wait: return when durable. Throws UsageError inside a workflow or a step body.
std::shared_ptr<HandleState> start_workflow(const std::shared_ptr<RuntimeImpl>& runtime, const std::string& name, const std::string& class_name,
                                            const std::string& queue, StartOptions options, std::string inputs, bool wait);
// As Client::debounce(). Throws UsageError inside a workflow: Context::debounce() records it there.
std::shared_ptr<HandleState> debounce_workflow(const std::shared_ptr<RuntimeImpl>& runtime, const std::string& name, const std::string& class_name,
                                               const std::string& key, DebounceOptions options, std::string inputs);
}  // namespace detail

template <class F>
class Workflow;

// A small copyable value; usable as long as its Runtime. Thread safety: all members from any thread.
template <class R, class... A>
class Workflow<R(A...)> {
 public:
  Workflow(std::shared_ptr<detail::RuntimeImpl> runtime, std::string name, std::string class_name)
      : runtime_(std::move(runtime)), name_(std::move(name)), class_name_(std::move(class_name)) {}

  const std::string& name() const noexcept { return name_; }
  const std::string& class_name() const noexcept { return class_name_; }

  // Runs in this process; returns when the start is durable. The same id again gives the same workflow: Conflict if of another name.
  Handle<R> start(const A&... arguments) const { return start(StartOptions{}, arguments...); }
  Handle<R> start(StartOptions options, const A&... arguments) const { return go({}, std::move(options), true, arguments...); }
  // As start(), but returns at once: many starts share one commit. handle.result() and handle.wait_durable() tell what became of it.
  Handle<R> post(const A&... arguments) const { return post(StartOptions{}, arguments...); }
  Handle<R> post(StartOptions options, const A&... arguments) const { return go({}, std::move(options), false, arguments...); }

  // Runs where the queue is served; returns when it is durable.
  Handle<R> enqueue(const std::string& queue, const A&... arguments) const { return enqueue(queue, StartOptions{}, arguments...); }
  Handle<R> enqueue(const std::string& queue, StartOptions options, const A&... arguments) const {
    return go(queue, std::move(options), true, arguments...);
  }
  Handle<R> post_to(const std::string& queue, StartOptions options, const A&... arguments) const {
    return go(queue, std::move(options), false, arguments...);
  }

  // As Client::debounce(); also in a step body. A workflow's own code calls Context::debounce().
  Handle<R> debounce(const std::string& key, DebounceOptions options, const A&... arguments) const {
    return Handle<R>(detail::debounce_workflow(runtime_, name_, class_name_, key, std::move(options), detail::encode_arguments(arguments...)));
  }

  Signature<R(A...)> signature() const { return {name_, class_name_}; }

 private:
  Handle<R> go(const std::string& queue, StartOptions options, bool wait, const A&... arguments) const {
    return Handle<R>(detail::start_workflow(runtime_, name_, class_name_, queue, std::move(options), detail::encode_arguments(arguments...), wait));
  }

  std::shared_ptr<detail::RuntimeImpl> runtime_;
  std::string name_;
  std::string class_name_;
};

template <class R, class... A>
Handle<R> Context::start(const Workflow<R(A...)>& workflow, const std::type_identity_t<A>&... arguments) {
  return start(workflow, StartOptions{}, arguments...);
}
template <class R, class... A>
Handle<R> Context::start(const Workflow<R(A...)>& workflow, StartOptions options, const std::type_identity_t<A>&... arguments) {
  return Handle<R>(start_text(workflow.name(), workflow.class_name(), {}, std::move(options), detail::encode_arguments(arguments...)));
}
template <class R, class... A>
Handle<R> Context::enqueue(const Workflow<R(A...)>& workflow, const std::string& queue, StartOptions options,
                           const std::type_identity_t<A>&... arguments) {
  return Handle<R>(start_text(workflow.name(), workflow.class_name(), queue, std::move(options), detail::encode_arguments(arguments...)));
}
template <class R, class... A>
Handle<R> Context::debounce(const Workflow<R(A...)>& workflow, const std::string& key, DebounceOptions options,
                            const std::type_identity_t<A>&... arguments) {
  return Handle<R>(debounce_text(workflow.name(), workflow.class_name(), key, options, detail::encode_arguments(arguments...)));
}

}  // namespace dbos
