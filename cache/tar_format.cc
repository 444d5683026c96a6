#include "cache/tar_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace ocirepofs {
namespace {

constexpr size_t kNameSize = 100;
constexpr size_t kPrefixSize = 155;
constexpr uint64_t kLargestOctalSize = 077777777777;

struct Field {
  size_t offset;
  size_t size;
};
constexpr Field kName{0, kNameSize};
constexpr Field kMode{100, 8};
constexpr Field kUid{108, 8};
constexpr Field kGid{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kTime{136, 12};
constexpr Field kChecksum{148, 8};
constexpr Field kTypeFlag{156, 1};
constexpr Field kLinkName{157, kNameSize};
constexpr Field kMagic{257, 8};
constexpr Field kDeviceMajor{329, 8};
constexpr Field kDeviceMinor{337, 8};
constexpr Field kPrefix{345, kPrefixSize};

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & '\x80') == 0; });
}

std::string ToAscii(std::string_view text) {
  std::string ascii;
  std::copy_if(text.begin(), text.end(), std::back_inserter(ascii),
               [](char c) { return (c & '\x80') == 0; });
  return ascii;
}

void PutText(std::string* block, Field field, std::string_view text) {
  const std::string_view cut = text.substr(0, field.size);
  const auto place = block->begin() + static_cast<ptrdiff_t>(field.offset);
  std::copy(cut.begin(), cut.end(), place);
  // Go ends a name that it cut behind a slash before that slash, lest it be taken for a
  // directory's.
  if (text.size() > field.size && cut.back() == '/') {
    const size_t kept = cut.find_last_not_of('/', field.size - 2) + 1;
    place[static_cast<ptrdiff_t>(kept)] = '\0';
  }
}

void PutOctal(std::string* block, Field field, uint64_t value) {
  PutText(block, field, fmt::format("{:0{}o}", value, field.size - 1));
}

/// Splits a name too long for its field at a slash, as ustar allows. False where it can't be done.
bool SplitName(std::string_view name, std::string_view* prefix, std::string_view* suffix) {
  if (name.size() <= kNameSize || !IsAscii(name)) return false;
  const size_t slash = name.substr(0, kPrefixSize + 1).rfind('/');
  if (slash == std::string_view::npos || slash == 0) return false;
  *prefix = name.substr(0, slash);
  *suffix = name.substr(slash + 1);
  return !suffix->empty() && suffix->size() <= kNameSize;
}

void PutCommonAndChecksum(std::string* block, char type, uint64_t mode, uint64_t size) {
  (*block)[kTypeFlag.offset] = type;
  PutOctal(block, kMode, mode);
  PutOctal(block, kUid, 0);
  PutOctal(block, kGid, 0);
  PutOctal(block, kSize, size);
  PutOctal(block, kTime, 0);
  PutText(block, kMagic, std::string_view("ustar\00000", kMagic.size));
}

void PutChecksum(std::string* block) {
  PutText(block, kChecksum, "        ");
  uint64_t sum = 0;
  for (const char c : *block) sum += static_cast<unsigned char>(c);
  PutText(block, kChecksum, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
}

/// "<length> <key>=<value>\n", where the length counts itself.
std::string PaxRecord(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;  // space, '=', newline
  size_t length = rest;
  while (length != rest + fmt::formatted_size("{}", length)) {
    length = rest + fmt::formatted_size("{}", length);
  }
  return fmt::format("{} {}={}\n", length, key, value);
}

/// The extended header that carries `records`, named as Go names it.
std::string PaxHeader(std::string_view name, const std::string& records) {
  const size_t slash = name.rfind('/');
  const bool nested = slash != std::string_view::npos;
  const std::string header_name =
      nested ? fmt::format("{}/PaxHeaders.0/{}", name.substr(0, slash), name.substr(slash + 1))
             : fmt::format("PaxHeaders.0/{}", name);
  std::string ascii = ToAscii(header_name).substr(0, kNameSize);
  ascii.resize(ascii.find_last_not_of('/') + 1);

  std::string block(kTarBlock, '\0');
  PutText(&block, kName, ascii);
  PutCommonAndChecksum(&block, 'x', 0, records.size());
  PutChecksum(&block);
  return block + records + std::string(TarPadding(records.size()), '\0');
}

uint64_t ModeOf(const TarEntry& entry) {
  switch (entry.type) {
    case TarType::kDirectory:
      return 0750;
    case TarType::kSymlink:
      return 0777;
    case TarType::kFile:
    case TarType::kHardLink:
      return entry.executable ? 0700 : 0600;
  }
  return 0600;
}

}  // namespace

std::string TarHeader(const TarEntry& entry) {
  std::string_view prefix;
  std::string_view name = entry.name;
  const bool name_fits = IsAscii(name) && name.size() <= kNameSize;
  const bool link_fits = IsAscii(entry.link_name) && entry.link_name.size() <= kNameSize;
  const bool size_fits = entry.size <= kLargestOctalSize;

  std::string records;  // in the order of their keys
  if (!link_fits || !size_fits || (!name_fits && !SplitName(entry.name, &prefix, &name))) {
    // An extended header says each field whole, so the ustar prefix is not used beside it.
    prefix = {};
    name = entry.name;
    if (!link_fits) records += PaxRecord("linkpath", entry.link_name);
    if (!name_fits) records += PaxRecord("path", entry.name);
    if (!size_fits) records += PaxRecord("size", fmt::format("{}", entry.size));
  }

  std::string block(kTarBlock, '\0');
  PutText(&block, kName, ToAscii(name));
  PutText(&block, kLinkName, ToAscii(entry.link_name));
  PutCommonAndChecksum(&block, static_cast<char>(entry.type), ModeOf(entry),
                       size_fits ? entry.size : 0);
  PutOctal(&block, kDeviceMajor, 0);
  PutOctal(&block, kDeviceMinor, 0);
  PutText(&block, kPrefix, prefix);
  PutChecksum(&block);
  return records.empty() ? block : PaxHeader(entry.name, records) + block;
}

}  // namespace ocirepofs
