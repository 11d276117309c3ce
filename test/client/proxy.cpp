#include "proxy.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <stdexcept>

namespace dbos::testing {

namespace {

bool send_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    auto sent = ::send(fd, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

int connect_unix(const std::string& path) {
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

}  // namespace

Proxy::Proxy(std::string socket_path) : socket_path_(std::move(socket_path)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 64) != 0)
    throw std::runtime_error("no port for the proxy");
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

Proxy::~Proxy() {
  quit_ = true;
  acceptor_.join();
  for (auto& server : servers_) server.join();
  ::close(listener_);
}

void Proxy::accept_loop() {
  while (!quit_) {
    pollfd fd{listener_, POLLIN, 0};
    if (::poll(&fd, 1, 20) <= 0) continue;
    int client = ::accept(listener_, nullptr, nullptr);
    if (client < 0) continue;
    ++accepted_;
    if (mode_ == Mode::refuse) {
      ::close(client);
      continue;
    }
    servers_.emplace_back([this, client] { serve(client); });
  }
}

void Proxy::serve(int client) {
  int server = connect_unix(socket_path_);
  std::array<char, 65536> buffer;
  bool open = server >= 0;
  while (open && !quit_) {
    if (mode_ == Mode::silent) {
      ::poll(nullptr, 0, 5);
      continue;
    }
    pollfd fds[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    if (::poll(fds, 2, 20) <= 0) continue;
    for (int from = 0; from < 2 && open; ++from) {
      if (fds[from].revents == 0) continue;
      auto got = ::recv(fds[from].fd, buffer.data(), buffer.size(), 0);
      open = got > 0;
      if (open && from == 1 && mode_ == Mode::swallow_reply) {
        ++cut_;
        open = false;
      } else if (open) {
        open = send_all(fds[1 - from].fd, buffer.data(), static_cast<std::size_t>(got));
      }
    }
  }
  ::close(client);
  if (server >= 0) ::close(server);
}

}  // namespace dbos::testing
