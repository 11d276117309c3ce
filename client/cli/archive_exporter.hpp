// Writes months of the archive to a place and notes them there; looks after what earlier exports of the same month left.
// May include: std, public headers, archive_file.hpp.
#pragma once

#include <dbos/archive.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "archive_file.hpp"

namespace dbos::cli {

class ArchiveExporter {
 public:
  ArchiveExporter(Archive& archive, ArchiveTarget& target) : archive_(archive), target_(target) {}

  struct Done {
    ArchiveManifest manifest;
    bool written = false;  // false: it was there
  };

  // Throws Error (WF053: something of this month, here or there, is not as it was written; WF055: it changes all the time).
  Done run(const std::string& partition);

  // Of a partition that is empty now: which files still have workflows of it?
  void tell_of_empty(const std::string& partition);

 private:
  struct Whole {
    ArchiveManifest manifest;
    std::set<std::string> chunks;
  };

  // What a damaged manifest stands for may be the only copy: nothing of its month is touched.
  std::vector<ArchiveManifest> manifests(const std::string& partition) const;

  // An export of what the partition has now that reads back well.
  std::optional<Whole> present(const std::string& partition);

  ArchiveManifest write(const std::string& partition);

  // An earlier export that has workflows which are not in the archive.
  struct Kept {
    ArchiveManifest manifest;
    std::vector<std::string> ids = {};  // of those workflows
  };

  // Reads an export; which workflows of its other chunks has the archive not? It may have them in chunks that were packed later.
  std::vector<std::string> beyond(const ArchiveManifest& manifest, const std::set<std::string>& chunks);

  // It may be the only copy of what it has, so people remove it.
  void tell(const Kept& kept, const std::vector<std::string>& left) const;

  // A file that no manifest names; one of an earlier run may be the same.
  void discard(const ArchiveManifest& manifest);

  // The database learns of an export before files that it replaces go, and forgets those after.
  void note(const ArchiveManifest& manifest, const std::set<std::string>& chunks);

  // Is all that this file has in these chunks, or elsewhere in the archive? Of a chunk that is still there what is missing was deleted.
  bool superseded(const ArchiveManifest& other, const std::set<std::string>& chunks, std::vector<Kept>& kept);

  // Removes earlier exports of the partition that this one replaces, as what was deleted meanwhile is still in them; and files of exports that broke
  // off. An export from before the partition was dropped has what the archive has not: it is the only copy; so may be one that another database has
  // written. Returns the sums of the exports that are
  // left.
  std::vector<std::string> tidy(const std::string& partition, const std::string& sum, const std::set<std::string>& chunks);

  Archive& archive_;
  ArchiveTarget& target_;
};

}  // namespace dbos::cli
