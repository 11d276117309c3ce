#include "engine/overflow.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <string_view>

#include "engine/fiber.hpp"

namespace dbos::detail {
namespace {

// Roomy, because handlers that were installed before ours (crash reporters) run on it too.
constexpr std::size_t handler_stack_bytes = 64 * 1024;

struct sigaction previous_segv;
struct sigaction previous_bus;

// Where an overflow of this thread's own stack faults. Initial-exec, because a signal handler must not be the one that allocates it.
struct GuardRange {
  const char* low;
  const char* high;
};
[[gnu::tls_model("initial-exec")]] constinit thread_local GuardRange thread_guard{nullptr, nullptr};

// One write(2), so that messages of several threads do not mix. Only what is safe in a signal handler.
void say(std::string_view label, std::string_view where) noexcept {
  char text[600];
  std::size_t length = 0;
  auto add = [&](std::string_view part, std::size_t most) {
    const std::size_t n = std::min(part.size(), most);
    std::memcpy(text + length, part.data(), n);
    length += n;
  };
  add("stack overflow in workflow ", 64);
  add(label, 400);
  add(where, 120);
  add("\n", 1);
  while (write(STDERR_FILENO, text, length) < 0 && errno == EINTR) {
  }
}

void report_overflow(const void* address) noexcept {
  const Fiber* fiber = Fiber::hosted();
  if (fiber == nullptr) return;
  const auto* at = static_cast<const char*>(address);
  if (fiber->stack().guards(at)) say(fiber->label(), " (its code between steps; a step body has the thread's whole stack)");
  else if (at >= thread_guard.low && at < thread_guard.high) say(fiber->label(), " (in a step body)");
}

void pass_on(const struct sigaction& previous, int signal, siginfo_t* info, void* context) {
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else if (info->si_code > 0 || previous.sa_handler == SIG_DFL) {
    // A fault comes back when the instruction is repeated; a signal that was sent has to be sent again.
    std::signal(signal, SIG_DFL);
    if (info->si_code <= 0) raise(signal);
  }
}

void on_fault(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  if (info->si_code > 0) report_overflow(info->si_addr);
  pass_on(signal == SIGSEGV ? previous_segv : previous_bus, signal, info, context);
  errno = saved;
}

void install_handlers() {
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &previous_segv);
  sigaction(SIGBUS, &action, &previous_bus);
}

// The guard is counted into the stack by some versions of the C library and not by others: both places are taken.
GuardRange find_thread_guard() noexcept {
  pthread_attr_t attributes;
  if (getpid() == gettid() || pthread_getattr_np(pthread_self(), &attributes) != 0) return {nullptr, nullptr};
  void* low = nullptr;
  std::size_t size = 0;
  std::size_t guard = 0;
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_getguardsize(&attributes, &guard);
  pthread_attr_destroy(&attributes);
  auto* edge = static_cast<const char*>(low);
  return {edge - guard, edge + guard};
}

}  // namespace

OverflowWatch::OverflowWatch() noexcept
    : memory_(mmap(nullptr, handler_stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
  if (memory_ == MAP_FAILED) return;
  static std::once_flag installed;
  std::call_once(installed, install_handlers);
  thread_guard = find_thread_guard();
  stack_t mine = {};
  mine.ss_sp = memory_;
  mine.ss_size = handler_stack_bytes;
  stack_t previous = {};
  sigaltstack(&mine, &previous);
  previous_memory_ = previous.ss_sp;
  previous_size_ = previous.ss_size;
  previous_flags_ = previous.ss_flags;
}

OverflowWatch::~OverflowWatch() {
  if (memory_ == MAP_FAILED) return;
  thread_guard = {nullptr, nullptr};
  stack_t previous = {};
  previous.ss_sp = previous_memory_;
  previous.ss_size = previous_size_;
  previous.ss_flags = previous_flags_;
  sigaltstack(&previous, nullptr);
  munmap(memory_, handler_stack_bytes);
}

}  // namespace dbos::detail
