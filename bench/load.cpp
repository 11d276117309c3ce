// Our side of the bench: load MODE --database URI --steps N --count N --in-flight N --warm-up N [--delay-port PORT]
//   direct   starts workflows and awaits their results, --in-flight at a time
//   enqueue  puts them on a queue that no process serves
//   drain    serves that queue, or with --queues N those named bench-1 … bench-N without a limit, until --count workflows were run
// Talks with bench/run over standard input and output: prints `ready`, waits for a line, works, prints `done {…}` (CLOCK_MONOTONIC times),
// waits for the end of its input. sdk.mjs does the same with the TypeScript SDK.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "dbos/dbos.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* queue_name = "bench";

std::int64_t now_ns() { return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count(); }

struct Arguments {
  std::string mode;
  std::string database;
  std::int64_t steps = 0;
  std::int64_t count = 0;
  std::int64_t in_flight = 0;
  std::int64_t warm_up = 0;
  std::int64_t delay_port = 0;
  std::int64_t queues = 0;
};

std::int64_t number(const std::string& option, const std::string& text) {
  std::int64_t value = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) {
    throw std::invalid_argument(option + " '" + text + "': want a whole number");
  }
  return value;
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  if (argc % 2 != 0 || argc < 2) throw std::invalid_argument("want MODE and pairs of --option value");
  a.mode = argv[1];
  for (int i = 2; i < argc; i += 2) {
    std::string option = argv[i], value = argv[i + 1];
    if (option == "--database") a.database = value;
    else if (option == "--steps") a.steps = number(option, value);
    else if (option == "--count") a.count = number(option, value);
    else if (option == "--in-flight") a.in_flight = number(option, value);
    else if (option == "--warm-up") a.warm_up = number(option, value);
    else if (option == "--delay-port") a.delay_port = number(option, value);
    else if (option == "--queues") a.queues = number(option, value);
    else throw std::invalid_argument("unknown option " + option);
  }
  if (a.mode != "direct" && a.mode != "enqueue" && a.mode != "drain") {
    throw std::invalid_argument("mode '" + a.mode + "': want direct, enqueue or drain");
  }
  if (a.in_flight == 0) throw std::invalid_argument("--in-flight is missing");
  return a;
}

// A connection to the server that answers late; each thread that runs step bodies keeps its own.
class DelayConnection {
 public:
  explicit DelayConnection(std::int64_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
  }
  ~DelayConnection() { close(fd_); }
  DelayConnection(const DelayConnection&) = delete;
  DelayConnection& operator=(const DelayConnection&) = delete;

  std::int64_t ask() {
    char byte = '\n';
    if (send(fd_, &byte, 1, MSG_NOSIGNAL) != 1) fail("send");
    ssize_t got = recv(fd_, &byte, 1, 0);
    if (got != 1) fail("recv");
    return got;
  }

 private:
  [[noreturn]] static void fail(const char* what) { throw std::runtime_error(std::string("delay server: ") + what + ": " + std::strerror(errno)); }
  int fd_;
};

std::int64_t ask_late(std::int64_t port) {
  thread_local DelayConnection connection{port};
  return connection.ask();
}

// What the workflow's code saw: when the first run began, and when the last one returned.
class Progress {
 public:
  void began() {
    std::int64_t none = 0;
    if (first_ns.load(std::memory_order_relaxed) == 0) first_ns.compare_exchange_strong(none, now_ns());
  }
  void ended(std::int64_t total) {
    if (ended_.fetch_add(1) + 1 != total) return;
    last_ns = now_ns();
    last_ns.notify_all();
  }
  void reset() { first_ns = last_ns = ended_ = 0; }
  void wait_for_last() const { last_ns.wait(0); }

  std::atomic<std::int64_t> first_ns{0};
  std::atomic<std::int64_t> last_ns{0};

 private:
  std::atomic<std::int64_t> ended_{0};
};

