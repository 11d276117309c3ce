#include "archive.hpp"

#include <algorithm>
#include <dbos/archive.hpp>
#include <dbos/error.hpp>
#include <dbos/json.hpp>
#include <iostream>

#include "archive_exporter.hpp"
#include "archive_file.hpp"
#include "text.hpp"
#include "verb.hpp"

namespace dbos::cli {

namespace {

Archive open(const Common& common) { return Archive({.database = common.db, .log = tell}); }

std::string size_text(std::int64_t bytes) {
  constexpr std::int64_t kKilo = 1024;
  if (bytes < 10 * kKilo) return std::to_string(bytes) + " B";
  if (bytes < 10 * kKilo * kKilo) return std::to_string(bytes / kKilo) + " kB";
  return std::to_string(bytes / kKilo / kKilo) + " MB";
}

[[noreturn]] void fail_absent(const std::string& where, const std::string& name, const std::string& hint) {
  throw Error(where + " has no partition '" + name + "'", "WF055", {}, hint);
}

// Those that are named, or all; what is named has to be there.
std::vector<ArchivePartition> chosen(std::vector<ArchivePartition> partitions, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (std::none_of(partitions.begin(), partitions.end(), [&](const auto& partition) { return partition.name == name; }))
      fail_absent("the archive", name, "dbos-sys archive list shows them");
  if (!names.empty())
    std::erase_if(partitions, [&](const auto& partition) { return std::find(names.begin(), names.end(), partition.name) == names.end(); });
  return partitions;
}

// Damage to other months is no reason not to go on, and one to be told.
void warn_of_damage(const ArchiveTarget& target, const std::set<std::string>& concerned) {
  for (const std::string& why : damaged_manifests(target, concerned)) tell(LogLevel::warning, why + "; it was left as it is");
}

std::vector<ArchiveManifest> all_manifests(const ArchiveTarget& target) {
  try {
    return read_manifests(target);
  } catch (const Error& damaged) {
    throw Error(damaged.what(), damaged.sqlstate(), {}, "use another copy of the export, or name the months that are wanted; nothing was changed");
  }
}

// The exports of months that are named, or of all.
std::vector<ArchiveManifest> manifests_to_import(const ArchiveTarget& target, const std::vector<std::string>& names) {
  if (names.empty()) return all_manifests(target);
  std::vector<ArchiveManifest> manifests;
  std::set<std::string> concerned(names.begin(), names.end());
  warn_of_damage(target, concerned);
  for (const std::string& name : concerned) {
    auto found = read_manifests(target, name);
    if (found.empty()) fail_absent("the folder", name, "the names of the files there tell what it has");
    manifests.insert(manifests.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  }
  return manifests;
}

ArchiveImport import_file(Archive& archive, const ArchiveTarget& target, const ArchiveManifest& manifest) {
  ArchiveImport total;
  std::vector<std::string> shapes;
  std::vector<std::string> batch;
  std::size_t bytes = 0;
  std::string last;
  auto send = [&] {
    std::vector<std::string> lines = shapes;
    lines.insert(lines.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
    auto done = archive.import(lines);
    total.workflows += done.workflows;
    total.present += done.present;
    batch.clear();
    bytes = 0;
  };
  read_archive_file(target, manifest, [&](std::string line, const std::string& chunk) {
    if (chunk.empty()) {
      shapes.push_back(std::move(line));
      return;
    }
    if (bytes >= kArchiveBatchBytes && chunk != last) send();
    last = chunk;
    bytes += line.size();
    batch.push_back(std::move(line));
  });
  if (!batch.empty()) send();
  return total;
}

// Throws unless the folder still has an export of just what this sum stands for.
void verify_export(const std::string& folder, const std::string& partition, const std::string& sum) {
  auto source = folder_to_read(folder);
  warn_of_damage(*source, {partition});
  for (const ArchiveManifest& manifest : read_manifests(*source, partition)) {
    if (manifest.sum != sum) continue;
    verify_archive_file(*source, manifest);
    return;
  }
  throw Error("'" + folder + "' has no export of what the archive has now");
}

// The database knows of exports what was noted when they were made. Before the only other copy goes, one of them is read again. What was never exported
// the database refuses to drop.
void verify_exports(Archive& archive, const ArchiveArguments& arguments) {
  std::string from = arguments.from.empty() ? "" : folder_option("--from", arguments.from);
  for (const ArchivePartition& partition : archive.partitions()) {
    if (partition.name != arguments.partition || partition.workflows == 0 || partition.exports.empty()) continue;
    std::string sum = archive.sum(partition.name);
    std::vector<std::string> places = from.empty() ? partition.exports : std::vector<std::string>{from};
    std::string why;
    for (const std::string& place : places) {
      std::string folder = from.empty() ? folder_of(place) : place;
      try {
        if (folder.empty()) throw Error("'" + place + "' is not on this host");
        return verify_export(folder, partition.name, sum);
      } catch (const Error& error) {
        why += (why.empty() ? "" : "; ") + std::string(error.what());
      }
    }
    throw Error(std::to_string(partition.workflows) + " workflows of " + partition.name + " are nowhere else that could be read from here: " + why,
                "WF055", {},
                "name the folder with --from where it lies elsewhere now, or export it again: dbos-sys archive export; or mean it: --force");
  }
}

}  // namespace

void run_archive_list(const Common& common) {
  auto partitions = open(common).partitions();
  if (common.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& p : partitions)
      rows.push_back({{"partition", p.name},
                      {"workflows", p.workflows},
                      {"rows", p.rows},
                      {"bytes", p.bytes},
                      {"first_ended", p.first_ended},
                      {"last_ended", p.last_ended},
                      {"exports", p.exports},
                      {"older_exports", p.older_exports}});
    print(rows);
    return;
  }
  // Partitions are made ahead, years of them: those without workflows say nothing.
  std::erase_if(partitions, [](const ArchivePartition& p) { return p.workflows == 0; });
  if (partitions.empty()) {
    std::cerr << "the archive is empty\n";
    return;
  }
  Table table({"PARTITION", ">WORKFLOWS", ">ROWS", ">SIZE", "FIRST ENDED", "LAST ENDED", "EXPORTS"});
  for (const auto& p : partitions) {
    std::string places;
    for (const auto& place : p.exports) places += (places.empty() ? "" : ", ") + printable(place);
    for (const auto& place : p.older_exports) places += (places.empty() ? "" : ", ") + printable(place) + " (older)";
    table.add({printable(p.name), std::to_string(p.workflows), std::to_string(p.rows), size_text(p.bytes), local_time(p.first_ended),
               local_time(p.last_ended), places.empty() ? "-" : places});
  }
  std::cout << table.text();
}

void run_archive_export(const Common& common, const ArchiveArguments& arguments) {
  Archive archive = open(common);
  auto partitions = chosen(archive.partitions(), arguments.partitions);
  auto target = folder_to_write(folder_option("--to", arguments.to));
  ArchiveExporter exporter(archive, *target);
  std::set<std::string> concerned;
  for (const auto& partition : partitions) concerned.insert(partition.name);
  warn_of_damage(*target, concerned);
  for (const auto& partition : partitions)
    if (partition.workflows == 0) exporter.tell_of_empty(partition.name);
  std::erase_if(partitions, [](const ArchivePartition& p) { return p.workflows == 0; });
  nlohmann::json rows = nlohmann::json::array();
  // What was altered holds up its own month.
  std::string altered;
  std::string hint;
  for (const auto& partition : partitions) {
    ArchiveExporter::Done done;
    try {
      done = exporter.run(partition.name);
    } catch (const Error& error) {
      if (error.sqlstate() != "WF053") throw;
      altered += (altered.empty() ? "" : "; ") + std::string(error.what());
      hint = error.hint();
      continue;
    }
    const auto& [manifest, written] = done;
    if (common.json)
      rows.push_back({{"partition", manifest.partition},
                      {"file", manifest.file},
                      {"workflows", manifest.workflows},
                      {"rows", manifest.rows},
                      {"bytes", manifest.bytes},
                      {"written", written}});
    else
      std::cout << printable(partition.name) << "  " << manifest.workflows << " workflows, " << size_text(manifest.bytes)
                << (written ? "" : ", was there") << std::endl;
  }
  if (common.json) print({{"place", target->place()}, {"partitions", rows}});
  else if (partitions.empty()) std::cerr << "there is nothing to export\n";
  if (!altered.empty()) throw Error(altered, "WF053", {}, hint);
}

void run_archive_import(const Common& common, const ArchiveArguments& arguments) {
  auto target = folder_to_read(folder_option("--from", arguments.from));
  auto manifests = manifests_to_import(*target, arguments.partitions);
  if (manifests.empty())
    throw Error("there is no export in '" + arguments.from + "'", {}, {}, "name the folder that dbos-sys archive export wrote to");
  // Nothing is put in before all is known to be good.
  for (const auto& manifest : manifests) verify_archive_file(*target, manifest);
  Archive archive = open(common);
  nlohmann::json rows = nlohmann::json::array();
  for (const auto& manifest : manifests) {
    auto done = import_file(archive, *target, manifest);
    if (common.json)
      rows.push_back({{"partition", manifest.partition}, {"file", manifest.file}, {"workflows", done.workflows}, {"present", done.present}});
    else std::cout << printable(manifest.partition) << "  " << done.workflows << " workflows, " << done.present << " were there" << std::endl;
  }
  if (common.json) print({{"partitions", rows}});
}

void run_archive_drop(const Common& common, const ArchiveArguments& arguments) {
  Archive archive = open(common);
  if (!arguments.force) verify_exports(archive, arguments);
  auto workflows = archive.drop(arguments.partition, arguments.force);
  if (common.json) print({{"dropped", arguments.partition}, {"workflows", workflows}});
  else std::cout << "dropped " << printable(arguments.partition) << ", " << workflows << " workflows\n";
}

}  // namespace dbos::cli
