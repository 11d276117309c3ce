// A folder that keeps exports of the archive: a file is written under a name that is none yet, synchronised, and renamed.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <dbos/error.hpp>
#include <filesystem>
#include <utility>

#include "archive_target.hpp"

namespace dbos::cli {

namespace {

namespace fs = std::filesystem;

// Hidden, so that no pattern for exports takes it for one.
constexpr std::string_view kUnderWay = ".dbos-sys-export-";

std::string hint_for(int error) {
  switch (error) {
    case EACCES:
    case EPERM: return "run it as a user who may, or name another folder";
    case EROFS: return "what is mounted there is read-only: name another folder";
    case ENOTDIR:
    case EEXIST: return "a file is where a folder should be: name another folder";
    case ENOENT: return "name a folder that is there, or can be made there";
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return "nothing was lost: make room, or name another folder, and run it again";
    default: return {};
  }
}

[[noreturn]] void fail(const std::string& what, const fs::path& path, int error = errno, const std::string& hint = {}) {
  throw Error("cannot " + what + " '" + path.string() + "': " + std::strerror(error), {}, {}, hint.empty() ? hint_for(error) : hint);
}

class Descriptor {
 public:
  // lost: the hint where there is no such file.
  Descriptor(const fs::path& path, int flags, const char* what, const char* lost = "") : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {
    if (fd_ < 0) fail(what, path, errno, errno == ENOENT ? lost : "");
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

class FileUpload : public ArchiveUpload {
 public:
  FileUpload(fs::path folder, int number)
      : folder_(std::move(folder)),
        path_(folder_ / (std::string(kUnderWay) + std::to_string(::getpid()) + "-" + std::to_string(number))),
        file_(path_, O_WRONLY | O_CREAT | O_EXCL, "write") {}
  ~FileUpload() override {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      ssize_t done = ::write(file_.get(), bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) fail("write", path_);
      bytes.remove_prefix(static_cast<std::size_t>(done));
    }
  }

  void publish(const std::string& name) override {
    fs::path to = folder_ / name;
    if (::fsync(file_.get()) != 0 || !file_.close()) fail("write", path_);
    if (::rename(path_.c_str(), to.c_str()) != 0) fail("rename to", to);
    path_.clear();
    Descriptor folder(folder_, O_RDONLY | O_DIRECTORY, "open");
    if (::fsync(folder.get()) != 0) fail("synchronise", folder_);
  }

 private:
  fs::path folder_;
  fs::path path_;
  Descriptor file_;
};

class FileSource : public ArchiveSource {
 public:
  explicit FileSource(fs::path path) : path_(std::move(path)), file_(path_, O_RDONLY, "read", kLost) {
    // From the disk rather than from memory: what is read back should be what is kept.
    ::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_DONTNEED);
  }

  std::size_t read(char* to, std::size_t size) override {
    for (;;) {
      ssize_t got = ::read(file_.get(), to, size);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) fail("read", path_);
    }
  }

 private:
  static constexpr const char* kLost = "its manifest is there: put the file back beside it, or use another copy of the export; nothing was changed";

  fs::path path_;
  Descriptor file_;
};

std::string host_name() {
  char name[256] = "localhost";
  ::gethostname(name, sizeof name - 1);
  return name;
}

class Folder : public ArchiveTarget {
 public:
  Folder(const fs::path& path, bool write)
      : path_(path), self_(path_, O_RDONLY | O_DIRECTORY, "open the folder", write ? "" : "name the folder that dbos-sys archive export wrote to") {
    if (!write) return;
    if (::flock(self_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) throw Error("another export is writing to '" + path_.string() + "'", {}, {}, "wait until it has ended");
      fail("lock", path_);
    }
    for (const std::string& name : all_names())
      if (name.starts_with(kUnderWay)) remove(name);
  }

  std::string place() const override { return "file://" + host_name() + path_.string(); }

