// Stacks of fibers: mapped memory above a guard, reused when a fiber has ended. Knows nothing of fibers.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "dbos/error.hpp"

namespace dbos::detail {

// No stack can be had: the pool's limit is reached, or the kernel maps no more. Nothing has changed; runs that wait without a stack must
// go on waiting until others have ended.
struct StackLimit : Error {
  using Error::Error;
};

// A borrowed stack. The usable bytes are [bottom, bottom + size); the guard lies directly below them.
struct Stack {
  char* bottom = nullptr;
  std::size_t size = 0;
  std::size_t guard = 0;

  char* top() const noexcept { return bottom + size; }
  bool guards(const void* address) const noexcept {
    auto* at = static_cast<const char*>(address);
    return at >= bottom - guard && at < bottom;
  }
};

// Thread safety: all members may be called from any thread. The pool must outlive the fibers that borrow from it.
class StackPool {
 public:
  // Pages are touched on first use only, so a large stack costs address space, not memory.
  static constexpr std::size_t default_bytes = 256 * 1024;
  // Each stack splits the process's mappings in two, and the kernel's default allows 65,530 of them: 20,000 leaves room for threads.
  static constexpr std::size_t default_limit = 20000;
  // Freed stacks kept for reuse; the rest goes back to the kernel, which forgets the memory that they touched.
  static constexpr std::size_t default_cached = 1024;

  explicit StackPool(std::size_t bytes = default_bytes, std::size_t limit = default_limit, std::size_t cached = default_cached);
  ~StackPool();  // unmaps what is cached; abandoned stacks stay mapped
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  // Throws StackLimit.
  Stack acquire();
  void release(Stack stack) noexcept;
  // The stack's frames will never be left: it stays mapped for ever and keeps counting as in use.
  void abandon(Stack stack) noexcept;

  std::size_t in_use() const;
  std::size_t cached() const;
  std::size_t abandoned() const;
  std::size_t limit() const noexcept { return limit_; }

 private:
  const std::size_t bytes_;
  const std::size_t limit_;
  const std::size_t cache_limit_;
  mutable std::mutex mutex_;
  std::vector<char*> free_;  // bottoms; last in, first out: the warmest first
  std::size_t in_use_ = 0;
  std::size_t abandoned_ = 0;
};

}  // namespace dbos::detail
