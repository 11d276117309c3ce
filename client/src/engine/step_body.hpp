// StepBody: one step that has no record yet: attempts on the carrier's stack, back-off between them, one record at the end.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <string_view>

#include "dbos/context.hpp"
#include "engine/run.hpp"

namespace dbos::detail {

class StepBody {
 public:
  StepBody(Run& run, int function_id, std::string_view name, const StepOptions& options, const std::function<std::string(StepContext&)>& body)
      : run_(run), function_id_(function_id), name_(name), options_(options), body_(body) {}

  // On the fiber. Returns the output text, throws StepFailed or Stop.
  std::string execute();

 private:
  // Waits until the body may begin under its limit; in the first attempt the run may give up its stack for it.
  void acquire(bool may_unload);
  MonotonicTime wait_for_grant(bool may_unload);
  void release();
  // What a RetryAfter asks for, and everybody under the limit is held; nullopt for another error.
  std::optional<Milliseconds> hold_after(const std::exception_ptr& error);
  // Runs the body once; what it threw, or nullptr.
  std::exception_ptr attempt(int number, std::string& output);
  bool may_retry(int number, const std::exception_ptr& error);
  void record(std::optional<std::string> output, std::optional<std::string> error);

  Run& run_;
  int function_id_;
  std::string_view name_;
  const StepOptions& options_;
  const std::function<std::string(StepContext&)>& body_;
  std::int64_t started_ms_ = 0;
};

}  // namespace dbos::detail
