#include "archive_file.hpp"

#include <openssl/evp.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <dbos/error.hpp>
#include <dbos/json.hpp>
#include <regex>

namespace dbos::cli {

namespace {

constexpr const char* kFormat = "dbos_sys archive 1";
constexpr std::size_t kBuffer = 262144;
// A gzip header instead of zlib's own, with the largest window.
constexpr int kGzip = 15 + 16;
constexpr std::size_t kNameDigits = 16;
// The limit of a text in PostgreSQL; a longer line is none of ours.
constexpr std::size_t kLongestLine = 1ULL << 30;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { check(context_ ? EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) : 0); }
  void add(std::string_view bytes) { check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size())); }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
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
    if (answer != 1) throw Error("SHA-256 is not available in this libcrypto");
  }
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

// What dbos_sys.archive_sum() is: line feeds between the stamps.
class StampSum {
 public:
  void add(const std::string& stamp) {
    if (!first_) sum_.add("\n");
    first_ = false;
    sum_.add(stamp);
  }
  std::string hex() { return sum_.hex(); }

 private:
  Sha256 sum_;
  bool first_ = true;
};

[[noreturn]] void fail_altered(const std::string& name, const std::string& why) {
  throw Error("'" + name + "' is not as it was written: " + why, "WF053", {}, "use another copy of the export; nothing was changed");
}

// The numbers at the head of a chunk's line stand before all that users have put into it.
struct LineHead {
  std::string stamp;
  std::string chunk;
};

nlohmann::json head_of_line(const std::string& line) {
  return nlohmann::json::parse(line.substr(0, line.find(", \"status\" :")) + "}", nullptr, false);
}

LineHead head_of(const std::string& line, const std::string& name) {
  if (line.starts_with("{\"shape\"")) return {};
  auto head = head_of_line(line);
  try {
    std::string chunk = head.at("chunk");
    auto number = [&](const char* key) { return std::to_string(head.at(key).get<std::int64_t>()); };
    return {number("first_ended") + " " + chunk + " " + number("part") + " " + number("digest"), chunk};
  } catch (const nlohmann::json::exception&) {
    fail_altered(name, "a line is no chunk of the archive");
  }
}

// Compressed bytes of a source, hashed on their way, as lines.
class LineReader {
 public:
  LineReader(std::unique_ptr<ArchiveSource> source, std::string name)
      : source_(std::move(source)), name_(std::move(name)), in_(kBuffer), out_(kBuffer) {
    if (inflateInit2(&stream_, kGzip) != Z_OK) throw Error("zlib cannot begin to unpack");
  }
  ~LineReader() { inflateEnd(&stream_); }
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  bool next(std::string& line) {
    for (;;) {
      auto end = text_.find('\n', searched_);
      if (end != std::string::npos) {
        line.assign(text_, begin_, end - begin_);
        begin_ = searched_ = end + 1;
        return true;
      }
      searched_ = text_.size();
      if (text_.size() - begin_ > kLongestLine) fail_altered(name_, "a line has no end");
      if (!more()) break;
    }
    if (begin_ < text_.size()) fail_altered(name_, "its last line has no end");
    return false;
  }

  std::int64_t bytes() const { return bytes_; }
  std::string sha256() { return sum_.hex(); }

 private:
  // Unpacks a bit; false at the end of both.
  bool more() {
    if (stream_.avail_in == 0) {
      std::size_t got = source_->read(in_.data(), in_.size());
      if (got == 0 && !ended_) fail_altered(name_, "it ends early");
      if (got == 0) return false;
      sum_.add({in_.data(), got});
      bytes_ += static_cast<std::int64_t>(got);
      stream_.next_in = reinterpret_cast<Bytef*>(in_.data());
      stream_.avail_in = static_cast<uInt>(got);
    }
    if (ended_) fail_altered(name_, "something follows its end");
    stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
    stream_.avail_out = static_cast<uInt>(out_.size());
    int answer = inflate(&stream_, Z_NO_FLUSH);
    if (answer != Z_OK && answer != Z_STREAM_END && answer != Z_BUF_ERROR) fail_altered(name_, "it cannot be unpacked");
    ended_ = answer == Z_STREAM_END;
    text_.erase(0, begin_);
    searched_ -= begin_;
    begin_ = 0;
    text_.append(out_.data(), out_.size() - stream_.avail_out);
    return true;
  }

