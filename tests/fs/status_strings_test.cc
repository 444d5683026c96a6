#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <map>

#include "fs/status_text.h"

namespace ocirepofs {
namespace {

constexpr Timestamp kThen{std::chrono::seconds(1795519416)};

std::shared_ptr<OciRepository> Repository() {
  auto repository = std::make_shared<OciRepository>();
  repository->key = {"default", "podinfo"};
  repository->spec_as_written = nlohmann::ordered_json::object();
  return repository;
}

/// With an artifact that carries these annotations.
Publication With(std::map<std::string, std::string> annotations) {
  Publication publication;
  publication.repository = Repository();
  publication.status.artifact = Artifact{.tag = "latest",
                                         .source_digest = Digest::Of("manifest"),
                                         .checksum = Digest::Of("tarball"),
                                         .path = "ocirepository/default/podinfo/a.tar.gz",
                                         .size = 1,
                                         .last_update_time = kThen,
                                         .metadata = std::move(annotations)};
  return publication;
}

std::string Render(const Publication& publication) {
  return RenderStatus(publication, "file:///cache/");
}

/// For messages: with escapes, and not all of a long one.
std::string Shown(const std::string& text) { return testing::PrintToString(text.substr(0, 100)); }

// Strings that YAML would take for something else.

std::vector<std::string> OddStrings() {
  return {"",
          " ",
          "  leading",
          "trailing  ",
          "\n",
          "\n\n",
          "one\n",
          "one\ntwo",
          "one\ntwo\n",
          "one\n\n",
          "\nafter",
          "one\n\n\ntwo\n",
          "  indented\nless\n",
          "less\n  indented\n",
          "tab\there",
          "\tlead",
          "a\n\tb\n",
          "cr\r",
          "crlf\r\nline\r\n",
          "a \n b \n",
          std::string("nul\0inside", 10),
          "\x01\x02\x1b[31m",
          "\x7f",
          "bell\a",
          "true",
          "True",
          "FALSE",
          "yes",
          "No",
          "on",
          "OFF",
          "y",
          "N",
          "null",
          "Null",
          "~",
          "1",
          "-1",
          "+1",
          "0",
          "007",
          "0o14",
          "0x1F",
          "0b11",
          "1_000",
          "1.5",
          ".5",
          "1.",
          "1e3",
          "1E-3",
          "12e03",
          ".inf",
          "-.INF",
          "+.Inf",
          ".nan",
          ".NaN",
          "190:20:30",
          "1:30",
          "2001-12-14",
          "2001-12-14T21:59:43.10-05:00",
          "2001-12-14t21:59:43.1-05:00",
          "2001-12-14 21:59:43",
          "=",
          "<<",
          "-",
          "- a",
          "?",
          "? a",
          ":",
          "a: b",
          "a:",
          ":a",
          "a #b",
          "#a",
          "a#b",
          "&a",
          "*a",
          "!a",
          "!!str a",
          "|",
          ">",
          "|\n",
          "%a",
          "@a",
          "`a",
          "'a'",
          "\"a\"",
          "a\"b'c\\d",
          "\\n",
          "{a: b}",
          "[a]",
          "a, b",
          "]",
          "}",
          "---",
          "--- a",
          "...",
          "a\n---\nb\n",
          "---\na\n",
          "a\n...\n",
          "# comment\n",
          "key: value\nother: value\n",
          "é",
          "日本語",
          "🙂",
          "\u0085",
          "a\u0085b",
          "a\u2028b",
          "a\u2029b",
          "\ufeff",
          "\ufeffbom",
          "a\u00a0b",
          "\u0080",
          "\u009f",
          "é\nü\n",
          "\u2028\n",
          std::string(30'000, 'x'),
          std::string(5'000, ' ') + "x"};
}

TEST(OddStrings, AreReadBackAsTheyWere) {
  for (const std::string& odd : OddStrings()) {
    SCOPED_TRACE(Shown(odd));
    Publication publication = With({{"a", odd}, {"b", "after"}});
    const auto repository = Repository();
    repository->annotations = {{"a", odd}, {"b", "after"}};
    repository->spec_as_written = {{"ignore", odd}, {"list", {odd, odd}}, {"last", "after"}};
    publication.repository = repository;
    publication.status.conditions.Set(condition::kFetchFailed, ConditionStatus::kTrue, "R", odd, 1,
                                      kThen);
    publication.status.last_handled_reconcile_at = odd;
    publication.status.AddEvent(true, "R", odd, kThen);

    const YAML::Node read = YAML::Load(Render(publication));
    const YAML::Node status = read["status"];
    for (const YAML::Node& node :
         {read["metadata"]["annotations"]["a"], read["spec"]["ignore"], read["spec"]["list"][0],
          read["spec"]["list"][1], status["artifact"]["metadata"]["a"],
          status["conditions"][0]["message"], read["events"][0]["message"]}) {
      ASSERT_TRUE(node.IsScalar());
      EXPECT_EQ(Shown(node.Scalar()), Shown(odd));
      EXPECT_EQ(node.Scalar().size(), odd.size());
    }
    if (!odd.empty()) {
      EXPECT_EQ(Shown(status["lastHandledReconcileAt"].Scalar()), Shown(odd));
    }
    EXPECT_EQ(read["metadata"]["annotations"]["b"].Scalar(), "after");
    EXPECT_EQ(read["spec"]["last"].Scalar(), "after");
  }
}

TEST(OddStrings, AreReadBackAsKeys) {
  for (const std::string& odd : OddStrings()) {
    SCOPED_TRACE(Shown(odd));
    const YAML::Node read = YAML::Load(Render(With({{odd, "value"}, {"zz", "after"}})));
    const YAML::Node metadata = read["status"]["artifact"]["metadata"];
    std::map<std::string, std::string> entries;
    for (const auto& entry : metadata) entries[entry.first.Scalar()] = entry.second.Scalar();
    const std::map<std::string, std::string> expected = {{odd, "value"}, {"zz", "after"}};
    EXPECT_TRUE(entries == expected);
  }
}

/// How a reader of YAML 1.1 takes a plain scalar; they take more for something else than 1.2 does.
TEST(OddStrings, WordsThatAnyYamlReaderTakesForSomethingElseAreQuoted) {
  for (const char* word :
       {"true", "No", "y", "null", "~", "12", "0x1F", "1e3", "190:20:30", ".inf", "-.INF", ".NaN",
        "2001-12-14", "2001-12-14T21:59:43Z", "2001-12-14t21:59:43.1-05:00", "2001-12-14 21:59:43",
        "1_000", "=", "<<"}) {
    Publication publication = With({});
    publication.status.last_handled_reconcile_at = word;
    const std::string text = Render(publication);
    EXPECT_NE(text.find(fmt::format("lastHandledReconcileAt: \"{}\"\n", word)), std::string::npos)
        << word;
  }
}

/// NEL, LS and PS end a line for readers of YAML 1.1, and these refuse the whole document for the
/// others: unescaped, a registry's annotation could break it, or put fields of its own into it.
TEST(OddStrings, CharactersThatYamlGivesAMeaningOrRefusesAreEscaped) {
  for (const std::string character :
       {"\u0085", "\u2028", "\u2029", "\x7f", "\u0080", "\u009f", "\ufeff", "\ufffe", "\uffff"}) {
    const std::string text = Render(With({{"a", "x" + character + "evil: true"}}));
    EXPECT_EQ(text.find(character), std::string::npos) << testing::PrintToString(character);
  }
}

}  // namespace
}  // namespace ocirepofs
