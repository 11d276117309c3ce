// FunctionRef: a borrowed callable. Two words, no allocation; the callable must outlive the call it is handed to.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace dbos::detail {

template <class Signature>
class FunctionRef;

template <class R, class... A>
class FunctionRef<R(A...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> && std::is_object_v<std::remove_reference_t<F>> && std::is_invocable_r_v<R, F&, A...>)
      FunctionRef(F&& callable)
  noexcept : target_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))), call_(&call<std::remove_reference_t<F>>) {}

  R operator()(A... arguments) const { return call_(target_, std::forward<A>(arguments)...); }

 private:
  template <class F>
  static R call(void* target, A... arguments) {
    return static_cast<R>((*static_cast<F*>(target))(std::forward<A>(arguments)...));
  }

  void* target_;
  R (*call_)(void*, A...);
};

}  // namespace dbos::detail
