#include "engine/stack.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "engine/sanitizers.hpp"

#if DBOS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace dbos::detail {
namespace {

// More than one page, so that a function with a few large locals cannot step over it into the neighbour's stack.
constexpr std::size_t guard_bytes = 64 * 1024;
constexpr std::size_t smallest_stack = 16 * 1024;

std::size_t whole_pages(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

[[noreturn]] void throw_unmappable(std::size_t in_use, int error) {
  throw StackLimit("the kernel maps no further fiber stack after " + std::to_string(in_use) + ": " + std::strerror(error), {}, {},
                   "lower the number of runs that may keep a stack, or raise vm.max_map_count or the memory limit");
}

// nullptr, with errno set, when the kernel refuses.
char* map_stack(std::size_t guard, std::size_t size) {
  void* memory = mmap(nullptr, guard + size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  char* bottom = static_cast<char*>(memory) + guard;
  if (mprotect(bottom, size, PROT_READ | PROT_WRITE) != 0) {
    const int error = errno;
    munmap(memory, guard + size);
    errno = error;
    return nullptr;
  }
#if DBOS_ASAN
  // Objects that only a parked fiber refers to are not leaks.
  __lsan_register_root_region(bottom, size);
#endif
  return bottom;
}

void unmap_stack(char* bottom, std::size_t guard, std::size_t size) noexcept {
#if DBOS_ASAN
  __lsan_unregister_root_region(bottom, size);
#endif
  munmap(bottom - guard, guard + size);
}

}  // namespace

StackPool::StackPool(std::size_t bytes, std::size_t limit, std::size_t cached)
    : bytes_(whole_pages(std::max(bytes, smallest_stack))), limit_(limit), cache_limit_(std::min(cached, limit)) {
  free_.reserve(cache_limit_);  // release() must not allocate
}

StackPool::~StackPool() {
  for (char* bottom : free_) unmap_stack(bottom, whole_pages(guard_bytes), bytes_);
}

Stack StackPool::acquire() {
  const std::size_t guard = whole_pages(guard_bytes);
  std::unique_lock lock(mutex_);
  if (in_use_ >= limit_)
    throw StackLimit("all " + std::to_string(limit_) + " fiber stacks are in use", {}, {},
                     "let runs that wait give up their stack earlier, or raise the limit");
  ++in_use_;
  if (!free_.empty()) {
    char* bottom = free_.back();
    free_.pop_back();
    return {bottom, bytes_, guard};
  }
  lock.unlock();
  char* bottom = map_stack(guard, bytes_);
  if (bottom != nullptr) return {bottom, bytes_, guard};
  const int error = errno;
  lock.lock();
  throw_unmappable(--in_use_, error);
}

void StackPool::release(Stack stack) noexcept {
#if DBOS_ASAN
  // The frames that the last fiber never returned from left their red zones behind.
  ASAN_UNPOISON_MEMORY_REGION(stack.bottom, stack.size);
#endif
  {
    std::lock_guard lock(mutex_);
    --in_use_;
    if (free_.size() < cache_limit_) {
      free_.push_back(stack.bottom);
      return;
    }
  }
  unmap_stack(stack.bottom, stack.guard, stack.size);
}

void StackPool::abandon(Stack) noexcept {
  std::lock_guard lock(mutex_);
  ++abandoned_;
}

std::size_t StackPool::in_use() const {
  std::lock_guard lock(mutex_);
  return in_use_;
}

std::size_t StackPool::cached() const {
  std::lock_guard lock(mutex_);
  return free_.size();
}

std::size_t StackPool::abandoned() const {
  std::lock_guard lock(mutex_);
  return abandoned_;
}

}  // namespace dbos::detail
