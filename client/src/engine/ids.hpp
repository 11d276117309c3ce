// Identifiers that the client makes or is given. Thread safety: all functions from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dbos::detail {

// RFC 9562 version 7: time-ordered, so that neighbouring inserts share index pages.
std::string uuid_v7();
// Version 4: tokens.
std::string uuid_v4();
std::uint64_t random_bits();
// Hex digest of this process's executable file and the application's name: the default application version, which has one application.
std::string default_version(std::string_view application);
// What the tables take, in bytes.
inline constexpr std::size_t kNameBytes = 255;
inline constexpr std::size_t kPartitionBytes = 1024;
inline constexpr std::size_t kIdBytes = 512;
// Throws UsageError unless the text can be sent as a name or id: not blank, UTF-8 without NUL, at most `limit` bytes. `what` names it.
void check_label(std::string_view what, std::string_view text, std::size_t limit, const std::string& workflow_id = {});
// A topic that is given: besides, not the name under which messages without one are kept.
void check_topic(std::string_view topic, const std::string& workflow_id = {});
// No character that counts for the server, which refuses such ids and names.
inline bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos; }

}  // namespace dbos::detail
