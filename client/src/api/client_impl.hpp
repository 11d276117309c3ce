#pragma once

#include "dbos/client.hpp"
#include "store/client_store.hpp"

namespace dbos {

struct Client::Impl {
  explicit Impl(ClientOptions given) : options(std::move(given)), store(options) {}

  ClientOptions options;
  detail::ClientStore store;
};

namespace detail {

// Checks, then one blocking call; the handle is one of the client's.
std::shared_ptr<HandleState> debounce(const std::shared_ptr<Client::Impl>& client, const std::string& name, const std::string& class_name,
                                      const std::string& key, const DebounceOptions& options, std::string inputs, std::size_t max_payload);

}  // namespace detail

}  // namespace dbos
