// A worker on dbos::Runtime: interop_worker URI APPLICATION [QUEUE]. Serves the golden workflows and runs until SIGTERM.
// Writes `ready` to descriptor 3 when it takes work.
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "golden.hpp"

namespace {

using golden::Json;

Json canonical(dbos::Context& ctx, std::string text, std::int64_t num, std::string date, std::vector<std::string> items, Json meta, bool flag,
               golden::Empty empty) {
  ctx.set_event(golden::event_key, golden::Event{text, num, flag});
  ctx.write_stream(golden::stream_key, golden::StreamItem{text});
  ctx.close_stream(golden::stream_key);
  auto received = ctx.recv<golden::Message>(golden::topic, std::chrono::seconds(60));
  auto keys = ctx.step("keys", [&] {
    std::vector<std::string> names;
    for (const auto& [name, value] : meta.items()) names.push_back(name);
    return names;
  });
  return {{"echo_text", text}, {"echo_num", num}, {"echo_dt", date}, {"items_count", items.size()},
          {"meta_keys", keys}, {"flag", flag},    {"empty", empty},  {"received", received}};
}

Json reject_order(dbos::Context&, std::string order_id) {
  throw dbos::PortableError("NotFoundError", "Order not found", "404", Json{{"orderId", order_id}}.dump());
}

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
  if (argc != 3 && argc != 4) {
    std::fputs("usage: interop_worker URI APPLICATION [QUEUE]\n", stderr);
    return 2;
  }
  auto signals = block_termination();
  try {
    dbos::Runtime runtime({.application = argv[2], .database = argv[1], .log = [](dbos::LogLevel, std::string_view line) {
                             std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
                           }});
    runtime.workflow(golden::canonical, canonical);
    runtime.workflow(golden::reject_order, reject_order);
    runtime.queue(argc == 4 ? argv[3] : golden::queue);
    runtime.launch();
    if (write(3, "ready\n", 6) != 6) return 1;
    int signal = 0;
    sigwait(&signals, &signal);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "interop_worker: %s\n", e.what());
    return 1;
  }
  return 0;
}
