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

// A body that begins so much later than its grant says would be too close to the next: it asks again. The time doubles with each try, for a
// process that is always late shall get on all the same.
constexpr Milliseconds kLate{200};
// A run without a stack looks again after so long, whatever it hears.
constexpr Milliseconds kUnloaded{std::chrono::hours(1)};

}  // namespace

std::string StepBody::execute() {
  if (options_.outbound || !options_.limit.empty()) run_.engine.declare_outbound(name_, options_.limit);
  // `counted` leaves out the attempts that were told to come again later.
  for (int number = 1, counted = 1;; ++number, ++counted) {
    if (options_.limit.empty()) run_.settle_before_body();
    else acquire(number == 1);
    if (number == 1) started_ms_ = run_.engine.server_now_ms();
    std::string output;
    auto error = attempt(number, output);
    release();
    crash_point(CrashPoint::step_after_body);
    run_.throw_if_stopped();
    if (!error) {
      record(output, std::nullopt);
      return output;
    }
    if (auto delay = hold_after(error)) {
      --counted;
      if (options_.limit.empty()) run_.wait_until(run_.engine.now() + *delay, false);
      continue;
    }
    if (!may_retry(counted, error)) {
      ErrorParts parts;
      Fiber::outside([&] { parts = describe_exception(error); });
      record(std::nullopt, encode_error(parts));
      StepFailed failure(parts.name, parts.message, parts.code_json, parts.data_json, run_.id);
      failure.set_cause(error);
      throw failure;
    }
    run_.wait_until(run_.engine.now() + wait_before(counted, options_), false);
  }
}

void StepBody::acquire(bool may_unload) {
  auto& engine = run_.engine;
  for (auto late = kLate;; late *= 2) {
    auto start = wait_for_grant(may_unload);
    // The ownership check rides while the grant's time comes near; the rest of the wait is too short to need another.
    run_.settle_before_body();
    while (engine.now() < start) run_.wait_until(start, false);
    run_.unchecked = false;
    {
      std::lock_guard lock(engine.mu_);
      if (engine.now() - start <= late && !engine.limiter_.held(options_.limit, engine.now())) return;
    }
    release();
  }
}

MonotonicTime StepBody::wait_for_grant(bool may_unload) {
  auto& engine = run_.engine;
  auto patience = engine.now() + engine.options_.unload_after - Milliseconds{1};
  for (;;) {
    {
      std::lock_guard lock(engine.mu_);
      // It has its ticket already when it gave up its stack for this wait.
      if (run_.limit_ticket.empty()) {
        run_.limit_ticket = engine.limiter_.ask(run_.shared_from_this(), options_.limit, options_.limit_key);
        engine.nudge();
      }
      auto grant = engine.limiter_.grant(run_.limit_ticket);
      if (grant && grant->unknown) {
        engine.limiter_.release(std::exchange(run_.limit_ticket, {}));
        throw UsageError("step " + std::string(name_) + ": limit " + options_.limit + " is not registered", "WF040", run_.id,
                         "register it with Runtime::limit(), in SQL with register_limit(), or with dbos-sys limits");
      }
      if (grant) return grant->start;
    }
    // Far away, yet not for ever: a timer that nobody needs any more stays until then.
    bool unload = may_unload && (engine.now() >= patience || engine.stacks_.in_use() >= engine.stacks_.limit());
    auto until = unload ? std::max(engine.options_.unload_after, kUnloaded) : engine.options_.unload_after - Milliseconds{1};
    run_.wait_until(engine.now() + until, unload);
  }
}

void StepBody::release() {
  std::lock_guard lock(run_.engine.mu_);
  if (run_.limit_ticket.empty()) return;
  run_.engine.limiter_.release(std::exchange(run_.limit_ticket, {}));
  run_.engine.nudge();
}

std::optional<Milliseconds> StepBody::hold_after(const std::exception_ptr& error) {
  std::optional<Milliseconds> delay;
  Fiber::outside([&] {
    try {
      std::rethrow_exception(error);
    } catch (const RetryAfter& later) {
      delay = later.delay();
    } catch (...) {
    }
  });
  if (delay && !options_.limit.empty()) {
    std::lock_guard lock(run_.engine.mu_);
    run_.engine.limiter_.hold(options_.limit, *delay, run_.engine.now());
    run_.engine.nudge();
  }
  return delay;
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
