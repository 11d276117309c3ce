// Steps of any process share a limit: two calls at a time, and when the service says "later", nobody calls until then.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <dbos/dbos.hpp>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

// A service that takes 20 ms for a call and says once that it is busy.
struct Service {
  std::atomic<int> inside = 0, most = 0;
  std::atomic<bool> busy = true;

  int charge(int cents) {
    most = std::max<int>(most, ++inside);
    std::this_thread::sleep_for(20ms);
    --inside;
    if (cents == 300 && busy.exchange(false)) throw dbos::RetryAfter(50ms);  // what a Retry-After header says
    return cents;
  }
};

int main(int argc, char** argv) {
  Service service;
  dbos::Runtime app({.application = "limits", .database = argc > 1 ? argv[1] : "postgresql:///dbos_sys", .version = "limits-1"});
  app.limit("payments", {.rate = 50, .per = 1s, .burst = 5, .concurrency = 2, .weights = {{"gold", 3}}});
  auto pay = app.workflow("pay", [&](dbos::Context& ctx, std::string tenant, int cents) {
    return ctx.step("charge", {.limit = "payments", .limit_key = tenant}, [&] { return service.charge(cents); });
  });
  app.launch();
  std::vector<dbos::Handle<int>> handles;
  for (int i = 1; i <= 6; i++) handles.push_back(pay.start({}, i % 2 == 0 ? "gold" : "silver", 100 * i));
  for (auto& handle : handles) std::printf("charged %d\n", handle.result());
  std::printf("%s\n", service.most <= 2 ? "never more than two at once" : "too many at once");
}
