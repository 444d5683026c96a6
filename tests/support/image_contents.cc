#include "tests/support/image_contents.h"

#include <gtest/gtest.h>

namespace ocirepofs {
namespace {

std::string ReadFile(const std::shared_ptr<const Image>& image, const IndexRecord& record) {
  Image::Scratch scratch;
  std::vector<iovec> pieces;
  const Result<void> read =
      Image::Read(image, record.offset, static_cast<size_t>(record.size), &scratch, &pieces);
  if (!read) {
    ADD_FAILURE() << read.error().message;
    return "unreadable";
  }
  std::string contents;
  for (const iovec& piece : pieces) {
    contents.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return contents;
}

}  // namespace

ImageContents ContentsOf(const std::shared_ptr<const Image>& image) {
  ImageContents contents;
  const Index& index = image->index();
  std::vector<std::string> prefixes(index.size());  // by directory; children come after parents
  for (uint32_t number = 0; number < index.size(); ++number) {
    const IndexRecord& record = index.record(number);
    std::string path = prefixes[record.parent] + std::string(index.Name(record));
    switch (record.type) {
      case NodeType::kDirectory:
        if (number == Index::kRoot) break;
        prefixes[number] = path + "/";
        contents[path] = "dir";
        break;
      case NodeType::kFile:
        contents[path] = (record.executable != 0 ? "exec:" : "file:") + ReadFile(image, record);
        break;
      case NodeType::kSymlink:
        contents[path] = "link:" + std::string(index.Target(record));
        break;
    }
  }
  return contents;
}

}  // namespace ocirepofs
