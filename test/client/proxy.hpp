// A TCP proxy in front of a server's Unix socket, with the faults of networks on demand: swallowed replies, silence, resets.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace dbos::testing {

class Proxy {
 public:
  enum class Mode {
    forward,
    swallow_reply,  // what the server says next is dropped, then the connection is cut: the client cannot know what happened
    silent,         // nothing is forwarded either way, the connection stays
    refuse,         // new connections are closed at once
  };

  explicit Proxy(std::string socket_path);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  int port() const noexcept { return port_; }
  void set(Mode mode) noexcept { mode_ = mode; }
  // Connections cut by swallow_reply so far.
  int cut() const noexcept { return cut_; }
  int accepted() const noexcept { return accepted_; }

 private:
  void accept_loop();
  void serve(int client);

  std::string socket_path_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<Mode> mode_{Mode::forward};
  std::atomic<int> cut_{0};
  std::atomic<int> accepted_{0};
  std::atomic<bool> quit_{false};
  std::vector<std::thread> servers_;  // of the accepting thread, and of the destructor after that has ended
  std::thread acceptor_;
};

}  // namespace dbos::testing
