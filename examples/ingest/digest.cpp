#include "digest.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace ingest {

namespace {

using Chunk = std::string_view;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { check(context_ ? EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) : 0); }
  void add(Chunk chunk) { check(EVP_DigestUpdate(context_.get(), chunk.data(), chunk.size())); }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
    unsigned size = 0;
    check(EVP_DigestFinal_ex(context_.get(), bytes.data(), &size));
    std::string text;
    for (unsigned i = 0; i < size; i++) {
      text += "0123456789abcdef"[bytes[i] >> 4];
      text += "0123456789abcdef"[bytes[i] & 15];
    }
    return text;
  }

 private:
  static void check(int answer) {
    if (answer != 1) throw std::runtime_error("SHA-256 is not available in this libcrypto");
  }
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

// Feeds the file to sink; returns why that was not possible. O_NONBLOCK: a path that has become a pipe must not block the worker.
std::optional<std::string> read_file(const std::filesystem::path& path, const std::function<void(Chunk)>& sink) {
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return std::strerror(errno);
  auto close = [](const int* f) { ::close(*f); };
  std::unique_ptr<int, decltype(close)> guard(&file, close);
  struct stat facts {};
  if (::fstat(file, &facts) != 0) return std::strerror(errno);
  if (!S_ISREG(facts.st_mode)) return "not a regular file";
  std::array<char, 65536> buffer;
  for (;;) {
    ssize_t got = ::read(file, buffer.data(), buffer.size());
    if (got == 0) return std::nullopt;
    if (got > 0) sink(Chunk(buffer.data(), static_cast<std::size_t>(got)));
    else if (errno != EINTR) return std::strerror(errno);
  }
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Length of the UTF-8 character that starts text, as JSON accepts it (no surrogates, no overlong forms); 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  auto tail = [&](std::size_t i, unsigned char low = 0x80, unsigned char high = 0xBF) {
    return text.size() > i && byte(i) >= low && byte(i) <= high;
  };
  unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead < 0xF0) return tail(1, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF) && tail(2) ? 3 : 0;
  if (lead >= 0xF0 && lead < 0xF5) return tail(1, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF) && tail(2) && tail(3) ? 4 : 0;
  return 0;
}

}  // namespace

Digest digest_file(const std::filesystem::path& path) {
  Sha256 sum;
  auto error = read_file(path, [&](Chunk chunk) { sum.add(chunk); });
  if (error) return {.sha256 = std::nullopt, .error = error};
  return {.sha256 = sum.hex(), .error = std::nullopt};
}

Counts count_file(const std::filesystem::path& path) {
  Counts counts;
  bool in_word = false;
  counts.error = read_file(path, [&](Chunk chunk) {
    counts.bytes += static_cast<std::int64_t>(chunk.size());
    for (char c : chunk) {
      counts.lines += c == '\n';
      counts.words += !is_space(c) && !in_word;
      in_word = !is_space(c);
    }
  });
  if (counts.error) return {.error = counts.error};
  return counts;
}

std::string workflow_id(const std::filesystem::path& path) {
  Sha256 sum;
  sum.add(path.native());
  return "ingest:" + sum.hex().substr(0, 32);
}

std::string encode_path(const std::filesystem::path& path) {
  std::string out;
  std::string_view rest = path.native();
  while (!rest.empty()) {
    std::size_t length = rest[0] == '%' ? 0 : utf8_length(rest);
    if (length > 0) {
      out += rest.substr(0, length);
    } else {
      auto byte = static_cast<unsigned char>(rest[0]);
      out += '%';
      out += "0123456789ABCDEF"[byte >> 4];
      out += "0123456789ABCDEF"[byte & 15];
    }
    rest.remove_prefix(length > 0 ? length : 1);
  }
  return out;
}

std::filesystem::path decode_path(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace ingest
