// Signature<R(A...)>: name and types of a workflow that another process or language runs, in one constant that both sides share.
#pragma once

#include <string_view>

namespace dbos {

template <class F>
struct Signature;

template <class R, class... A>
struct Signature<R(A...)> {
  std::string_view name;
  // Class under which another SDK registered it; empty = none.
  std::string_view class_name = {};
};

}  // namespace dbos
