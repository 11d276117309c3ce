// Handle<R>: one workflow, seen from outside or from a parent workflow.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "dbos/json.hpp"
#include "dbos/options.hpp"
#include "dbos/records.hpp"

namespace dbos {

namespace detail {

// What stands behind a handle. result_text returns the recorded output (portable JSON) or throws the leaf for how the workflow ended.
class HandleState {
 public:
  virtual ~HandleState() = default;
  virtual const std::string& id() const noexcept = 0;
  virtual std::string result_text(std::optional<Milliseconds> timeout) = 0;
  virtual void wait_durable() = 0;
  virtual WorkflowInfo info() = 0;
};

// Runs body on the carrier's own stack when called on a workflow's fiber, else in place: decoding may need a deep stack.
void off_fiber(void (*body)(void*), void* argument);

// A recorded value that this build cannot read. Workflow code: the run goes to the dead letter, resumable after the fix. Elsewhere: throws it.
[[noreturn]] void undecodable_record(const CodecError& error);

template <class R>
R decode_result(const std::string& text, const std::string& id) {
  std::optional<R> value;
  auto decode = [&] {
    try {
      value.emplace(Codec<R>::decode(text, "result of workflow " + id));
    } catch (const CodecError& e) {
      undecodable_record(e);
    }
  };
  off_fiber([](void* f) { (*static_cast<decltype(decode)*>(f))(); }, &decode);
  return std::move(*value);
}

}  // namespace detail

// A small copyable value; destroying it never cancels. Thread safety: all members from any thread.
// Inside a workflow, result() parks the workflow and is recorded; inside a step body it lends the pool another thread.
template <class R>
class Handle {
 public:
  explicit Handle(std::shared_ptr<detail::HandleState> state) : state_(std::move(state)) {}

  const std::string& id() const noexcept { return state_->id(); }

  // Waits for the end. Throws WorkflowFailed, Cancelled, DeadLetter, NotFound, ConnectionError, CodecError.
  R result() const { return get(std::nullopt); }
  // As result(), but throws Timeout when the workflow has not ended in time.
  R result(Milliseconds timeout) const { return get(timeout); }

  // Returns once the start is durable (post() returns before that); throws what start() would have thrown.
  void wait_durable() const { state_->wait_durable(); }

  WorkflowInfo info() const { return state_->info(); }
  Status status() const { return state_->info().status; }

 private:
  R get(std::optional<Milliseconds> timeout) const {
    std::string text = state_->result_text(timeout);
    if constexpr (!std::is_void_v<R>) return detail::decode_result<R>(text, state_->id());
  }

  std::shared_ptr<detail::HandleState> state_;
};

}  // namespace dbos