  std::unique_ptr<ArchiveSource> source_;
  std::string name_;
  std::vector<char> in_;
  std::vector<char> out_;
  z_stream stream_{};
  Sha256 sum_;
  std::int64_t bytes_ = 0;
  bool ended_ = false;
  std::string text_;
  std::size_t begin_ = 0;
  std::size_t searched_ = 0;
};

nlohmann::json to_json(const ArchiveManifest& m) {
  return {{"format", kFormat}, {"partition", m.partition}, {"file", m.file},           {"sha256", m.sha256}, {"sum", m.sum},
          {"bytes", m.bytes},  {"lines", m.lines},         {"workflows", m.workflows}, {"rows", m.rows},     {"exported_at", m.exported_at}};
}

// The manifest vouches for the file, its seal for itself.
std::string seal_of(const nlohmann::json& manifest) {
  Sha256 sum;
  sum.add(manifest.dump());
  return sum.hex();
}

ArchiveManifest parse_sealed(const std::string& text, const std::string& name) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("format", "") != kFormat) fail_altered(name, std::string("it is no manifest of the format '") + kFormat + "'");
  std::string seal = json.value("seal", "");
  json.erase("seal");
  if (seal != seal_of(json)) fail_altered(name, "its seal differs from its text");
  ArchiveManifest manifest{.partition = json.at("partition"),
                           .file = json.at("file"),
                           .sha256 = json.at("sha256"),
                           .sum = json.at("sum"),
                           .bytes = json.at("bytes"),
                           .lines = json.at("lines"),
                           .workflows = json.at("workflows"),
                           .rows = json.at("rows"),
                           .exported_at = json.at("exported_at")};
  if (manifest.name() != name || partition_of_file(manifest.file) != manifest.partition) fail_altered(name, "it belongs to another name");
  return manifest;
}

std::string read_whole(ArchiveSource& source) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (std::size_t got = 0; (got = source.read(buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), got);
    if (text.size() > 1'048'576) break;  // no manifest is so long
  }
  return text;
}

ArchiveManifest parse_manifest(const std::string& text, const std::string& name) {
  try {
    return parse_sealed(text, name);
  } catch (const nlohmann::json::exception&) {
    fail_altered(name, "it is no manifest");
  }
}

// Empty when the name is none of ours.
std::string partition_of_manifest(const std::string& name) {
  static const std::regex pattern(R"((archive_\d{4}_\d\d)\.[0-9a-f]{16}\.json)");
  std::smatch match;
  return std::regex_match(name, match, pattern) ? match[1].str() : "";
}

std::vector<ArchiveManifest> manifests_of(const ArchiveTarget& target, const std::function<bool(const std::string&)>& wanted) {
  std::vector<ArchiveManifest> manifests;
  for (const std::string& name : target.names()) {
    std::string partition = partition_of_manifest(name);
    if (!partition.empty() && wanted(partition)) manifests.push_back(parse_manifest(read_whole(*target.open(name)), name));
  }
  std::stable_sort(manifests.begin(), manifests.end(),
                   [](const ArchiveManifest& a, const ArchiveManifest& b) { return a.exported_at > b.exported_at; });
  return manifests;
}

}  // namespace

std::string ArchiveManifest::name() const { return partition + "." + sum.substr(0, kNameDigits) + ".json"; }

std::string partition_of_file(const std::string& name) {
  static const std::regex pattern(R"((archive_\d{4}_\d\d)\.[0-9a-f]{16}\.ndjson\.gz)");
  std::smatch match;
  return std::regex_match(name, match, pattern) ? match[1].str() : "";
}

struct ArchiveWriter::Impl {
  explicit Impl(ArchiveTarget& target) : upload(target.create()), out(kBuffer) {
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw Error("zlib cannot begin to pack");
  }
  ~Impl() { deflateEnd(&stream); }

