// Real folders: output appears only when complete, and nothing of somebody else's is overwritten.
#include "convert/directory.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "convert/convert.h"
#include "convert/tiny_checkpoint.h"

namespace ocelli {
namespace {

using namespace testing;
namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "ocelli-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {}));
  }

 private:
  fs::path path_;
};

void write_files(const std::string& folder, const Files& files) {
  fs::create_directory(folder);
  for (const auto& [name, bytes] : files)
    std::ofstream(folder + "/" + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
}

Files read_files(const std::string& folder) {
  Files files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    files[entry.path().filename().string()] = {std::istreambuf_iterator<char>(in), {}};
  }
  return files;
}

Result<Manifest> convert_folders(const std::string& from, const std::string& to,
                                 bool force = false) {
  OCELLI_TRY(const auto source, open_source_directory(from));
  OCELLI_TRY(const auto sink, open_sink_directory(to, force));
  RecordingListener listener;
  return convert(*source, *sink, listener, {});
}

TEST(Directory, ConvertsLikeInMemory) {
  const Folder folder;
  const Files files = tiny_checkpoint(Dtype::kBf16).files();
  write_files(folder / "src", files);
  const auto manifest = convert_folders(folder / "src", folder / "out/");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(folder.entries(), 2u) << "no partial folder is left";
  MemorySource source(files);
  MemorySink sink;
  RecordingListener listener;
  ASSERT_TRUE(convert(source, sink, listener, {}));
  EXPECT_EQ(read_files(folder / "out"), sink.files);
}

TEST(Directory, ThePartialFolderNamesItsOwner) {
  const Folder folder;
  const auto sink = open_sink_directory(folder / "out", false, "abc-7");
  ASSERT_TRUE(sink) << sink.error().message;
  const auto entry = *fs::directory_iterator(folder / "");
  const std::string name = entry.path().filename().string(), start = "out.partial-abc-7-";
  EXPECT_TRUE(name.starts_with(start)) << name;
  EXPECT_EQ(name.size(), start.size() + 8);
}

TEST(Directory, FailureLeavesNothing) {
  const Folder folder;
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  tiny.set("model.norm.weight", 0,
           std::numeric_limits<float>::infinity());  // found after shards were begun
  write_files(folder / "src", tiny.files());
  EXPECT_FALSE(convert_folders(folder / "src", folder / "out"));
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(Directory, NothingAppearsBeforeCommit) {
  const Folder folder;
  {
    const auto sink = open_sink_directory(folder / "out", false);
    ASSERT_TRUE(sink);
    const uint8_t bytes[3] = {1, 2, 3};
    const std::span<const uint8_t> part(bytes);
    ASSERT_TRUE((*sink)->write("file", std::span(&part, 1)));
    EXPECT_FALSE(fs::exists(folder / "out"));
    EXPECT_EQ(folder.entries(), 1u);
  }
  EXPECT_EQ(folder.entries(), 0u) << "an abandoned sink cleans up";
}

TEST(Directory, RefusesWhatIsNotItsOwn) {
  const Folder folder;
  write_files(folder / "src", tiny_checkpoint(Dtype::kBf16).files());
  write_files(folder / "other", {{"letter.txt", {1}}});
  write_files(folder / "fake", {{"manifest.json", bytes_of("{}")}});
  write_files(folder / "file", {});
  fs::create_directory(folder / "empty");
  for (const bool force : {false, true}) {
    for (const char* name : {"other", "fake"}) {
      const auto refused = convert_folders(folder / "src", folder / name, force);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().status, Status::kIoError);
      EXPECT_NE(refused.error().message.find(name), std::string::npos);
    }
  }
  EXPECT_EQ(read_files(folder / "other").size(), 1u);
  ASSERT_TRUE(convert_folders(folder / "src", folder / "empty")) << "an empty folder is fine";
  const Files before = read_files(folder / "empty");
  const auto again = convert_folders(folder / "src", folder / "empty");
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("--force"), std::string::npos);
  ASSERT_TRUE(convert_folders(folder / "src", folder / "empty", true));
  EXPECT_EQ(read_files(folder / "empty"), before);
  EXPECT_EQ(folder.entries(), 5u);
}

TEST(Directory, AFailedReplacementKeepsTheOldContainer) {
  const Folder folder;
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  write_files(folder / "src", tiny.files());
  ASSERT_TRUE(convert_folders(folder / "src", folder / "out"));
  const Files before = read_files(folder / "out");
  tiny.tensors.erase("model.norm.weight");
  write_files(folder / "src", tiny.files());
  EXPECT_FALSE(convert_folders(folder / "src", folder / "out", true));
  EXPECT_EQ(read_files(folder / "out"), before);
  EXPECT_EQ(folder.entries(), 2u);
}

TEST(Directory, MissingPlacesAreNamed) {
  const Folder folder;
  for (const auto& [from, to] : {std::pair{"nowhere", "out"}, std::pair{"", "no/such/parent"}}) {
    const auto refused = convert_folders(folder / from, folder / to);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().status, Status::kIoError);
    EXPECT_NE(refused.error().message.find(*from != '\0' ? from : to), std::string::npos)
        << refused.error().message;
  }
}

}  // namespace
}  // namespace ocelli
