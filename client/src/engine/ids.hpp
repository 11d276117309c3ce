// Identifiers that the client makes or is given. Thread safety: all functions from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dbos::detail {

// RFC 9562 version 7: time-ordered, so that neighbouring inserts share index pages.
std::string uuid_v7();
// Version 4: tokens.
std::string uuid_v4();
std::uint64_t random_bits();
// Hex digest of this process's executable file: the default application version.
std::string executable_digest();
// No character that counts for the server, which refuses such ids and names.
inline bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos; }

}  // namespace dbos::detail
