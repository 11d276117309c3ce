#include "engine/step_body.hpp"

#include <algorithm>
#include <cmath>

#include "codec/portable_error.hpp"
#include "dbos/error.hpp"
#include "engine/crashpoint.hpp"
#include "engine/engine.hpp"

namespace dbos::detail {

namespace {

Milliseconds wait_before(int attempt, const StepOptions& options) {
  // Zero times a power that is past every double is no number.
  if (options.interval.count() == 0) return options.interval;
  double wait = static_cast<double>(options.interval.count()) * std::pow(options.factor, attempt - 1);
  return Milliseconds(
      static_cast<std::int64_t>(std::min({wait, static_cast<double>(options.cap.count()), static_cast<double>(kLongestWait.count())})));
}

}  // namespace

std::string StepBody::execute() {
  for (int number = 1;; ++number) {
    run_.settle_before_body();
    if (number == 1) started_ms_ = run_.engine.server_now_ms();
    std::string output;
    auto error = attempt(number, output);
    crash_point(CrashPoint::step_after_body);
    run_.throw_if_stopped();
    if (!error) {
      record(output, std::nullopt);
      return output;
    }
    if (!may_retry(number, error)) {
      ErrorParts parts;
      Fiber::outside([&] { parts = describe_exception(error); });
      record(std::nullopt, encode_error(parts));
      StepFailed failure(parts.name, parts.message, parts.code_json, parts.data_json, run_.id);
      failure.set_cause(error);
      throw failure;
    }
    run_.wait_until(run_.engine.now() + wait_before(number, options_), false);
  }
}

std::exception_ptr StepBody::attempt(int number, std::string& output) {
  std::stop_source stop;
  {
    std::lock_guard lock(run_.engine.mu_);
    run_.stop_source = stop;
  }
  std::shared_ptr<bool> expired;
  if (options_.timeout.count() > 0) expired = run_.engine.stop_body_at(run_.engine.now() + std::min(options_.timeout, kLongestWait), stop);
  StepContext context;
  context.workflow_id_ = &run_.id;
  context.step_id_ = function_id_;
  context.attempt_ = number;
  context.stop_ = stop.get_token();
  std::exception_ptr error;
  Fiber::outside([&] {
    BodyScope scope(run_);
    try {
      output = body_(context);
    } catch (...) {
      error = std::current_exception();
    }
  });
  std::lock_guard lock(run_.engine.mu_);
  run_.stop_source.reset();
  if (expired && *expired)
    return std::make_exception_ptr(PortableError(
        "StepTimeout", "step " + std::string(name_) + " took longer than " + std::to_string(options_.timeout.count()) + " ms", {}, {}, run_.id));
  if (!error && output.size() > run_.engine.options().max_payload)
    return std::make_exception_ptr(Permanent("result of step " + std::string(name_) + " has " + std::to_string(output.size()) + " bytes, at most " +
                                                 std::to_string(run_.engine.options().max_payload) + " are allowed",
                                             "WF001", run_.id, "return a reference to the data instead"));
  return error;
}

bool StepBody::may_retry(int number, const std::exception_ptr& error) {
  if (number > options_.retries) return false;
  bool retry = true;
  Fiber::outside([&] {
    BodyScope scope(run_);
    try {
      std::rethrow_exception(error);
    } catch (const Permanent&) {
      retry = false;
    } catch (const std::exception& e) {
      retry = !options_.retry_if || options_.retry_if(e);
    } catch (...) {
      retry = !options_.retry_if;
    }
  });
  return retry;
}

void StepBody::record(std::optional<std::string> output, std::optional<std::string> error) {
  run_.record({.run = 0,
               .function_id = function_id_,
               .name = std::string(name_),
               .output = std::move(output),
               .error = std::move(error),
               .started_ms = started_ms_,
               .completed_ms = std::max(run_.engine.server_now_ms(), started_ms_)});
}

}  // namespace dbos::detail
