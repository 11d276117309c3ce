#include "text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

namespace dbos::cli {

namespace {

// As the server counts them, 36525 days.
constexpr std::int64_t kHundredYearsMs = 3'155'760'000'000;

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Length of the valid UTF-8 sequence at the start of text, 0 when there is none.
std::size_t sequence_length(std::string_view text) {
  auto lead = static_cast<unsigned char>(text[0]);
  std::size_t length = lead < 0x80 ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; i++)
    if (!is_continuation(text[i])) return 0;
  return length;
}

// C0, DEL and C1 (U+0080 … U+009F, in UTF-8 C2 80 … C2 9F).
bool is_control(std::string_view sequence) {
  auto lead = static_cast<unsigned char>(sequence[0]);
  return lead < 0x20 || lead == 0x7F || (lead == 0xC2 && static_cast<unsigned char>(sequence[1]) < 0xA0);
}

std::string two_units(std::int64_t big, const char* big_unit, std::int64_t small, const char* small_unit) {
  std::string text = std::to_string(big) + " " + big_unit;
  return small == 0 ? text : text + " " + std::to_string(small) + " " + small_unit;
}

std::tm local_parts(std::time_t seconds) {
  std::tm parts{};
  localtime_r(&seconds, &parts);
  return parts;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::size_t length = sequence_length(text);
    bool shown = length != 0 && !is_control(text.substr(0, length));
    if (shown) out.append(text.substr(0, length));
    length = std::max<std::size_t>(length, 1);
    for (std::size_t i = 0; !shown && i < length; i++) {
      std::array<char, 8> escaped;
      std::snprintf(escaped.data(), escaped.size(), "\\x%02X", static_cast<unsigned char>(text[i]));
      out += escaped.data();
    }
    text.remove_prefix(length);
  }
  return out;
}

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::string cut(const std::string& text, std::size_t columns) {
  if (width(text) <= columns) return text;
  std::size_t seen = 0;
  std::size_t end = 0;
  while (end < text.size() && (is_continuation(text[end]) || seen < columns - 1)) {
    if (!is_continuation(text[end])) seen++;
    end++;
  }
  return text.substr(0, end) + "…";
}

std::string duration_text(std::int64_t ms) {
  if (ms < 1000) return std::to_string(ms) + " ms";
  std::int64_t seconds = ms / 1000;
  if (seconds < 60) return std::to_string(seconds) + "." + std::to_string(ms % 1000 / 100) + " s";
  if (seconds < 3600) return two_units(seconds / 60, "min", seconds % 60, "s");
  if (seconds < 86'400) return two_units(seconds / 3600, "h", seconds % 3600 / 60, "min");
  return two_units(seconds / 86'400, "d", seconds % 86'400 / 3600, "h");
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::int64_t>, 6> units{
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}, {"w", 604'800'000}}};
  std::int64_t count = 0;
  auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || count < 0) return std::nullopt;
  std::string_view unit(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  if (count == 0 && unit.empty()) return std::chrono::milliseconds(0);
  for (auto [name, factor] : units)
    if (name == unit && count <= kHundredYearsMs / factor) return std::chrono::milliseconds(count * factor);
  return std::nullopt;
}

std::string local_time(std::int64_t epoch_ms) {
  if (epoch_ms == 0) return "-";
  std::tm parts = local_parts(static_cast<std::time_t>(epoch_ms / 1000));
  std::array<char, 32> date;
  std::array<char, 16> zone;
  std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::strftime(zone.data(), zone.size(), "%z", &parts);
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%s.%03d%.3s:%s", date.data(), static_cast<int>(epoch_ms % 1000), zone.data(), zone.data() + 3);
  return text.data();
}

std::optional<std::int64_t> parse_time(const std::string& text, std::int64_t now_ms) {
  std::int64_t number = 0;
  auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && rest == text.data() + text.size() && text.size() == 13) return number;
  if (auto ago = parse_duration(text)) return now_ms - ago->count();
  for (const char* form : {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"}) {
    std::tm parts{};
    const char* end = strptime(text.c_str(), form, &parts);
    if (end == nullptr || (*end != '\0' && std::strcmp(end, "Z") != 0)) continue;
    parts.tm_isdst = -1;
    std::tm real = parts;
    std::time_t time = *end == 'Z' ? timegm(&real) : std::mktime(&real);
    if (real.tm_mday != parts.tm_mday) return std::nullopt;
    return 1000 * static_cast<std::int64_t>(time);
  }
  return std::nullopt;
}

Table::Table(std::vector<std::string> titles) {
  for (std::string& title : titles) {
    right_.push_back(title.starts_with('>'));
    if (right_.back()) title.erase(0, 1);
  }
  rows_.push_back(std::move(titles));
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(right_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<std::size_t> widths(right_.size(), 0);
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], width(row[i]));
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); i++) {
      std::string fill(widths[i] - width(row[i]), ' ');
      if (i > 0) line += "  ";
      line += right_[i] ? fill + row[i] : row[i] + fill;
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

}  // namespace dbos::cli
