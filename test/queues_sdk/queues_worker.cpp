// A worker on dbos::Runtime: queues_worker URI APPLICATION LOG [QUEUE…]. As worker.mjs, but it serves the queues that are named.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <dbos/dbos.hpp>
#include <thread>

namespace {

// One write each: lines of several threads and processes do not mix.
class Log {
 public:
  Log(const char* path, std::string executor) : file_(open(path, O_WRONLY | O_APPEND | O_CREAT, 0644)), executor_(std::move(executor)) {}
  void note(const std::string& id, const char* edge) const {
    auto now = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    std::string line = executor_ + "\t" + id + "\t" + edge + "\t" + std::to_string(now) + "\n";
    if (write(file_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) throw std::runtime_error("the log cannot be written");
  }

 private:
  int file_;
  std::string executor_;
};

// Blocked in every thread that is started later, so that sigwait() alone sees it.
sigset_t block_termination() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: queues_worker URI APPLICATION LOG [QUEUE...]\n", stderr);
    return 2;
  }
  auto signals = block_termination();
  try {
    dbos::Runtime runtime(
        {.application = argv[2], .database = argv[1], .version = argv[2] + std::string("-1"), .log = [](dbos::LogLevel, std::string_view line) {
           std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
         }});
    Log log(argv[3], runtime.executor_id());
    runtime.workflow("job", [&](dbos::Context& ctx, std::string id, int ms) {
      ctx.step("work", [&] {
        log.note(id, "begin");
        std::this_thread::sleep_for(std::chrono::milliseconds(ms));
        log.note(id, "end");
      });
      return id;
    });
    runtime.workflow("echo", [](dbos::Context&, std::string text) { return text; });
    // The rows are there: their limits are the test's.
    for (int i = 4; i < argc; ++i) runtime.queue(argv[i], {.on_conflict = dbos::QueueConflict::never_update});
    runtime.launch();
    if (write(3, "ready\n", 6) != 6) return 1;
    int signal = 0;
    sigwait(&signals, &signal);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "queues_worker: %s\n", e.what());
    return 1;
  }
  return 0;
}
