#include "fs/status_table.h"

#include <algorithm>

#include "conf/printable.h"

namespace ocirepofs {
namespace {

constexpr size_t kColumnGap = 3;

std::string TwoUnits(int64_t large, char large_unit, int64_t small, char small_unit) {
  if (small == 0) return fmt::format("{}{}", large, large_unit);
  return fmt::format("{}{}{}{}", large, large_unit, small, small_unit);
}

}  // namespace

std::string FormatAge(std::chrono::seconds age) {
  const int64_t seconds = std::max<int64_t>(age.count(), 0);
  const int64_t minutes = seconds / 60;
  const int64_t hours = minutes / 60;
  const int64_t days = hours / 24;
  const int64_t years = days / 365;
  if (minutes < 2) return fmt::format("{}s", seconds);
  if (minutes < 10) return TwoUnits(minutes, 'm', seconds % 60, 's');
  if (hours < 3) return fmt::format("{}m", minutes);
  if (hours < 8) return TwoUnits(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return fmt::format("{}h", hours);
  if (days < 8) return TwoUnits(days, 'd', hours % 24, 'h');
  if (years < 2) return fmt::format("{}d", days);
  if (years < 8) return TwoUnits(years, 'y', days % 365, 'd');
  return fmt::format("{}y", years);
}

std::string RenderTable(const std::vector<std::shared_ptr<const Publication>>& publications,
                        Layout layout, Timestamp now) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "URL", "AGE", "READY", "STATUS"}};
  if (layout == Layout::kNamespaced) rows[0].insert(rows[0].begin(), "NAMESPACE");
  for (const auto& publication : publications) {
    const ObjectKey& key = publication->repository->key;
    const Condition* ready = publication->status.conditions.Find(condition::kReady);
    std::string message = Printable(ready != nullptr ? ready->message : "");
    rows.push_back({key.name, Printable(publication->repository->spec.url),
                    FormatAge(now - publication->status.created),
                    std::string(ready != nullptr ? ToString(ready->status) : ""),
                    std::move(message)});
    if (layout == Layout::kNamespaced) {
      rows.back().insert(rows.back().begin(), key.namespace_name);
    }
  }
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      text += fmt::format("{:<{}}", row[i], widths[i] + kColumnGap);
    }
    text += row.back() + "\n";
  }
  return text;
}

}  // namespace ocirepofs
