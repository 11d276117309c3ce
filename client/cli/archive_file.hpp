// The format of an export: one file of gzipped lines of JSON for a partition as it was, and a manifest that makes it count. Both are named after what
// is in them, so that another state of the partition never takes the place of one that may be the only copy.
// May include: std, public headers, archive_target.hpp. Must not know: databases.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "archive_target.hpp"

namespace dbos::cli {

// Lines that go to the server together; the parts of a chunk are never divided.
constexpr std::size_t kArchiveBatchBytes = 4'194'304;

struct ArchiveManifest {
  std::string partition;
  std::string file;
  std::string sha256;  // of the file
  std::string sum;     // of the stamps, as dbos_sys.archive_sum()
  std::int64_t bytes = 0;
  std::int64_t lines = 0;
  std::int64_t workflows = 0;
  std::int64_t rows = 0;
  std::int64_t exported_at = 0;

  // `archive_2027_01.<begin of the sum>.json`
  std::string name() const;
};

// Written by hand-over of lines; finish() names and publishes the file and fills in the manifest, which is not published yet.
class ArchiveWriter {
 public:
  ArchiveWriter(ArchiveTarget& target, const std::string& partition);
  ~ArchiveWriter();
  void add(const std::string& stamp, const std::string& line, std::int64_t workflows, std::int64_t rows);
  ArchiveManifest finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

void publish_manifest(ArchiveTarget& target, const ArchiveManifest& manifest);

// All manifests, or those of a partition, the newest first. Throws Error (WF053) for one of them that is not as it was written.
std::vector<ArchiveManifest> read_manifests(const ArchiveTarget& target);
std::vector<ArchiveManifest> read_manifests(const ArchiveTarget& target, const std::string& partition);

// Of each manifest that cannot be read or is not as it was written, but those of these partitions: why.
std::vector<std::string> damaged_manifests(const ArchiveTarget& target, const std::set<std::string>& but);

// Gives each line and its chunk (empty: names of columns) while it reads. Throws Error (WF053) in the end at the latest, when the file is not the one
// that the manifest describes.
using ArchiveLineSink = std::function<void(std::string line, const std::string& chunk)>;
void read_archive_file(const ArchiveTarget& target, const ArchiveManifest& manifest, const ArchiveLineSink& sink);

// The same without a sink: the chunks that are in it.
std::set<std::string> verify_archive_file(const ArchiveTarget& target, const ArchiveManifest& manifest);

// Is the line of a chunk its first part, with the rows of its workflows?
bool begins_chunk(const std::string& line);

// The partition that a data file without a manifest belongs to; empty when the name is none of ours.
std::string partition_of_file(const std::string& name);

}  // namespace dbos::cli