class Load {
 public:
  explicit Load(const Arguments& arguments)
      : a_(arguments),
        runtime_(
            {.application = "bench", .database = a_.database, .max_blocking_steps = a_.delay_port == 0 ? 512U : static_cast<unsigned>(a_.in_flight)}),
        workflow_(runtime_.workflow("load", [this](dbos::Context& context, std::int64_t n) { return run(context, n); })) {
    if (a_.mode == "drain" && a_.queues == 0) runtime_.queue(queue_name, {.worker_concurrency = static_cast<int>(a_.in_flight)});
    else if (a_.mode == "drain")
      for (std::int64_t i = 1; i <= a_.queues; ++i) runtime_.queue(std::string(queue_name) + "-" + std::to_string(i));
    else runtime_.launch();
    if (a_.mode == "enqueue") runtime_.register_queue(queue_name, {});
  }

  void warm_up() {
    if (a_.mode != "drain") start_and_await(a_.warm_up);
    progress_.reset();
    latencies_.clear();
  }

  void work() {
    started_ns_ = now_ns();
    if (a_.mode == "direct") start_and_await(a_.count);
    else if (a_.mode == "enqueue") enqueue();
    else drain();
    ended_ns_ = a_.mode == "drain" ? progress_.last_ns.load() : now_ns();
    if (a_.mode == "drain") started_ns_ = progress_.first_ns;
  }

  void report() {
    std::sort(latencies_.begin(), latencies_.end());
    std::printf("done {\"started_ns\": %lld, \"ended_ns\": %lld, \"p50_ns\": %lld, \"p99_ns\": %lld}\n", as_long(started_ns_), as_long(ended_ns_),
                as_long(quantile(50)), as_long(quantile(99)));
    std::fflush(stdout);
  }

 private:
  using Handle = dbos::Handle<std::int64_t>;
  struct Started {
    std::int64_t n;
    std::int64_t at_ns;
    Handle handle;
  };

  std::int64_t run(dbos::Context& context, std::int64_t n) {
    progress_.began();
    std::int64_t sum = n;
    for (std::int64_t i = 1; i <= a_.steps; ++i) {
      sum += context.step("work", [&] { return a_.delay_port == 0 ? i : ask_late(a_.delay_port); });
    }
    progress_.ended(a_.count);
    return sum;
  }

  void start_and_await(std::int64_t total) {
    std::deque<Started> window;
    for (std::int64_t n = 0; n < total || !window.empty();) {
      if (n < total && static_cast<std::int64_t>(window.size()) < a_.in_flight) {
        auto at = now_ns();
        window.push_back({n, at, workflow_.post(n)});
        ++n;
      } else {
        await(window.front());
        window.pop_front();
      }
    }
  }

  void await(const Started& started) {
    std::int64_t result = started.handle.result();
    latencies_.push_back(now_ns() - started.at_ns);
    std::int64_t expected = started.n + (a_.delay_port == 0 ? a_.steps * (a_.steps + 1) / 2 : a_.steps);
    if (result == expected) return;
    throw std::runtime_error("workflow " + std::to_string(started.n) + " returned " + std::to_string(result) + ", not " + std::to_string(expected));
  }

  void enqueue() {
    std::deque<Handle> window;
    for (std::int64_t n = 0; n < a_.count || !window.empty();) {
      if (n < a_.count && static_cast<std::int64_t>(window.size()) < a_.in_flight) {
        window.push_back(workflow_.post_to(queue_name, {}, n));
        ++n;
      } else {
        window.front().wait_durable();
        window.pop_front();
      }
    }
  }

  void drain() {
    runtime_.launch();
    progress_.wait_for_last();
  }

  std::int64_t quantile(std::size_t percent) const {
    return latencies_.empty() ? 0 : latencies_[std::min(latencies_.size() - 1, latencies_.size() * percent / 100)];
  }
  static long long as_long(std::int64_t value) { return value; }

  const Arguments& a_;
  Progress progress_;
  std::vector<std::int64_t> latencies_;
  std::int64_t started_ns_ = 0;
  std::int64_t ended_ns_ = 0;
  // Last, so that no run outlives what it uses.
  dbos::Runtime runtime_;
  dbos::Workflow<std::int64_t(std::int64_t)> workflow_;
};

void wait_for_line() {
  std::string line;
  std::getline(std::cin, line);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Arguments arguments = parse(argc, argv);
    Load load(arguments);
    load.warm_up();
    std::puts("ready");
    std::fflush(stdout);
    wait_for_line();
    load.work();
    load.report();
    wait_for_line();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "load: %s\n", e.what());
    return 1;
  }
}
