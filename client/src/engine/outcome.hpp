// How a workflow ended → what its handle returns or throws.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "dbos/handle.hpp"
#include "engine/engine.hpp"
#include "store/store.hpp"

namespace dbos::detail {

// Output text of SUCCESS; throws WorkflowFailed, Cancelled, DeadLetter or NotFound otherwise.
std::string outcome_text(const WorkflowOutcome& outcome);
// The error that a workflow recorded when it awaited `id`.
[[noreturn]] void throw_awaited_error(const std::string& error_text, const std::string& id);
// As much when the record is of giving up the wait.
[[noreturn]] void throw_awaited_timeout(const std::string& error_text, const std::string& id);
// handle.result() from workflow code: parks and is recorded (context.cpp).
std::string recorded_result(Run& run, const std::string& id, std::optional<Milliseconds> timeout);

// Around a wait for a workflow: inside a step body the pool gets another carrier meanwhile, since the workflow may need one.
class BodyLend {
 public:
  BodyLend() {
    if (Run* run = current_body_run()) lend_.emplace(run->engine.carriers());
  }

 private:
  std::optional<CarrierPool::Lend> lend_;
};

// A handle of a workflow that this process started or knows by id. run may be nullptr.
class EngineHandle final : public HandleState {
 public:
  EngineHandle(std::shared_ptr<Engine> engine, std::string id, std::shared_ptr<Run> run, bool id_may_change = false)
      : engine_(std::move(engine)), id_(std::move(id)), run_(std::move(run)), id_may_change_(id_may_change) {}

  const std::string& id() const noexcept override;
  std::string result_text(std::optional<Milliseconds> timeout) override;
  void wait_durable() override;
  WorkflowInfo info() override;

 private:
  std::shared_ptr<Engine> engine_;
  std::string id_;
  std::shared_ptr<Run> run_;
  bool id_may_change_;
};

}  // namespace dbos::detail
