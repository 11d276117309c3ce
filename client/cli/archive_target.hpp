// Where exports of the archive are kept, as named objects of bytes: a folder here, an object store would be another.
// May include: std only. Must not know: formats, databases.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dbos::cli {

// An object under way. Nobody finds it before publish(); without that it leaves nothing.
class ArchiveUpload {
 public:
  virtual ~ArchiveUpload() = default;
  virtual void write(std::string_view bytes) = 0;
  // When it returns the object is there under this name, whatever fails from now on.
  virtual void publish(const std::string& name) = 0;
};

class ArchiveSource {
 public:
  virtual ~ArchiveSource() = default;
  // How many bytes came; 0 at the end.
  virtual std::size_t read(char* to, std::size_t size) = 0;
};

// All members throw dbos::Error when the place does not do what it is asked.
class ArchiveTarget {
 public:
  virtual ~ArchiveTarget() = default;
  // What the database notes: it names the place for people, from any machine.
  virtual std::string place() const = 0;
  // In order.
  virtual std::vector<std::string> names() const = 0;
  virtual std::unique_ptr<ArchiveUpload> create() = 0;
  virtual std::unique_ptr<ArchiveSource> open(const std::string& name) const = 0;
  virtual void remove(const std::string& name) = 0;
};

// The folder that an option names, as the one absolute path that it has, without links: a path as it is, or as file:///path or file://this-host/path.
// Throws UsageError for anything else that is written as a URL, and for an empty text.
std::string folder_option(const char* option, const std::string& text);

// A folder, by what folder_option() gave. To write, it is made where it is missing, and held until the object goes: a second export into it is refused. What a killed one left
// half done is removed. What is written is for its owner's eyes only, as a folder that is made is: it holds inputs and results.
std::unique_ptr<ArchiveTarget> folder_to_write(const std::string& path);
std::unique_ptr<ArchiveTarget> folder_to_read(const std::string& path);

// The folder of a place; empty when that is not on this host.
std::string folder_of(const std::string& place);

}  // namespace dbos::cli
