// Text for people: cut and escaped values, durations, local times, aligned tables.
// May include: std only. Must not know: workflows, databases.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbos::cli {

// Control characters and invalid UTF-8 become \xNN, so that a stored value cannot steer the terminal.
std::string printable(std::string_view text);

// Columns that text takes: code points, as nearly all values are made of one-column characters.
std::size_t width(std::string_view text);

// At most `columns` columns, the last one `…` when something was cut.
std::string cut(const std::string& text, std::size_t columns);

// `850 ms`, `3.2 s`, `4 min 5 s`, `2 h 3 min`, `5 d 1 h`.
std::string duration_text(std::int64_t ms);

// `500ms`, `30s`, `5m`, `2h`, `1d`, `1w`, `0`. nullopt when it is none, negative or beyond 100 years; a bare number is none, as 90 may mean days.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

// Local time as 2030-01-31T12:00:00.123+01:00; `-` for 0.
std::string local_time(std::int64_t epoch_ms);

// Epoch ms (13 digits), a duration (that long before now_ms) or YYYY-MM-DD[THH:MM[:SS]][Z], local without Z. nullopt for a day that is in no calendar.
std::optional<std::int64_t> parse_time(const std::string& text, std::int64_t now_ms);

// Left-aligned columns but those whose title starts with '>'.
class Table {
 public:
  explicit Table(std::vector<std::string> titles);
  void add(std::vector<std::string> cells);
  // One line for the titles, one for each row; no trailing blanks.
  std::string text() const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace dbos::cli
