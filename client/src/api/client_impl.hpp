#pragma once

#include "dbos/client.hpp"
#include "store/client_store.hpp"

namespace dbos {

struct Client::Impl {
  explicit Impl(ClientOptions given) : options(std::move(given)), store(options) {}

  ClientOptions options;
  detail::ClientStore store;
};

}  // namespace dbos
