// Fiber: user code on a stack of its own, run by whichever thread resumes it. This is the only file that switches stacks.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <string>

#include "engine/function_ref.hpp"
#include "engine/stack.hpp"

namespace dbos::detail {

// Thread safety: one thread at a time. A fiber is handed from thread to thread by whoever schedules it, and may be resumed again only
// after the resume() before has returned; that hand-over must synchronise (a mutex, a queue).
//
// Exceptions that are being handled or unwound belong to the fiber, not to the thread: they are exchanged at each switch.
// thread_local objects belong to the thread: after suspend() the fiber may see another thread's.
class Fiber {
 public:
  // Takes a stack at once and throws StackLimit when there is none. entry must not throw (std::terminate), and is destroyed, on the
  // carrier, when it has returned.
  Fiber(StackPool& stacks, std::function<void()> entry);
  // A fiber that is parked is not unwound: its stack, and what lives on it, is leaked on purpose.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // On a plain stack: runs the fiber until it suspends or finishes. Its stack is back in the pool when it has finished.
  void resume();
  bool finished() const noexcept { return state_ == State::finished; }

  // Names the fiber in the message about a stack overflow; set it while the fiber does not run.
  void set_label(std::string label) { label_ = std::move(label); }
  const std::string& label() const noexcept { return label_; }

  // The fiber whose stack this thread is on; nullptr on a plain stack, and inside outside().
  static Fiber* current() noexcept;
  // On the fiber: returns from resume(); comes back at the next resume(), maybe on another thread.
  static void suspend();
  // On the fiber: runs body on the carrier's own stack, at once, as if called. What it throws is rethrown here; an exception that the
  // fiber is handling is visible to the body. On a plain stack: calls body.
  static void outside(FunctionRef<void()> body);

  // The fiber that this thread is in the middle of resuming, on its stack or outside() it; nullptr in none. Safe in a signal handler.
  static Fiber* hosted() noexcept;
  const Stack& stack() const noexcept { return stack_; }

 private:
  enum class State : unsigned char { fresh, running, parked, finished };

  static void main(Fiber& self) noexcept;
  friend struct FiberEntry;
  void enter() noexcept;
  void leave(bool last) noexcept;
  void arrived(void* carrier) noexcept;
  void run_body() noexcept;
  void drop_stack() noexcept;

  // The two words of the C++ runtime's exception state (__cxa_eh_globals).
  struct ExceptionState {
    void* caught = nullptr;
    unsigned int uncaught = 0;
  };
  static ExceptionState exchange_exceptions(ExceptionState in) noexcept;

  StackPool& stacks_;
  std::function<void()> entry_;
  std::string label_;
  Stack stack_;
  void* context_ = nullptr;  // where the fiber continues; valid while it is not running
  void* carrier_ = nullptr;  // where the carrier continues; valid while the fiber runs
  ExceptionState exceptions_;
  FunctionRef<void()>* body_ = nullptr;  // asked for by outside(), run by resume()
  std::exception_ptr thrown_;
  State state_ = State::fresh;

  // Bookkeeping for sanitizers, unused without them; always present so that objects built with and without agree on the layout.
  void* fake_stack_ = nullptr;
  const void* carrier_bottom_ = nullptr;
  std::size_t carrier_size_ = 0;
  void* race_fiber_ = nullptr;
  void* race_carrier_ = nullptr;
};

}  // namespace dbos::detail
