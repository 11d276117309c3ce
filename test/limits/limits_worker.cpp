// An executor whose steps call a service under a limit: limits_worker URI PORT LIMIT APPLICATION EXECUTOR WORK MS
//   WORK  N: keeps N workflows in flight, of ten tenants in turn, until SIGTERM;
//         tenant:count,…: starts so many of each in turn and works until SIGTERM; -: only works
//   MS    how long the service takes for a call
// Standard output: `ready`.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <dbos/dbos.hpp>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

volatile sig_atomic_t stopped = 0;
int port = 0;

// The status of one call; 0 when there was no reply.
int call(const std::string& tenant, int ms) {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string request = "GET /call?who=cpp&key=" + tenant + "&ms=" + std::to_string(ms) + " HTTP/1.1\r\nConnection: close\r\n\r\n";
  std::string reply(4096, '\0');
  ssize_t got = 0;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()))
    got = ::recv(fd, reply.data(), reply.size(), 0);
  ::close(fd);
  return got > 12 ? std::atoi(reply.c_str() + 9) : 0;
}

// tenant:count,… as a list in turn: one of each until none is left.
std::vector<std::string> in_turn(const std::string& work) {
  std::vector<std::pair<std::string, int>> counts;
  std::istringstream parts(work);
  for (std::string part; std::getline(parts, part, ',');) {
    auto colon = part.find(':');
    counts.emplace_back(part.substr(0, colon), std::stoi(part.substr(colon + 1)));
  }
  std::vector<std::string> tenants;
  for (bool any = true; any;) {
    any = false;
    for (auto& [tenant, left] : counts) {
      if (left-- <= 0) continue;
      tenants.push_back(tenant);
      any = true;
    }
  }
  return tenants;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) {
    std::cerr << "limits_worker URI PORT LIMIT APPLICATION EXECUTOR WORK MS\n";
    return 2;
  }
  std::string limit = argv[3], work = argv[6];
  port = std::atoi(argv[2]);
  int ms = std::atoi(argv[7]);
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = 1; };
  sigaction(SIGTERM, &action, nullptr);

  std::atomic<int> in_flight = 0;
  dbos::Runtime app({.application = argv[4],
                     .database = argv[1],
                     .executor_id = argv[5],
                     .version = "1",
                     .drain_timeout = 0ms,
                     .migrate = false,
                     .log = [](dbos::LogLevel level, std::string_view text) {
                       if (level >= dbos::LogLevel::warning) std::cerr << std::string(text) + "\n";
                     }});
  auto order = app.workflow("order", [&](dbos::Context& ctx, std::string tenant) {
    struct Done {
      std::atomic<int>& count;
      ~Done() { --count; }
    } done{in_flight};
    return ctx.step("charge", {.limit = limit, .limit_key = tenant}, [&] { return call(tenant, ms); });
  });
  app.launch();
  std::cout << "ready" << std::endl;
  if (work.find(':') != std::string::npos) {
    auto tenants = in_turn(work);
    std::atomic<std::size_t> next = 0;
    std::vector<std::jthread> starters;
    for (int i = 0; i < 16; ++i) {
      starters.emplace_back([&] {
        for (auto mine = next++; mine < tenants.size(); mine = next++) order.start({}, tenants[mine]);
      });
    }
  }
  int wanted = work.find(':') == std::string::npos && work != "-" ? std::atoi(work.c_str()) : 0;
  for (int tenant = 0; stopped == 0;) {
    if (in_flight < wanted) {
      ++in_flight;
      order.start({}, "tenant-" + std::to_string(tenant++ % 10));
    } else {
      std::this_thread::sleep_for(2ms);
    }
  }
}
