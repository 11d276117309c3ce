// The slow outside world of the bench: delay MS. Listens on a free port of 127.0.0.1, prints it, answers each byte with one byte MS
// milliseconds later, and ends with its standard input. One thread; all answers wait equally long, so they leave in the order they came.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>
#include <unordered_map>

namespace {

using Clock = std::chrono::steady_clock;

int checked(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
  return result;
}

class DelayServer {
 public:
  explicit DelayServer(std::chrono::milliseconds delay) : delay_(delay) {
    listener_ = checked(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    checked(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
    checked(listen(listener_, 4096), "listen");
    watch(listener_);
    watch(STDIN_FILENO);
  }

  int port() const {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    checked(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
    return ntohs(address.sin_port);
  }

  void run() {
    std::array<epoll_event, 256> events;
    while (open_) {
      int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), until_next_answer());
      if (ready < 0 && errno != EINTR) checked(ready, "epoll_wait");
      for (int i = 0; i < ready; ++i) handle(events[static_cast<std::size_t>(i)].data.fd);
      answer_due();
    }
  }

 private:
  struct Answer {
    Clock::time_point due;
    int fd;
    // Of the connection that asked: a number that is used again belongs to another.
    unsigned serial;
    std::size_t bytes;
  };

  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }

  int until_next_answer() const {
    if (answers_.empty()) return -1;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(answers_.front().due - Clock::now());
    return static_cast<int>(std::max<std::int64_t>(0, left.count()));
  }

  void handle(int fd) {
    if (fd == listener_) accept_all();
    else read_from(fd);
  }

  void accept_all() {
    for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      serials_[fd] = ++last_serial_;
      watch(fd);
    }
  }

  void read_from(int fd) {
    std::array<char, 4096> buffer;
    ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (fd == STDIN_FILENO) {
      open_ = got > 0;
    } else if (got <= 0) {
      serials_.erase(fd);
      close(fd);
    } else {
      answers_.push_back({Clock::now() + delay_, fd, serials_.at(fd), static_cast<std::size_t>(got)});
    }
  }

  void answer_due() {
    static constexpr std::array<char, 4096> zeros{};
    auto now = Clock::now();
    for (; !answers_.empty() && answers_.front().due <= now; answers_.pop_front()) {
      const Answer& answer = answers_.front();
      auto found = serials_.find(answer.fd);
      if (found == serials_.end() || found->second != answer.serial) continue;
      // Fits any socket buffer: a client has one question under way.
      if (send(answer.fd, zeros.data(), answer.bytes, MSG_NOSIGNAL) < 0) std::perror("delay: send");
    }
  }

  std::chrono::milliseconds delay_;
  int epoll_ = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  int listener_ = -1;
  bool open_ = true;
  unsigned last_serial_ = 0;
  std::unordered_map<int, unsigned> serials_;
  std::deque<Answer> answers_;
};

}  // namespace

int main(int argc, char** argv) {
  int delay = -1;
  if (argc == 2) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), delay);
  if (delay < 0) {
    std::fprintf(stderr, "usage: delay MILLISECONDS\n");
    return 2;
  }
  try {
    DelayServer server{std::chrono::milliseconds(delay)};
    std::printf("%d\n", server.port());
    std::fflush(stdout);
    server.run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "delay: %s\n", e.what());
    return 1;
  }
}