  std::vector<std::string> names() const override {
    auto names = all_names();
    std::erase_if(names, [](const std::string& name) { return name.starts_with('.'); });
    return names;
  }

  std::unique_ptr<ArchiveUpload> create() override { return std::make_unique<FileUpload>(path_, number_++); }
  std::unique_ptr<ArchiveSource> open(const std::string& name) const override { return std::make_unique<FileSource>(path_ / name); }
  void remove(const std::string& name) override {
    if (::unlink((path_ / name).c_str()) != 0 && errno != ENOENT) fail("remove", path_ / name);
  }

 private:
  std::vector<std::string> all_names() const {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(path_, error), end; !error && it != end; it.increment(error)) names.push_back(it->path().filename().string());
    if (error) fail("read the folder", path_, error.value());
    std::sort(names.begin(), names.end());
    return names;
  }

  fs::path path_;
  Descriptor self_;
  int number_ = 0;
};

// Those above it too. What is there stays as it is, with its mode.
void make_folder(const fs::path& folder) {
  fs::path above = folder.parent_path();
  bool made = ::mkdir(folder.c_str(), 0700) == 0;
  if (!made && errno == ENOENT && above != folder) {
    make_folder(above);
    made = ::mkdir(folder.c_str(), 0700) == 0;
  }
  if (!made && errno == EEXIST) return;
  if (!made) fail("make the folder", folder);
  // A new folder is as durable as its entry in the one above.
  Descriptor entries(above, O_RDONLY | O_DIRECTORY, "open");
  if (::fsync(entries.get()) != 0) fail("synchronise", above);
}

// `file` of file:///a/b, empty when the text is a path.
std::string scheme_of(const std::string& text) {
  auto end = std::find_if_not(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '+' || c == '-' || c == '.'; });
  std::string scheme(text.begin(), end);
  bool is_url = !scheme.empty() && std::isalpha(static_cast<unsigned char>(scheme[0])) != 0 && text.compare(scheme.size(), 2, ":/") == 0;
  return is_url ? scheme : "";
}

// One name for a folder, however it is written: no links, no dots, no slash at its end. What of it is not there yet, or may not be looked into, stays as it
// is written: whoever opens it tells why.
std::string canonical(const std::string& path) {
  std::error_code error;
  fs::path whole = fs::absolute(path, error);
  if (error) fail("find the present folder, below which is", path, error.value());
  fs::path folder = fs::weakly_canonical(whole, error);
  if (error) folder = whole.lexically_normal();
  if (!folder.has_filename() && folder.has_relative_path()) folder = folder.parent_path();
  return folder.string();
}

}  // namespace

std::string folder_option(const char* option, const std::string& text) {
  constexpr const char* kFolders = "name a folder, as /backup/dbos";
  std::string path = text;
  std::string scheme = scheme_of(text);
  if (scheme == "file") {
    path.erase(0, scheme.size() + 1);
    for (const std::string& here : {std::string("//localhost"), "//" + host_name(), std::string("//")})
      if (path.starts_with(here + "/")) path.erase(0, here.size());
    if (path.starts_with("//")) throw UsageError(std::string(option) + " '" + text + "' is not on this host", {}, {}, kFolders);
  } else if (!scheme.empty()) {
    throw UsageError(std::string(option) + " '" + text + "' is no folder, and " + scheme + ":// is not supported", {}, {},
                     std::string(kFolders) + ", and copy its files there and back with the store's own tool, or mount it");
  }
  return canonical(path);
}

std::unique_ptr<ArchiveTarget> folder_to_write(const std::string& path) {
  make_folder(path);
  return std::make_unique<Folder>(path, true);
}

std::unique_ptr<ArchiveTarget> folder_to_read(const std::string& path) { return std::make_unique<Folder>(path, false); }

std::string folder_of(const std::string& place) {
  std::string here = "file://" + host_name();
  return place.starts_with(here + "/") ? place.substr(here.size()) : "";
}

}  // namespace dbos::cli
