// OverflowWatch: names the workflow whose stack overflowed before the process dies of it.
#pragma once

#include <cstddef>

namespace dbos::detail {

// While it lives, a stack overflow on this thread, be it on a fiber or in a body outside() it, is reported on stderr with the fiber's
// label: "stack overflow in workflow <label>". Then the process ends as it would have: through the handler that was there before, or by
// the signal. One per carrier, made and destroyed on it; on other threads an overflow stays silent. The process-wide handlers for SIGSEGV
// and SIGBUS are installed by the first watch, stay, and pass on every fault that is no overflow. Without memory there is no watch.
class OverflowWatch {
 public:
  OverflowWatch() noexcept;
  ~OverflowWatch();
  OverflowWatch(const OverflowWatch&) = delete;
  OverflowWatch& operator=(const OverflowWatch&) = delete;

 private:
  void* memory_;
  void* previous_memory_ = nullptr;
  std::size_t previous_size_ = 0;
  int previous_flags_ = 0;
};

}  // namespace dbos::detail
