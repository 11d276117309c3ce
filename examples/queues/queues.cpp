// One process enqueues by a signature that both share, another serves the queue: two at a time, urgent ones first.
#include <chrono>
#include <cstdio>
#include <dbos/dbos.hpp>
#include <string>
#include <thread>
#include <vector>

namespace contract {  // a header that both processes include
inline constexpr dbos::Signature<int(std::string, int)> resize{"resize"};
}

int resize(dbos::Context& ctx, std::string image, int columns) {
  return ctx.step("resize", [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return static_cast<int>(image.size()) * columns;
  });
}

int main(int argc, char** argv) {
  std::string database = argc > 1 ? argv[1] : "postgresql:///dbos_sys";

  // The side that asks for work. Nothing serves the queue yet: the workflows wait in the database.
  dbos::Client web({.database = database, .application = "queues"});
  web.register_queue("images", {.worker_concurrency = 2});
  std::vector<dbos::Handle<int>> handles;
  for (int i = 0; i < 6; i++) {
    std::string image = "image-" + std::to_string(i);
    handles.push_back(web.enqueue(contract::resize, "images", {.id = image, .priority = i == 5 ? 0 : 10}, image, i));
  }
  try {
    web.enqueue(contract::resize, "images", {.id = "first", .deduplication_id = "logo"}, "logo", 1);
    web.enqueue(contract::resize, "images", {.id = "second", .deduplication_id = "logo"}, "logo", 2);
  } catch (const dbos::Deduplicated& e) {
    std::printf("already waiting as %s\n", e.workflow_id().c_str());
  }

  // The side that works.
  dbos::Runtime worker({.application = "queues", .database = database, .version = "queues-1"});
  worker.workflow(contract::resize, resize);
  worker.queue("images", {.worker_concurrency = 2});
  worker.launch();
  for (const auto& handle : handles) std::printf("%s: %d\n", handle.id().c_str(), handle.result());
  std::printf("first: %d\n", web.handle<int>("first").result());
}
