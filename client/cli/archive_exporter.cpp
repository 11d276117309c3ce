#include "archive_exporter.hpp"

#include <algorithm>
#include <dbos/error.hpp>
#include <iostream>

#include "text.hpp"

namespace dbos::cli {

namespace {

// A partition into which workflows come while it is written is written again; after that it is left for a quieter time.
constexpr int kTries = 3;

// As many workflows of a file are named.
constexpr std::size_t kNamed = 5;

// As a literal of SQL.
std::string quoted(const std::string& text) {
  std::string literal = "'";
  for (char c : text) literal += c == '\'' ? std::string("''") : std::string(1, c);
  return literal + "'";
}

}  // namespace

ArchiveExporter::Done ArchiveExporter::run(const std::string& partition) {
  auto kept = present(partition);
  if (kept) {
    note(kept->manifest, kept->chunks);
    return {std::move(kept->manifest), false};
  }
  for (int tries = 1; tries <= kTries; tries++) {
    ArchiveManifest manifest = write(partition);
    if (manifest.sum != archive_.sum(partition)) {
      discard(manifest);
      continue;
    }
    auto chunks = verify_archive_file(target_, manifest);
    publish_manifest(target_, manifest);
    note(manifest, chunks);
    return {manifest, true};
  }
  throw Error(partition + " has changed each time while it was exported; it was not noted", "WF055", {},
              "export it when nothing that ended in that month is archived or restored");
}

void ArchiveExporter::tell_of_empty(const std::string& partition) {
  try {
    manifests(partition);
  } catch (const Error& damaged) {
    std::cerr << "kept as it is: " << printable(damaged.what()) << "\n";
    return;
  }
  tidy(partition, "", {});
}

std::vector<ArchiveManifest> ArchiveExporter::manifests(const std::string& partition) const {
  try {
    return read_manifests(target_, partition);
  } catch (const Error& damaged) {
    throw Error(damaged.what(), "WF053", {},
                "put a good copy of it back, or move it and the .ndjson.gz of its name to another folder, and export " + partition + " again");
  }
}

std::optional<ArchiveExporter::Whole> ArchiveExporter::present(const std::string& partition) {
  std::string sum = archive_.sum(partition);
  for (const ArchiveManifest& manifest : manifests(partition)) {
    if (manifest.sum != sum) continue;
    try {
      return Whole{manifest, verify_archive_file(target_, manifest)};
    } catch (const Error& damaged) {
      std::cerr << "exported again: " << printable(damaged.what()) << "\n";
    }
  }
  return std::nullopt;
}

ArchiveManifest ArchiveExporter::write(const std::string& partition) {
  ArchiveWriter writer(target_, partition);
  std::set<std::string> shapes;
  std::string after;
  for (;;) {
    auto page = archive_.page(partition, after);
    if (page.empty()) return writer.finish();
    for (const ArchiveLine& line : page)
      if (!line.stamp.empty() || shapes.insert(line.text).second) writer.add(line.stamp, line.text, line.workflows, line.rows);
    after = page.back().stamp;
  }
}

std::vector<std::string> ArchiveExporter::beyond(const ArchiveManifest& manifest, const std::set<std::string>& chunks) {
  std::vector<std::string> missing;
  std::vector<std::string> shapes;
  std::vector<std::string> batch;
  std::size_t bytes = 0;
  auto ask = [&] {
    std::vector<std::string> lines = shapes;
    lines.insert(lines.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
    for (std::string& id : archive_.not_archived(lines)) missing.push_back(std::move(id));
    batch.clear();
    bytes = 0;
  };
  read_archive_file(target_, manifest, [&](std::string line, const std::string& chunk) {
    if (chunk.empty()) shapes.push_back(std::move(line));
    else if (!chunks.contains(chunk) && begins_chunk(line)) {
      bytes += line.size();
      batch.push_back(std::move(line));
      if (bytes >= kArchiveBatchBytes) ask();
    }
  });
  if (!batch.empty()) ask();
  return missing;
}

void ArchiveExporter::tell(const Kept& kept, const std::vector<std::string>& left) const {
  std::string ids;
  for (std::size_t i = 0; i < std::min(kept.ids.size(), kNamed); i++) ids += (i == 0 ? "" : ", ") + printable(kept.ids[i]);
  if (kept.ids.size() > kNamed) ids += " and " + std::to_string(kept.ids.size() - kNamed) + " more";
  std::string others;
  for (const std::string& sum : left)
    if (sum != kept.manifest.sum) others += (others.empty() ? "" : ",") + sum;
  std::cerr << "kept, for it has workflows that the archive has not (" << ids << "): " << kept.manifest.file << "\n"
            << "  to have them forgotten, remove it and " << kept.manifest.name() << ", then: SELECT dbos_sys.forget_export("
            << quoted(kept.manifest.partition) << ", " << quoted(target_.place()) << (others.empty() ? "" : ", keep => '{" + others + "}'") << ");\n";
}

void ArchiveExporter::discard(const ArchiveManifest& manifest) {
  auto named = manifests(manifest.partition);
  if (std::none_of(named.begin(), named.end(), [&](const ArchiveManifest& m) { return m.file == manifest.file; })) target_.remove(manifest.file);
}

void ArchiveExporter::note(const ArchiveManifest& manifest, const std::set<std::string>& chunks) {
  archive_.note_export(manifest.partition, target_.place(), manifest.rows, manifest.sum);
  archive_.forget_exports(manifest.partition, target_.place(), tidy(manifest.partition, manifest.sum, chunks));
}

bool ArchiveExporter::superseded(const ArchiveManifest& other, const std::set<std::string>& chunks, std::vector<Kept>& kept) {
  std::set<std::string> theirs;
  try {
    theirs = verify_archive_file(target_, other);
  } catch (const Error& damaged) {
    std::cerr << "kept as it is: " << printable(damaged.what()) << "\n";
    return false;
  }
  if (std::includes(chunks.begin(), chunks.end(), theirs.begin(), theirs.end())) return true;
  auto missing = beyond(other, chunks);
  if (missing.empty()) return true;
  kept.push_back({other, std::move(missing)});
  return false;
}

std::vector<std::string> ArchiveExporter::tidy(const std::string& partition, const std::string& sum, const std::set<std::string>& chunks) {
  std::set<std::string> named;
  std::vector<std::string> left;
  std::vector<Kept> kept;
  auto noted = archive_.exports_at(partition, target_.place());
  for (const ArchiveManifest& other : manifests(partition)) {
    bool ours = std::find(noted.begin(), noted.end(), other.sum) != noted.end();
    if (!ours)
      std::cerr << "kept, for this database has not noted it, and another may: " << other.file << "\n"
                << "  when none does, remove it and " << other.name() << "\n";
    if (ours && other.sum != sum && superseded(other, chunks, kept)) {
      target_.remove(other.name());
      continue;
    }
    named.insert(other.file);
    left.push_back(other.sum);
  }
  for (const Kept& one : kept) tell(one, left);
  for (const std::string& name : target_.names())
    if (partition_of_file(name) == partition && !named.contains(name)) target_.remove(name);
  return left;
}

}  // namespace dbos::cli
