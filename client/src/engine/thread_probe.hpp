// ThreadProbe: what a thread is doing, seen from another one.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <ctime>

namespace dbos::detail {

class ThreadProbe {
 public:
  // Of nobody: asleep, no processor time.
  ThreadProbe() = default;
  // Of the calling thread.
  static ThreadProbe of_this_thread() noexcept;

  // Whether the thread waits for something other than a processor. A thread that is ready and waits for its turn is not asleep: that
  // tells a blocking body from a machine that is busy. True where the kernel does not say.
  bool asleep() const noexcept;
  // Processor time that the thread has used; zero when it has ended.
  std::chrono::nanoseconds processor_time() const noexcept;

 private:
  pid_t thread_ = 0;
  clockid_t clock_ = -1;
};

}  // namespace dbos::detail
