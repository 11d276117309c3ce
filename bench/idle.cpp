// Our side of the idle case: idle --database URI --count N --pause-ms N. Talks as load.cpp; idle.mjs does the same with other systems.
// Enqueues one job at a time while nothing else goes on, and takes the time from before the call to the job's first line.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dbos/dbos.hpp"

namespace {

std::int64_t now_ns() { return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Hands a job's begin to the one who waits for it.
class Begin {
 public:
  void tell() {
    std::lock_guard lock(mutex_);
    at_ = now_ns();
    changed_.notify_one();
  }
  std::int64_t take() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(30), [&] { return at_ != 0; })) throw std::runtime_error("a job did not begin within 30 s");
    return std::exchange(at_, 0);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t at_ = 0;
};

void run(const std::string& database, int count, int pause_ms) {
  Begin begin;
  dbos::Runtime runtime({.application = "bench", .database = database});
  auto job = runtime.workflow("job", [&](dbos::Context&, int n) {
    begin.tell();
    return n;
  });
  runtime.queue("idle");
  runtime.launch();
  std::puts("ready");
  std::fflush(stdout);
  std::string line;
  std::getline(std::cin, line);
  std::string latencies;
  for (int n = 0; n < count; ++n) {
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms + n % 17));
    auto before = now_ns();
    auto handle = job.enqueue("idle", n);
    latencies += (n == 0 ? "" : ", ") + std::to_string(begin.take() - before);
    handle.result();
  }
  std::printf("done {\"latencies_ns\": [%s]}\n", latencies.c_str());
  std::fflush(stdout);
  std::getline(std::cin, line);
}

}  // namespace

int main(int argc, char** argv) {
  std::string database;
  int count = 0, pause_ms = 0;
  try {
    for (int i = 1; i + 1 < argc; i += 2) {
      std::string option = argv[i];
      if (option == "--database") database = argv[i + 1];
      else if (option == "--count") count = std::stoi(argv[i + 1]);
      else if (option == "--pause-ms") pause_ms = std::stoi(argv[i + 1]);
      else throw std::invalid_argument("unknown option " + option);
    }
    run(database, count, pause_ms);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "idle: %s\n", e.what());
    return 1;
  }
}
