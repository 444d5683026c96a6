#include "fs/status_table.h"

#include <gtest/gtest.h>

namespace ocirepofs {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Timestamp kNow{seconds(1795519416)};
constexpr hours kDay{24};
constexpr hours kYear{24 * 365};

TEST(FormatAge, ReadsAsKubectlWritesIt) {
  const std::vector<std::pair<seconds, std::string>> table = {
      {seconds(0), "0s"},
      {seconds(1), "1s"},
      {seconds(119), "119s"},
      {seconds(120), "2m"},
      {seconds(121), "2m1s"},
      {minutes(3) - seconds(1), "2m59s"},
      {minutes(3), "3m"},
      {minutes(10) - seconds(1), "9m59s"},
      {minutes(10), "10m"},
      {minutes(10) + seconds(1), "10m"},
      {hours(3) - seconds(1), "179m"},
      {hours(3), "3h"},
      {hours(3) + minutes(1), "3h1m"},
      {hours(8) - seconds(1), "7h59m"},
      {hours(8), "8h"},
      {hours(8) + minutes(59), "8h"},
      {2 * kDay - seconds(1), "47h"},
      {2 * kDay, "2d"},
      {2 * kDay + minutes(59), "2d"},
      {2 * kDay + hours(1), "2d1h"},
      {8 * kDay - seconds(1), "7d23h"},
      {8 * kDay, "8d"},
      {8 * kDay + hours(23), "8d"},
      {2 * kYear - seconds(1), "729d"},
      {2 * kYear, "2y"},
      {2 * kYear + hours(23), "2y"},
      {2 * kYear + kDay, "2y1d"},
      {3 * kYear - seconds(1), "2y364d"},
      {8 * kYear - seconds(1), "7y364d"},
      {8 * kYear, "8y"},
      {8 * kYear + 364 * kDay, "8y"},
  };
  for (const auto& [age, text] : table) EXPECT_EQ(FormatAge(age), text) << age.count();
}

TEST(FormatAge, AClockThatWentBackIsNoAge) { EXPECT_EQ(FormatAge(seconds(-5)), "0s"); }

std::shared_ptr<const Publication> Row(ObjectKey key, std::string url, seconds age,
                                       std::optional<ConditionStatus> ready = {},
                                       std::string_view message = {}) {
  auto repository = std::make_shared<OciRepository>();
  repository->key = std::move(key);
  repository->spec.url = std::move(url);
  auto publication = std::make_shared<Publication>();
  publication->repository = std::move(repository);
  publication->status.created = kNow - age;
  if (ready) {
    publication->status.conditions.Set(condition::kReady, *ready, "Reason", message, 1, kNow);
  }
  return publication;
}

TEST(RenderTable, IsItsHeadingsWhereNothingIsConfigured) {
  EXPECT_EQ(RenderTable({}, Layout::kFlat, kNow), "NAME   URL   AGE   READY   STATUS\n");
  EXPECT_EQ(RenderTable({}, Layout::kNamespaced, kNow),
            "NAMESPACE   NAME   URL   AGE   READY   STATUS\n");
}

TEST(RenderTable, ReadsAsKubectlPrintsIt) {
  const std::vector<std::shared_ptr<const Publication>> rows = {
      Row({"default", "podinfo"}, "oci://reg.lab/stefanprodan/manifests/podinfo", seconds(35),
          ConditionStatus::kTrue, "stored artifact for digest 'latest@sha256:3b6c'"),
      Row({"default", "web"}, "oci://r.example/web", hours(3), ConditionStatus::kFalse,
          "failed to determine artifact digest"),
      Row({"default", "new"}, "oci://r.example/new", seconds(0)),
      Row({"default", "now"}, "oci://r.example/now", seconds(1), ConditionStatus::kUnknown,
          "reconciliation in progress"),
  };
  EXPECT_EQ(RenderTable(rows, Layout::kFlat, kNow),
            "NAME      URL                                            AGE   READY     STATUS\n"
            "podinfo   oci://reg.lab/stefanprodan/manifests/podinfo   35s   True      stored "
            "artifact for digest 'latest@sha256:3b6c'\n"
            "web       oci://r.example/web                            3h    False     failed to "
            "determine artifact digest\n"
            "new       oci://r.example/new                            0s              \n"
            "now       oci://r.example/now                            1s    Unknown   "
            "reconciliation in progress\n");
}

TEST(RenderTable, NamesTheNamespaceWhereTheLayoutHasIt) {
  const std::vector<std::shared_ptr<const Publication>> rows = {
      Row({"apps", "a"}, "oci://r.example/a", seconds(1), ConditionStatus::kTrue, "stored"),
      Row({"infrastructure", "a"}, "oci://r.example/a", seconds(2), ConditionStatus::kTrue, "s")};
  EXPECT_EQ(RenderTable(rows, Layout::kNamespaced, kNow),
            "NAMESPACE        NAME   URL                 AGE   READY   STATUS\n"
            "apps             a      oci://r.example/a   1s    True    stored\n"
            "infrastructure   a      oci://r.example/a   2s    True    s\n");
}

TEST(RenderTable, ARowIsALineWhateverTheMessage) {
  const std::vector<std::shared_ptr<const Publication>> rows = {
      Row({"default", "a"}, "oci://r.example/a", seconds(1), ConditionStatus::kFalse,
          "line 1\nline 2\r\x1b[31mred\tend")};
  const std::string text = RenderTable(rows, Layout::kFlat, kNow);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  for (const char c : text) EXPECT_TRUE(c == '\n' || c >= ' ') << static_cast<int>(c);
}

}  // namespace
}  // namespace ocirepofs