  void pack(std::string_view text, int flush) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      if (deflate(&stream, flush) == Z_STREAM_ERROR) throw Error("zlib cannot pack");
      std::string_view packed(out.data(), out.size() - stream.avail_out);
      sha256.add(packed);
      manifest.bytes += static_cast<std::int64_t>(packed.size());
      if (!packed.empty()) upload->write(packed);
    } while (stream.avail_out == 0);
  }

  std::unique_ptr<ArchiveUpload> upload;
  ArchiveManifest manifest;
  Sha256 sha256;
  StampSum stamps;
  z_stream stream{};
  std::vector<char> out;
};

ArchiveWriter::ArchiveWriter(ArchiveTarget& target, const std::string& partition) : impl_(std::make_unique<Impl>(target)) {
  impl_->manifest.partition = partition;
}
ArchiveWriter::~ArchiveWriter() = default;

void ArchiveWriter::add(const std::string& stamp, const std::string& line, std::int64_t workflows, std::int64_t rows) {
  impl_->pack(line, Z_NO_FLUSH);
  impl_->pack("\n", Z_NO_FLUSH);
  if (!stamp.empty()) impl_->stamps.add(stamp);
  auto& manifest = impl_->manifest;
  manifest.lines++;
  manifest.workflows += workflows;
  manifest.rows += rows;
}

ArchiveManifest ArchiveWriter::finish() {
  impl_->pack({}, Z_FINISH);
  auto& manifest = impl_->manifest;
  manifest.sha256 = impl_->sha256.hex();
  manifest.sum = impl_->stamps.hex();
  manifest.file = manifest.partition + "." + manifest.sum.substr(0, kNameDigits) + ".ndjson.gz";
  manifest.exported_at = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  impl_->upload->publish(manifest.file);
  return manifest;
}

void publish_manifest(ArchiveTarget& target, const ArchiveManifest& manifest) {
  nlohmann::json json = to_json(manifest);
  json["seal"] = seal_of(json);
  auto upload = target.create();
  upload->write(json.dump(2) + "\n");
  upload->publish(manifest.name());
}

std::vector<ArchiveManifest> read_manifests(const ArchiveTarget& target) {
  return manifests_of(target, [](const std::string&) { return true; });
}

std::vector<ArchiveManifest> read_manifests(const ArchiveTarget& target, const std::string& partition) {
  return manifests_of(target, [&](const std::string& of) { return of == partition; });
}

std::vector<std::string> damaged_manifests(const ArchiveTarget& target, const std::set<std::string>& but) {
  std::vector<std::string> damaged;
  for (const std::string& name : target.names()) {
    std::string partition = partition_of_manifest(name);
    if (partition.empty() || but.contains(partition)) continue;
    try {
      parse_manifest(read_whole(*target.open(name)), name);
    } catch (const Error& error) {
      damaged.emplace_back(error.what());
    }
  }
  return damaged;
}

void read_archive_file(const ArchiveTarget& target, const ArchiveManifest& manifest, const ArchiveLineSink& sink) {
  LineReader reader(target.open(manifest.file), manifest.file);
  StampSum stamps;
  std::int64_t lines = 0;
  for (std::string line; reader.next(line); lines++) {
    LineHead head = head_of(line, manifest.file);
    if (!head.stamp.empty()) stamps.add(head.stamp);
    sink(std::move(line), head.chunk);
  }
  if (reader.bytes() != manifest.bytes || reader.sha256() != manifest.sha256) fail_altered(manifest.file, "its SHA-256 is not the manifest's");
  if (lines != manifest.lines || stamps.hex() != manifest.sum) fail_altered(manifest.file, "its lines are not those that the manifest counts");
}

bool begins_chunk(const std::string& line) {
  auto head = head_of_line(line);
  return head.is_object() && head.value("part", 0) == 0;
}

std::set<std::string> verify_archive_file(const ArchiveTarget& target, const ArchiveManifest& manifest) {
  std::set<std::string> chunks;
  read_archive_file(target, manifest, [&](const std::string&, const std::string& chunk) {
    if (!chunk.empty()) chunks.insert(chunk);
  });
  return chunks;
}

}  // namespace dbos::cli
