// Everything the library throws on purpose. One base carries the data; a leaf exists only where a caller would act differently.
#pragma once

#include <algorithm>
#include <chrono>
#include <exception>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>

namespace dbos {

// Base of all errors of this library. Thread safety: immutable once thrown.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, std::string sqlstate = {}, std::string workflow_id = {}, std::string hint = {},
                 std::source_location where = std::source_location::current())
      : std::runtime_error(message), sqlstate_(std::move(sqlstate)), workflow_id_(std::move(workflow_id)), hint_(std::move(hint)), where_(where) {}

  // The server's SQLSTATE (class WF is the extension's own), or empty when the error arose in the client.
  const std::string& sqlstate() const noexcept { return sqlstate_; }
  const std::string& workflow_id() const noexcept { return workflow_id_; }
  // The next action to take, or empty.
  const std::string& hint() const noexcept { return hint_; }
  const std::source_location& where() const noexcept { return where_; }

 private:
  std::string sqlstate_;
  std::string workflow_id_;
  std::string hint_;
  std::source_location where_;
};

// The database cannot be reached, refused the login, or is not a system database. Nothing was written: try again later.
struct ConnectionError : Error {
  using Error::Error;
};
// The connection broke after a write was sent: it may have happened or not. Repeating the call with the same id is safe.
struct InDoubt : Error {
  using Error::Error;
};
// A wait ended before what was waited for happened. The workflow is not affected.
struct Timeout : Error {
  using Error::Error;
};
// The awaited workflow was cancelled or ran into its timeout.
struct Cancelled : Error {
  using Error::Error;
};
// The awaited workflow is in the dead letter (MAX_RECOVERY_ATTEMPTS_EXCEEDED): mend the cause and resume it.
struct DeadLetter : Error {
  using Error::Error;
};
// No workflow has this id.
struct NotFound : Error {
  using Error::Error;
};
// The id belongs to a workflow of another name or class, or the transition is not allowed in the workflow's state.
struct Conflict : Error {
  using Error::Error;
};
// Another active workflow holds the deduplication id; workflow_id() names the holder.
struct Deduplicated : Error {
  using Error::Error;
};
// Replay met a recorded step of another name: the workflow's code changed or is not deterministic.
struct Nondeterminism : Error {
  using Error::Error;
};
// A value could not be encoded or decoded; the message names type, field or argument.
struct CodecError : Error {
  using Error::Error;
};
// The call is wrong whatever the database says: unknown option value, blank id, call outside its place.
struct UsageError : Error {
  using Error::Error;
};

// An error in the portable form that every DBOS SDK reads: name, message, optional code and data (both JSON text, empty = absent).
// Throw it from a workflow or a step to decide what other languages see; WorkflowFailed and StepFailed derive from it.
class PortableError : public Error {
 public:
  PortableError(std::string name, const std::string& message, std::string code_json = {}, std::string data_json = {}, std::string workflow_id = {},
                std::source_location where = std::source_location::current())
      : Error(message, {}, std::move(workflow_id), {}, where),
        name_(std::move(name)),
        code_json_(std::move(code_json)),
        data_json_(std::move(data_json)) {}

  const std::string& name() const noexcept { return name_; }
  const std::string& code_json() const noexcept { return code_json_; }
  const std::string& data_json() const noexcept { return data_json_; }

 private:
  std::string name_;
  std::string code_json_;
  std::string data_json_;
};

// The awaited workflow ended in ERROR with this recorded error.
struct WorkflowFailed : PortableError {
  using PortableError::PortableError;
};

// A step ended in this recorded error, after its last retry. Replay throws the same type with the same name and message.
class StepFailed : public PortableError {
 public:
  using PortableError::PortableError;
  // The exception of the body, only in the run that executed it: nullptr on replay, so code must not decide by it.
  const std::exception_ptr& cause() const noexcept { return cause_; }
  void set_cause(std::exception_ptr cause) noexcept { cause_ = std::move(cause); }

 private:
  std::exception_ptr cause_;
};

// Thrown by a step body: no further attempt, whatever the retry options say.
struct Permanent : Error {
  using Error::Error;
};

// Thrown by a step body when the service that it calls said so (Retry-After): nobody begins under the step's limit for `delay`, in no process,
// then this attempt is made again. It uses up none of StepOptions::retries and has no end of its own: the workflow's timeout is one.
// Without a limit the step alone waits.
class RetryAfter : public Error {
 public:
  // At least nothing, at most 30 days.
  explicit RetryAfter(std::chrono::milliseconds delay, std::source_location where = std::source_location::current())
      : Error("retry after " + std::to_string(delay.count()) + " ms", {}, {}, {}, where),
        delay_(std::clamp(delay, std::chrono::milliseconds{0}, std::chrono::milliseconds{std::chrono::hours(720)})) {}
  std::chrono::milliseconds delay() const noexcept { return delay_; }

 private:
  std::chrono::milliseconds delay_;
};

}  // namespace dbos
