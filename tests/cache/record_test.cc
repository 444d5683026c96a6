#include "cache/record.h"

#include <string>

#include "tests/support/cache_fixture.h"

namespace ocirepofs {
namespace {

using std::chrono::seconds;

constexpr Timestamp kStart{seconds(1795519416)};
constexpr Timestamp kLater = kStart + seconds(60);

Record FullRecord() {
  Record record;
  record.api_version = "source.toolkit.fluxcd.io/v1";
  record.annotations = {{"a", "1"}, {"empty", ""}, {"reconcile.fluxcd.io/requestedAt", "now"}};
  record.spec = nlohmann::ordered_json::parse(
      R"({"url": "oci://r/x", "interval": "5m", "ref": {"tag": "v1"}, "list": [1, null, true]})");
  record.previous_stem = StemNumber(5);
  SourceStatus& status = record.status;
  status.generation = 3;
  status.created = kStart;
  status.observed_generation = 2;
  status.last_handled_reconcile_at = "yesterday";
  status.artifact = Artifact{.tag = "v1",
                             .source_digest = Digest::Of("source"),
                             .checksum = Digest::Of("tarball"),
                             .path = "ocirepository/apps/podinfo/x.tar.gz",
                             .size = UINT64_MAX,
                             .last_update_time = kLater,
                             .metadata = {{"org.opencontainers.image.revision", "abc"}}};
  status.observed_content = {
      .ignore = "*.md",
      .layer_selector = LayerSelector{.media_type = "application/x", .operation = std::nullopt}};
  status.conditions.Set(condition::kReady, ConditionStatus::kUnknown, "Progressing", "m\n\"", 3,
                        kStart);
  status.conditions.Set(condition::kFetchFailed, ConditionStatus::kTrue, "Failed", "why", 2,
                        kLater);
  status.conditions.Set(condition::kSourceVerified, ConditionStatus::kFalse, "No", "", 1, kLater);
  status.AddEvent(true, "Failed", "why", kStart);
  status.AddEvent(true, "Failed", "why", kLater);
  status.AddEvent(false, "NewArtifact", "stored", kLater);
  return record;
}

void ExpectEqual(const Record& a, const Record& b) {
  EXPECT_EQ(a.api_version, b.api_version);
  EXPECT_EQ(a.annotations, b.annotations);
  EXPECT_EQ(a.spec, b.spec);
  EXPECT_EQ(a.previous_stem, b.previous_stem);
  EXPECT_EQ(a.status, b.status);
}

TEST(Record, ComesBackAsItWas) {
  const auto decoded = DecodeRecord(EncodeRecord(FullRecord()));
  ASSERT_EQ(Outcome(decoded), "success");
  ExpectEqual(*decoded, FullRecord());
  EXPECT_EQ(EncodeRecord(*decoded), EncodeRecord(FullRecord()));
}

TEST(Record, KeepsTheOrderOfTheSpec) {
  const auto decoded = DecodeRecord(EncodeRecord(FullRecord()));
  ASSERT_EQ(Outcome(decoded), "success");
  EXPECT_EQ(decoded->spec.dump(), FullRecord().spec.dump());
}

TEST(Record, OfNothingComesBackToo) {
  const auto decoded = DecodeRecord(EncodeRecord(Record{}));
  ASSERT_EQ(Outcome(decoded), "success");
  ExpectEqual(*decoded, Record{});
}

TEST(Record, TellsAbsentFromEmptyContentConfig) {
  Record record;
  record.status.observed_content.ignore = "";
  record.status.observed_content.layer_selector = LayerSelector{};
  const auto decoded = DecodeRecord(EncodeRecord(record));
  ASSERT_EQ(Outcome(decoded), "success");
  EXPECT_EQ(decoded->status.observed_content, record.status.observed_content);
  EXPECT_NE(decoded->status.observed_content, ContentConfig{});
}

TEST(Record, TimesBeforeTheEpochAreKept) {
  Record record;
  record.status.created = Timestamp(seconds(-1));
  const auto decoded = DecodeRecord(EncodeRecord(record));
  ASSERT_EQ(Outcome(decoded), "success");
  EXPECT_EQ(decoded->status.created, record.status.created);
}

TEST(Record, BytesThatAreNotUtf8AreReplaced) {
  Record record = FullRecord();
  record.annotations = {{"bad",
                         "a\xff\xfe"
                         "b\xc3"},
                        {"worse\x80", "x"}};
  record.status.artifact->metadata = {{"k", "\xed\xa0\x80"}};
  const auto decoded = DecodeRecord(EncodeRecord(record));
  ASSERT_EQ(Outcome(decoded), "success");
  EXPECT_EQ(decoded->annotations.at("bad"),
            "a\xef\xbf\xbd\xef\xbf\xbd"
            "b\xef\xbf\xbd");
  EXPECT_EQ(decoded->annotations.at("worse\xef\xbf\xbd"), "x");
  EXPECT_NE(decoded->status.artifact->metadata.at("k"), "");
  EXPECT_EQ(decoded->status.artifact->checksum, record.status.artifact->checksum);
}

TEST(Record, ControlCharactersAreKept) {
  Record record;
  record.annotations = {{"k", std::string("\0\x1b\n\x7f", 4)}};
  const auto decoded = DecodeRecord(EncodeRecord(record));
  ASSERT_EQ(Outcome(decoded), "success");
  EXPECT_EQ(decoded->annotations, record.annotations);
}

TEST(Record, OfAnotherVersionIsCorrupt) {
  std::string text = EncodeRecord(FullRecord());
  const std::string version = "\"version\": 1,";
  ASSERT_NE(text.find(version), std::string::npos);
  text.replace(text.find(version), version.size(), "\"version\": 2,");
  EXPECT_EQ(Outcome(DecodeRecord(text)), "kCorrupt: the record is of another version");
}

TEST(Record, TruncationAtEveryLengthIsCorrupt) {
  const std::string whole = EncodeRecord(FullRecord());
  // Without its last newline it is still whole.
  for (size_t size = 0; size + 1 < whole.size(); ++size) {
    ASSERT_EQ(Outcome(DecodeRecord(whole.substr(0, size))).substr(0, 37),
              "kCorrupt: the record can't be read: [")
        << size;
  }
}

TEST(Record, FieldsThatAreMissingOrOfAnotherTypeAreCorrupt) {
  const auto whole = nlohmann::ordered_json::parse(EncodeRecord(FullRecord()));
  for (const auto& [key, value] : whole.items()) {
    auto without = whole;
    without.erase(key);
    EXPECT_EQ(Outcome(DecodeRecord(without.dump())).substr(0, 9), "kCorrupt:") << key;
    if (key == "spec") continue;  // may be anything
    auto other = whole;
    other[key] = nlohmann::ordered_json::array({"x"});
    EXPECT_EQ(Outcome(DecodeRecord(other.dump())).substr(0, 9), "kCorrupt:") << key;
  }
  for (const char* text : {"", "null", "[]", "1", "\"x\"", "{}", "{\"version\": \"1\"}", "\xff"}) {
    EXPECT_EQ(Outcome(DecodeRecord(text)).substr(0, 9), "kCorrupt:") << text;
  }
}

TEST(Record, DigestsThatAreNoneAreCorrupt) {
  auto json = nlohmann::ordered_json::parse(EncodeRecord(FullRecord()));
  json["artifact"]["checksum"] = "sha256:abc";
  EXPECT_EQ(DecodeRecord(json.dump()).error().code, ErrorCode::kCorrupt);
}

TEST(Record, NumbersThatAreNoneOfAnArtifactAreCorrupt) {
  auto json = nlohmann::ordered_json::parse(EncodeRecord(FullRecord()));
  json["artifact"]["size"] = "12";
  EXPECT_EQ(DecodeRecord(json.dump()).error().code, ErrorCode::kCorrupt);
}

TEST(Record, DeepJsonIsCorruptAndNoCrash) {
  EXPECT_EQ(DecodeRecord(std::string(200'000, '[')).error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace ocirepofs
