// What the ingest job reads from one file, and how a path becomes an id and an argument.
#pragma once

#include <cstdint>
#include <dbos/json.hpp>
#include <filesystem>
#include <optional>
#include <string>

namespace ingest {

// One of the two is set: the digest, or why the file could not be read.
struct Digest {
  std::optional<std::string> sha256;
  std::optional<std::string> error;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Digest, sha256, error)

struct Counts {
  std::int64_t lines = 0;
  std::int64_t words = 0;
  std::int64_t bytes = 0;
  std::optional<std::string> error;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Counts, lines, words, bytes, error)

// A file that is gone, unreadable or no regular file any more is an answer, not an exception: trying again would not help.
Digest digest_file(const std::filesystem::path& path);
Counts count_file(const std::filesystem::path& path);

// `ingest:` and the first 32 hex digits of the SHA-256 of the path's bytes.
std::string workflow_id(const std::filesystem::path& path);

// Arguments are JSON and so UTF-8; paths are bytes. Bytes that JSON cannot carry, and '%', travel as %XX.
std::string encode_path(const std::filesystem::path& path);
std::filesystem::path decode_path(const std::string& text);

}  // namespace ingest
