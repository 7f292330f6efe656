#include "convert/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>

#include "format/manifest.h"

namespace ocelli {
namespace {

constexpr size_t kIoBytesMax = size_t{1} << 30;  // one read() or write() is asked for at most this
constexpr off_t kManifestBytesMax = 64 << 20;

std::unexpected<Error> io_fail(const std::string& what, const std::string& path) {
  return fail(Status::kIoError, "cannot " + what + " " + path + ": " + std::strerror(errno), path);
}

class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags, 0644)) {}
  File(File&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  File& operator=(File&&) = delete;
  ~File() { close(); }
  int fd() const { return fd_; }
  // False when closing reports that data were lost.
  bool close() {
    const int fd = fd_;
    fd_ = -1;
    return fd < 0 || ::close(fd) == 0;
  }

 private:
  int fd_;
};

Result<std::vector<std::string>> list_directory(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return io_fail("open the folder", path);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(directory);
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> read_at(int fd, const std::string& path, uint64_t offset, std::span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got =
        ::pread(fd, out.data(), std::min(out.size(), kIoBytesMax), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_fail("read", path);
    if (got == 0)
      return fail(Status::kIoError,
                  path + " ends at byte " + std::to_string(offset) + ", shorter than expected",
                  path);
    offset += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
  return {};
}

class DirectorySource : public Source {
 public:
  explicit DirectorySource(std::string path) : path_(std::move(path)) {}

  Result<std::vector<std::string>> list() override { return list_directory(path_); }

  Result<uint64_t> size(const std::string& file) override {
    struct stat info = {};
    const std::string path = path_ + "/" + file;
    if (::stat(path.c_str(), &info) != 0) return io_fail("find", path);
    if (!S_ISREG(info.st_mode)) return fail(Status::kIoError, path + " is not a file", path);
    return static_cast<uint64_t>(info.st_size);
  }

  Result<void> read(const std::string& file, uint64_t offset, std::span<uint8_t> out) override {
    const std::string path = path_ + "/" + file;
    auto found = open_.find(file);
    if (found == open_.end()) {
      File opened(path, O_RDONLY);
      if (opened.fd() < 0) return io_fail("open", path);
      found = open_.emplace(file, std::move(opened)).first;
    }
    return read_at(found->second.fd(), path, offset, out);
  }

 private:
  std::string path_;
  std::map<std::string, File> open_;
};

// Removes the files of a folder and the folder; what cannot be removed stays.
void remove_directory(const std::string& path) {
  if (const auto names = list_directory(path))
    for (const std::string& name : *names) ::unlink((path + "/" + name).c_str());
  ::rmdir(path.c_str());
}

class DirectorySink : public Sink {
 public:
  DirectorySink(std::string path, std::string partial, std::string tag, bool replaces)
      : path_(std::move(path)),
        partial_(std::move(partial)),
        tag_(std::move(tag)),
        replaces_(replaces) {}
  ~DirectorySink() override {
    if (!committed_) remove_directory(partial_);
  }

  Result<void> write(const std::string& file,
                     std::span<const std::span<const uint8_t>> parts) override {
    const std::string path = partial_ + "/" + file;
    File out(path, O_WRONLY | O_CREAT | O_TRUNC);
    if (out.fd() < 0) return io_fail("create", path);
    for (std::span<const uint8_t> part : parts) {
      while (!part.empty()) {
        const ssize_t put = ::write(out.fd(), part.data(), std::min(part.size(), kIoBytesMax));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return io_fail("write", path);
        part = part.subspan(static_cast<size_t>(put));
      }
    }
    if (!out.close()) return io_fail("write", path);
    return {};
  }

  Result<void> commit() override {
    const std::string old = path_ + ".old-" + tag_;
    if (replaces_) {
      if (::rename(path_.c_str(), old.c_str()) != 0) return io_fail("move away", path_);
    } else {
      ::rmdir(path_.c_str());  // an empty folder may stand there; rename over one is not portable
    }
    if (::rename(partial_.c_str(), path_.c_str()) != 0) {
      const int error = errno;
      if (replaces_) ::rename(old.c_str(), path_.c_str());
      errno = error;
      return io_fail("rename " + partial_ + " to", path_);
    }
    committed_ = true;
    if (replaces_) remove_directory(old);
    return {};
  }

 private:
  std::string path_;
  std::string partial_;
  std::string tag_;
  bool replaces_;
  bool committed_ = false;
};

bool is_container(const std::string& path) {
  const std::string file = path + "/manifest.json";
  struct stat info = {};
  if (::stat(file.c_str(), &info) != 0 || info.st_size > kManifestBytesMax) return false;
  File manifest(file, O_RDONLY);
  std::string text(static_cast<size_t>(info.st_size), '\0');
  if (manifest.fd() < 0) return false;
  if (!read_at(manifest.fd(), file, 0, {reinterpret_cast<uint8_t*>(text.data()), text.size()}))
    return false;
  return parse_manifest(text).has_value();
}

}  // namespace

Result<std::unique_ptr<Source>> open_source_directory(const std::string& path) {
  OCELLI_TRY([[maybe_unused]] const std::vector<std::string> names, list_directory(path));
  return std::make_unique<DirectorySource>(path);
}

Result<std::unique_ptr<Sink>> open_sink_directory(const std::string& path_given, bool force,
                                                  const std::string& owner) {
  std::string path = path_given;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  bool replaces = false;
  struct stat info = {};
  if (::stat(path.c_str(), &info) == 0) {
    if (!S_ISDIR(info.st_mode))
      return fail(Status::kIoError, path + " exists and is not a folder", path);
    OCELLI_TRY(const std::vector<std::string> names, list_directory(path));
    if (!names.empty()) {
      if (!is_container(path))
        return fail(Status::kIoError, path + " exists, is not empty and is not an ocelli container",
                    path);
      if (!force)
        return fail(Status::kIoError, path + " already holds a container; --force replaces it",
                    path);
      replaces = true;
    }
  }
  uint8_t random[4] = {};
  if (::getentropy(random, sizeof random) != 0) return io_fail("draw random bytes for", path);
  char digits[9];
  std::snprintf(digits, sizeof digits, "%02x%02x%02x%02x", random[0], random[1], random[2],
                random[3]);
  const std::string tag = owner.empty() ? digits : owner + "-" + digits;
  const std::string partial = path + ".partial-" + tag;
  if (::mkdir(partial.c_str(), 0755) != 0) return io_fail("create the folder", partial);
  return std::make_unique<DirectorySink>(path, partial, tag, replaces);
}

}  // namespace ocelli
