// Identifiers that the client makes. Thread safety: all functions from any thread.
#pragma once

#include <cstdint>
#include <string>

namespace dbos::detail {

// RFC 9562 version 7: time-ordered, so that neighbouring inserts share index pages.
std::string uuid_v7();
// Version 4: tokens.
std::string uuid_v4();
std::uint64_t random_bits();
// Hex digest of this process's executable file: the default application version.
std::string executable_digest();

}  // namespace dbos::detail
