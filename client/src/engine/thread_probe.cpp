#include "engine/thread_probe.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

namespace dbos::detail {

ThreadProbe ThreadProbe::of_this_thread() noexcept {
  ThreadProbe probe;
  probe.thread_ = gettid();
  if (pthread_getcpuclockid(pthread_self(), &probe.clock_) != 0) probe.clock_ = -1;
  return probe;
}

// The state is the word after the thread's name, which stands in parentheses and may hold any character.
bool ThreadProbe::asleep() const noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", static_cast<int>(thread_));
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return true;
  char text[128];
  const ssize_t length = read(file, text, sizeof text);
  close(file);
  const std::string_view line(text, length > 0 ? static_cast<std::size_t>(length) : 0);
  const auto name_end = line.rfind(')');
  if (name_end == line.npos || name_end + 2 >= line.size()) return true;
  const char state = line[name_end + 2];
  return state == 'S' || state == 'D';
}

std::chrono::nanoseconds ThreadProbe::processor_time() const noexcept {
  timespec used = {};
  if (clock_ == -1 || clock_gettime(clock_, &used) != 0) return {};
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace dbos::detail
