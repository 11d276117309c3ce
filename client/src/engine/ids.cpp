#include "engine/ids.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <random>

#include "codec/text_check.hpp"
#include "dbos/error.hpp"

namespace dbos::detail {

namespace {

std::mt19937_64 seeded() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device(), device(), device()};
  return std::mt19937_64(seed);
}

// Not inlined: a fiber may have moved to another thread since the last call.
[[gnu::noinline]] std::mt19937_64& generator() {
  thread_local std::mt19937_64 engine = seeded();
  return engine;
}

std::string format(std::uint64_t high, std::uint64_t low) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(36, '-');
  std::size_t at = 0;
  for (int nibble = 0; nibble < 32; ++nibble) {
    if (nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20) ++at;
    std::uint64_t word = nibble < 16 ? high : low;
    text[at++] = kDigits[(word >> (60 - 4 * (nibble % 16))) & 0xf];
  }
  return text;
}

// The head of a text for a message, cut between characters.
std::string head(std::string_view text) {
  std::size_t end = std::min<std::size_t>(text.size(), 40);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "…";
}

constexpr std::uint64_t kVariant = 0x8000000000000000;
constexpr std::uint64_t kVariantMask = 0x3fffffffffffffff;

}  // namespace

[[gnu::noinline]] std::uint64_t random_bits() { return generator()(); }

std::string uuid_v7() {
  auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  auto micros = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count());
  // 48 bits of milliseconds, then the 12 bits of rand_a as a fraction of the millisecond: order within it too (RFC 9562 §6.2, method 3).
  std::uint64_t fraction = (micros % 1000) * 4096 / 1000;
  std::uint64_t high = (micros / 1000) << 16 | 0x7000 | fraction;
  return format(high, (random_bits() & kVariantMask) | kVariant);
}

std::string uuid_v4() {
  std::uint64_t high = (random_bits() & ~std::uint64_t{0xf000}) | 0x4000;
  return format(high, (random_bits() & kVariantMask) | kVariant);
}

void check_label(std::string_view what, std::string_view text, std::size_t limit, const std::string& workflow_id) {
  if (is_blank(text)) throw UsageError(std::string(what) + " is blank", {}, workflow_id);
  if (auto check = check_text(text); check.fault != TextFault::none)
    throw UsageError(std::string(what) + " " + describe(check) + ": " + head(text.substr(0, check.at)), {}, workflow_id,
                     "texts have to be UTF-8 without NUL");
  if (text.size() > limit)
    throw UsageError(
        std::string(what) + " has " + std::to_string(text.size()) + " bytes, at most " + std::to_string(limit) + " are allowed: " + head(text), {},
        workflow_id);
}

void check_topic(std::string_view topic, const std::string& workflow_id) {
  if (topic.empty()) return;
  if (topic == "__null__topic__") throw UsageError("topic __null__topic__ is reserved: leave the topic empty", {}, workflow_id);
  check_label("topic", topic, kNameBytes, workflow_id);
}

std::string default_version(std::string_view application) {
  // FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv): tells builds apart, no protection against forgery.
  std::ifstream file("/proc/self/exe", std::ios::binary);
  std::uint64_t hash = 0xcbf29ce484222325;
  auto mix = [&](char c) { hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3; };
  std::array<char, 1 << 16> buffer;
  while (file.read(buffer.data(), buffer.size()) || file.gcount() > 0) {
    for (std::streamsize i = 0; i < file.gcount(); ++i) mix(buffer[i]);
  }
  for (char c : application) mix(c);
  return format(hash, hash).substr(0, 8) + format(hash, hash).substr(9, 4) + format(hash, hash).substr(14, 4);
}

}  // namespace dbos::detail
