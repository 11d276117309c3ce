// StartOptions ↔ the options object of dbos_sys.flush, with the checks that need no database.
#pragma once

#include <string>
#include <string_view>

#include "dbos/options.hpp"
#include "engine/engine.hpp"

namespace dbos::detail {

// queue empty: a direct start. Throws UsageError naming the option and its value. max_payload: largest inputs in bytes.
StartRequest start_request(std::string name, std::string class_name, std::string queue, const StartOptions& options, std::string inputs,
                           std::size_t max_payload, const std::string& parent_id = {});

struct DebounceStart {
  StartRequest run;  // id: of a new run, may be empty; queue among the options
  std::string key;
  Milliseconds delay{0};
  Milliseconds deadline{0};  // 0 = none
};

// As start_request(), for a run that is put off. application: where the options name none.
DebounceStart debounce_start(std::string name, std::string class_name, const std::string& key, const DebounceOptions& options, std::string inputs,
                             std::size_t max_payload, const std::string& application, const std::string& parent_id = {});

}  // namespace dbos::detail
