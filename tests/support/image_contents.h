#pragma once

#include <map>
#include <memory>
#include <string>

#include "cache/image.h"

namespace ocirepofs {

/// What an image shows, by path: "dir", "file:CONTENTS", "exec:CONTENTS" or "link:TARGET". The root
/// is left out. What can't be read fails the test.
using ImageContents = std::map<std::string, std::string>;
ImageContents ContentsOf(const std::shared_ptr<const Image>& image);

}  // namespace ocirepofs
