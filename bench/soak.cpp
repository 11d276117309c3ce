// Our side of the soak: soak --database URI --rate N --seconds N --in-flight N. soak.mjs does the same with the TypeScript SDK.
// Starts workflows of one step at an even rate, whatever the earlier ones do, but never more than --in-flight of them at once, and awaits each.
// Prints `ready`, waits for a line, then each second `second {…}` with what ended in it, at last `done {…}`; waits for the end of its input.
// A latency goes from when the workflow was due to start to when its result is here.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <future>
#include <iostream>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dbos/dbos.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using Handle = dbos::Handle<std::int64_t>;

struct Arguments {
  std::string database;
  std::int64_t rate = 0;
  std::int64_t seconds = 0;
  std::int64_t in_flight = 0;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string option = argv[i];
    if (option == "--database") a.database = argv[i + 1];
    else if (option == "--rate") a.rate = std::stoll(argv[i + 1]);
    else if (option == "--seconds") a.seconds = std::stoll(argv[i + 1]);
    else if (option == "--in-flight") a.in_flight = std::stoll(argv[i + 1]);
    else throw std::invalid_argument("unknown option " + option);
  }
  if (a.rate < 1 || a.seconds < 1 || a.in_flight < 1) throw std::invalid_argument("--rate, --seconds and --in-flight want a number above 0");
  return a;
}

struct Started {
  std::int64_t n;
  Clock::time_point due;
  Handle handle;
};

// What is under way, from who starts to who awaits.
class Window {
 public:
  explicit Window(std::int64_t most) : most_(static_cast<std::size_t>(most)) {}

  // Returns when there is room; false when nobody awaits any more.
  bool wait_for_room() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return broken_ || under_way_ < most_; });
    if (!broken_) ++under_way_;
    return !broken_;
  }
  void push(Started started) {
    std::lock_guard lock(mutex_);
    started_.push_back(std::move(started));
    changed_.notify_all();
  }
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  void broken() {
    std::lock_guard lock(mutex_);
    broken_ = true;
    changed_.notify_all();
  }

  // The oldest; empty when there will be no more.
  std::optional<Started> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || !started_.empty(); });
    if (started_.empty()) return {};
    std::optional<Started> oldest(std::move(started_.front()));
    started_.pop_front();
    return oldest;
  }
  void ended() {
    std::lock_guard lock(mutex_);
    --under_way_;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Started> started_;
  const std::size_t most_;
  std::size_t under_way_ = 0;
  bool closed_ = false;
  bool broken_ = false;
};

class Seconds {
 public:
  explicit Seconds(Clock::time_point begin) : end_(begin + std::chrono::seconds(1)) {}

  void add(Clock::time_point due) {
    auto now = Clock::now();
    while (now >= end_) report();
    latencies_.push_back(std::chrono::duration<double, std::milli>(now - due).count());
    ++total_;
  }
  void report() {
    std::sort(latencies_.begin(), latencies_.end());
    std::printf("second {\"ended\": %zu, \"p50\": %.3f, \"p99\": %.3f}\n", latencies_.size(), quantile(50), quantile(99));
    std::fflush(stdout);
    latencies_.clear();
    end_ += std::chrono::seconds(1);
  }
  long long total() const { return total_; }

 private:
  double quantile(std::size_t percent) const {
    return latencies_.empty() ? 0 : latencies_[std::min(latencies_.size() - 1, latencies_.size() * percent / 100)];
  }
  std::vector<double> latencies_;
  Clock::time_point end_;
  long long total_ = 0;
};

long long await_all(Window& window, Clock::time_point begin) {
  Seconds seconds(begin);
  try {
    while (auto started = window.pop()) {
      if (auto result = started->handle.result(); result != started->n + 1)
        throw std::runtime_error("workflow " + std::to_string(started->n) + " returned " + std::to_string(result));
      window.ended();
      seconds.add(started->due);
    }
  } catch (...) {
    window.broken();
    throw;
  }
  seconds.report();
  return seconds.total();
}

// Whatever happens to who starts, who awaits comes to an end.
struct Close {
  Window& window;
  ~Close() { window.close(); }
};

void run(const Arguments& a) {
  dbos::Runtime runtime({.application = "bench", .database = a.database});
  auto work = runtime.workflow("load", [](dbos::Context& context, std::int64_t n) { return n + context.step("work", [] { return 1; }); });
  runtime.launch();
  std::puts("ready");
  std::fflush(stdout);
  std::string line;
  std::getline(std::cin, line);

  Window window(a.in_flight);
  auto begin = Clock::now();
  auto awaiter = std::async(std::launch::async, [&] { return await_all(window, begin); });
  {
    Close close{window};
    for (std::int64_t n = 0; n < a.rate * a.seconds; ++n) {
      auto due = begin + std::chrono::nanoseconds(n * 1'000'000'000 / a.rate);
      if (due - begin > Clock::now() - begin) std::this_thread::sleep_until(due);
      // Behind for good: what the window keeps back is not started later, the time is over.
      if (Clock::now() - begin >= std::chrono::seconds(a.seconds) || !window.wait_for_room()) break;
      window.push({n, due, work.post(n)});
    }
  }
  std::printf("done {\"ended\": %lld}\n", awaiter.get());
  std::fflush(stdout);
  std::getline(std::cin, line);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "soak: %s\n", e.what());
    return 1;
  }
}
