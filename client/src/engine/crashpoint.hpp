// Named points at which the process ends as by SIGKILL, for tests of durability: DBOS_SYS_CRASHPOINT=name[:n] dies at the n-th passing.
// May include: nothing of the engine. Thread safety: points may be passed by any thread.
#pragma once

#include <atomic>

namespace dbos::detail {

enum class CrashPoint : unsigned char {
  none,
  start_before_send,   // a start is packed, nothing has left
  start_after_commit,  // the reply of a start is read, its caller does not know yet
  claim_after_commit,  // the reply of a claim is read, the run has not begun
  step_after_body,     // the side effect has happened, its checkpoint has not left
  step_after_commit,   // a checkpoint is durable, the code has not gone on
  end_before_send,     // an end is packed, with the checkpoints that ride along
  end_after_commit,    // an end is durable, nobody has been told
  sleep_parked,        // a run waits for a time or a message, with its wake time durable
};

inline std::atomic<CrashPoint> armed_crash_point{CrashPoint::none};

// Reads the variable; throws UsageError for a name or number that there is not. Called when an engine opens.
void arm_crash_point();
[[gnu::cold]] void crash_at_last_passing() noexcept;

inline void crash_point(CrashPoint point) noexcept {
  if (armed_crash_point.load(std::memory_order_relaxed) == point) [[unlikely]]
    crash_at_last_passing();
}

}  // namespace dbos::detail
