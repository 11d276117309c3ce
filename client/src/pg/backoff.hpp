// Waiting times between attempts: start × 2^n up to longest, each times 0.5 … 1.5, so that many clients do not come back at once.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace dbos::detail::pg {

class Backoff {
 public:
  Backoff(std::chrono::milliseconds start, std::chrono::milliseconds longest, std::uint64_t seed)
      : start_(start), longest_(longest), next_(start), random_(seed) {}

  std::chrono::milliseconds next() {
    auto base = next_;
    next_ = std::min(next_ * 2, longest_);
    return std::chrono::duration_cast<std::chrono::milliseconds>(base * jitter_(random_));
  }
  void reset() noexcept { next_ = start_; }

 private:
  std::chrono::milliseconds start_, longest_, next_;
  std::minstd_rand random_;
  std::uniform_real_distribution<double> jitter_{0.5, 1.5};
};

}  // namespace dbos::detail::pg
