#include "engine/fiber.hpp"

#include <cxxabi.h>

#include <boost/context/detail/fcontext.hpp>
#include <stdexcept>
#include <utility>

#include "engine/sanitizers.hpp"

#if DBOS_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if DBOS_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace dbos::detail {
namespace {

// A function that runs on a fiber may begin on one thread and end on another. The compiler does not know, and would keep the address of
// a thread's data over a switch, so each access stands in a function that is neither inlined nor thought free of effects.
#define DBOS_THREAD_ACCESS [[gnu::noinline]]
inline void forget_addresses() noexcept { asm volatile("" ::: "memory"); }

// Initial-exec, because the overflow handler reads it and must not be the one that allocates it.
struct ThreadState {
  Fiber* current;
  Fiber* hosted;
};
[[gnu::tls_model("initial-exec")]] constinit thread_local ThreadState thread_state{nullptr, nullptr};

DBOS_THREAD_ACCESS void set_current(Fiber* fiber) noexcept {
  forget_addresses();
  thread_state.current = fiber;
}

DBOS_THREAD_ACCESS Fiber* exchange_hosted(Fiber* fiber) noexcept {
  forget_addresses();
  return std::exchange(thread_state.hosted, fiber);
}

}  // namespace

struct FiberEntry {
  static void run(boost::context::detail::transfer_t from) noexcept {
    auto& self = *static_cast<Fiber*>(from.data);
    self.arrived(from.fctx);
    Fiber::main(self);
  }
};

DBOS_THREAD_ACCESS Fiber* Fiber::current() noexcept {
  forget_addresses();
  return thread_state.current;
}

DBOS_THREAD_ACCESS Fiber* Fiber::hosted() noexcept {
  forget_addresses();
  return thread_state.hosted;
}

// The header declares __cxa_get_globals() const, so two calls in one function may be made one.
DBOS_THREAD_ACCESS Fiber::ExceptionState Fiber::exchange_exceptions(ExceptionState in) noexcept {
  forget_addresses();
  auto* words = reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
  return std::exchange(*words, in);
}

Fiber::Fiber(StackPool& stacks, std::function<void()> entry) : stacks_(stacks), entry_(std::move(entry)), stack_(stacks.acquire()) {
  context_ = boost::context::detail::make_fcontext(stack_.top(), stack_.size, &FiberEntry::run);
#if DBOS_TSAN
  race_fiber_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  if (state_ == State::fresh) drop_stack();
  else if (state_ != State::finished) stacks_.abandon(stack_);
}

void Fiber::drop_stack() noexcept {
#if DBOS_TSAN
  __tsan_destroy_fiber(race_fiber_);
#endif
  stacks_.release(stack_);
  stack_ = {};
}

void Fiber::resume() {
  if (current() != nullptr) throw std::logic_error("a fiber cannot resume fiber \"" + label_ + "\"");
  if (state_ == State::running || state_ == State::finished)
    throw std::logic_error("fiber \"" + label_ + "\" is resumed while it runs or after it has finished");
  state_ = State::running;
  Fiber* const hosted_before = exchange_hosted(this);
  const ExceptionState carrier_exceptions = exchange_exceptions(exceptions_);
  enter();
  while (body_ != nullptr) {
    run_body();
    enter();
  }
  exceptions_ = exchange_exceptions(carrier_exceptions);
  exchange_hosted(hosted_before);
  if (state_ != State::finished) return;
  entry_ = nullptr;
  drop_stack();
}

// The exception state stays the fiber's: for the language, the body is called by the fiber.
void Fiber::run_body() noexcept {
  try {
    (*body_)();
  } catch (...) {
    thrown_ = std::current_exception();
  }
  body_ = nullptr;
}

void Fiber::suspend() {
  Fiber* const self = current();
  if (self == nullptr) throw std::logic_error("only a fiber can suspend itself");
  self->state_ = State::parked;
  self->leave(false);
}

void Fiber::outside(FunctionRef<void()> body) {
  Fiber* const self = current();
  if (self == nullptr) return body();
  self->body_ = &body;
  self->leave(false);
  if (self->thrown_) std::rethrow_exception(std::exchange(self->thrown_, nullptr));
}

void Fiber::main(Fiber& self) noexcept {
  self.entry_();
  self.state_ = State::finished;
  self.leave(true);
  std::terminate();  // a finished fiber is never entered again
}

// Carrier to fiber; returns when the fiber leaves.
void Fiber::enter() noexcept {
  set_current(this);
#if DBOS_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, stack_.bottom, stack_.size);
#endif
#if DBOS_TSAN
  race_carrier_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(race_fiber_, 0);
#endif
  context_ = boost::context::detail::jump_fcontext(context_, this).fctx;
#if DBOS_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
  set_current(nullptr);
}

// Fiber to carrier; returns, unless it was the last time, when the fiber is entered again.
void Fiber::leave([[maybe_unused]] bool last) noexcept {
#if DBOS_ASAN
  __sanitizer_start_switch_fiber(last ? nullptr : &fake_stack_, carrier_bottom_, carrier_size_);
#endif
#if DBOS_TSAN
  __tsan_switch_to_fiber(race_carrier_, 0);
#endif
  arrived(boost::context::detail::jump_fcontext(carrier_, nullptr).fctx);
}

// The carrier may be another one each time.
void Fiber::arrived(void* carrier) noexcept {
  carrier_ = carrier;
#if DBOS_ASAN
  __sanitizer_finish_switch_fiber(fake_stack_, &carrier_bottom_, &carrier_size_);
#endif
}

}  // namespace dbos::detail
