#include "conf/manifest/manifest.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ocirepofs {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

Configuration Parse(const std::string& text) {
  Configuration configuration;
  ParseManifests("a.yaml", text, &configuration);
  return configuration;
}

std::vector<std::string> Errors(const Configuration& configuration) {
  std::vector<std::string> errors;
  for (const Diagnostic& error : configuration.errors) errors.push_back(error.ToString());
  return errors;
}

std::vector<std::string> ErrorsOf(const std::string& text) { return Errors(Parse(text)); }

using Strings = std::vector<std::string>;

constexpr std::string_view kHead =
    "apiVersion: source.toolkit.fluxcd.io/v1\n"
    "kind: OCIRepository\n"
    "metadata:\n"
    "  name: podinfo\n"
    "spec:\n"
    "  url: oci://registry.example.com/podinfo\n";

/// A manifest with these further lines under spec, the first of which is line 7 when `interval` is
/// among them, else line 8.
std::string WithSpec(std::string_view lines) {
  std::string text(kHead);
  if (lines.find("  interval:") == std::string_view::npos) text += "  interval: 5m\n";
  text += lines;
  return text;
}

OciRepositorySpec SpecOf(std::string_view lines) {
  const Configuration configuration = Parse(WithSpec(lines));
  EXPECT_EQ(Errors(configuration), Strings{});
  EXPECT_EQ(configuration.repositories.size(), 1u);
  return configuration.repositories.empty() ? OciRepositorySpec{}
                                            : configuration.repositories.begin()->second.spec;
}

TEST(Manifest, MinimalHasTheDefaults) {
  const Configuration configuration = Parse(WithSpec(""));
  ASSERT_EQ(Errors(configuration), Strings{});
  const OciRepository& repository = configuration.repositories.at({"default", "podinfo"});
  EXPECT_EQ(repository.api_version, ApiVersion::kV1);
  EXPECT_EQ(repository.key.ToString(), "default/podinfo");
  EXPECT_EQ(repository.position, (Position{"a.yaml", 1, 1}));
  OciRepositorySpec expected;
  expected.url = "oci://registry.example.com/podinfo";
  expected.interval = minutes(5);
  expected.timeout = seconds(60);
  EXPECT_EQ(repository.spec, expected);
  EXPECT_EQ(repository.spec_as_written.dump(),
            R"({"url":"oci://registry.example.com/podinfo","interval":"5m"})");
}

TEST(Manifest, EverySupportedFieldIsRead) {
  const Configuration configuration = Parse(
      "# a comment first\n"
      "apiVersion: source.toolkit.fluxcd.io/v1beta2\n"
      "kind: OCIRepository\n"
      "metadata:\n"
      "  name: app.v2\n"
      "  namespace: team-a\n"
      "  labels: {tier: web}\n"
      "  annotations:\n"
      "    reconcile.fluxcd.io/requestedAt: \"2026-11-24\"\n"
      "spec:\n"
      "  interval: 1h30m\n"
      "  timeout: 90s\n"
      "  url: oci://localhost:5000/app\n"
      "  ref: {digest: 'sha256:ab', semver: '>= 1.0', semverFilter: '.*-rc.*', tag: \"1.0\"}\n"
      "  layerSelector:\n"
      "    mediaType: application/x\n"
      "    operation: copy\n"
      "  provider: generic\n"
      "  ignore: |\n"
      "    *.md\n"
      "  insecure: true\n"
      "  suspend: yes\n"
      "status:\n"
      "  observedGeneration: -1\n");
  ASSERT_EQ(Errors(configuration), Strings{});
  const OciRepository& repository = configuration.repositories.at({"team-a", "app.v2"});
  EXPECT_EQ(repository.api_version, ApiVersion::kV1Beta2);
  EXPECT_EQ(repository.position, (Position{"a.yaml", 2, 1}));
  EXPECT_EQ(repository.annotations.at("reconcile.fluxcd.io/requestedAt"), "2026-11-24");
  OciRepositorySpec expected;
  expected.url = "oci://localhost:5000/app";
  expected.ref = {
      .digest = "sha256:ab", .semver = ">= 1.0", .semver_filter = ".*-rc.*", .tag = "1.0"};
  expected.layer_selector = LayerSelector{"application/x", "copy"};
  expected.interval = minutes(90);
  expected.timeout = seconds(90);
  expected.ignore = "*.md\n";
  expected.insecure = true;
  expected.suspend = true;
  EXPECT_EQ(repository.spec, expected);
  EXPECT_EQ(repository.spec_as_written.dump(),
            R"({"interval":"1h30m","timeout":"90s","url":"oci://localhost:5000/app",)"
            R"("ref":{"digest":"sha256:ab","semver":">= 1.0","semverFilter":".*-rc.*",)"
            R"("tag":"1.0"},"layerSelector":{"mediaType":"application/x","operation":"copy"},)"
            R"("provider":"generic","ignore":"*.md\n","insecure":true,"suspend":true})");
}

TEST(Manifest, JsonIsRead) {
  const Configuration configuration = Parse(
      "{\n\t\"apiVersion\":\"source.toolkit.fluxcd.io/v1\",\"kind\":\"OCIRepository\",\n"
      "\t\"metadata\":{\"name\":\"podinfo\"},\n"
      "\t\"spec\":{\"url\":\"oci:\\/\\/registry.example.com\\/"
      "a\\u0062\",\"interval\":\"5m\"}\n}\n");
  ASSERT_EQ(Errors(configuration), Strings{});
  EXPECT_EQ(configuration.repositories.at({"default", "podinfo"}).spec.url,
            "oci://registry.example.com/ab");
}

TEST(Manifest, AListGivesItsItems) {
  const Configuration configuration = Parse(
      "apiVersion: v1\n"
      "kind: List\n"
      "metadata: {resourceVersion: ''}\n"
      "items:\n"
      "- apiVersion: source.toolkit.fluxcd.io/v1\n"
      "  kind: OCIRepository\n"
      "  metadata: {name: a}\n"
      "  spec: {url: 'oci://x/a', interval: 5m}\n"
      "- apiVersion: v1\n"
      "  kind: List\n"
      "  items:\n"
      "  - apiVersion: source.toolkit.fluxcd.io/v1\n"
      "    kind: OCIRepository\n"
      "    metadata: {name: b}\n"
      "    spec: {url: 'oci://x/b', interval: bad}\n");
  EXPECT_EQ(Errors(configuration),
            Strings{"a.yaml:15:40: spec.interval: \"bad\" is not a duration such as 5m or 1h30m"});
  ASSERT_EQ(configuration.repositories.size(), 1u);
  EXPECT_EQ(configuration.repositories.begin()->second.position, (Position{"a.yaml", 5, 3}));
}

TEST(Manifest, OtherKindsAreNotes) {
  const Configuration configuration = Parse(
      "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: 1, a: 2}\n"
      "---\n"
      "apiVersion: v1\nkind: ServiceAccount\n"
      "---\n"
      "apiVersion: example.com/v1\nkind: OCIRepository\n");
  EXPECT_EQ(Errors(configuration), Strings{});
  ASSERT_EQ(configuration.notes.size(), 3u);
  EXPECT_EQ(configuration.notes[0].ToString(), "a.yaml:1:1: skipped: kind Secret");
  EXPECT_EQ(configuration.notes[1].ToString(), "a.yaml:6:1: skipped: kind ServiceAccount");
  EXPECT_EQ(configuration.notes[2].ToString(),
            "a.yaml:9:1: skipped: kind OCIRepository of \"example.com/v1\"");
}

TEST(Manifest, EmptyDocumentsAreSkipped) {
  const Configuration configuration =
      Parse("# nothing\n---\n---\n# still nothing\n---\n" + WithSpec("") + "---\n");
  EXPECT_EQ(Errors(configuration), Strings{});
  EXPECT_EQ(configuration.repositories.size(), 1u);
  EXPECT_EQ(ErrorsOf(""), Strings{});
}

TEST(Manifest, WhatIsNoManifestIsAnError) {
  EXPECT_EQ(ErrorsOf("just text\n"),
            Strings{"a.yaml:1:1: not a manifest: must be a mapping with apiVersion and kind; is "
                    "\"just text\""});
  EXPECT_EQ(ErrorsOf("replicas: 3\n"),
            (Strings{"a.yaml:1:1: apiVersion: required", "a.yaml:1:1: kind: required"}));
  EXPECT_EQ(ErrorsOf("apiVersion: v1\nkind: List\nitems: {}\n"),
            Strings{"a.yaml:3:8: items: must be a list; is a mapping"});
}

TEST(Manifest, RequiredFieldsAreNamed) {
  EXPECT_EQ(ErrorsOf("apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\n"),
            (Strings{"a.yaml:1:1: metadata: required", "a.yaml:1:1: spec: required"}));
  EXPECT_EQ(ErrorsOf("apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\n"
                     "metadata:\n  labels: {}\nspec:\n  url:\n"),
            (Strings{"a.yaml:4:3: metadata.name: required", "a.yaml:6:3: spec.url: required",
                     "a.yaml:6:3: spec.interval: required"}));
}

TEST(Manifest, ApiVersionsOfAnotherAgeAreRefused) {
  EXPECT_EQ(ErrorsOf("apiVersion: source.toolkit.fluxcd.io/v1beta1\nkind: OCIRepository\n"
                     "metadata: {name: a}\nspec: {url: 'oci://a/b', interval: 5m}\n"),
            Strings{"a.yaml:1:13: apiVersion: must be one of source.toolkit.fluxcd.io/v1, "
                    "source.toolkit.fluxcd.io/v1beta2; is \"source.toolkit.fluxcd.io/v1beta1\""});
}

TEST(Manifest, UnknownFieldsAreErrorsAtTheirKeys) {
  EXPECT_EQ(
      ErrorsOf(WithSpec("  foo: 1\n"
                        "  ref: {branch: main}\n"
                        "  layerSelector: {media: x}\n"
                        "extra: {}\n")),
      (Strings{"a.yaml:8:3: unknown field spec.foo", "a.yaml:9:9: unknown field spec.ref.branch",
               "a.yaml:10:19: unknown field spec.layerSelector.media",
               "a.yaml:11:1: unknown field extra"}));
}

TEST(Manifest, TypesAreChecked) {
  EXPECT_EQ(ErrorsOf(WithSpec("  ref: {tag: 6.1}\n"
                              "  suspend: \"true\"\n"
                              "  ignore: [a]\n"
                              "  layerSelector: all\n"
                              "  insecure: 1\n")),
            (Strings{"a.yaml:8:14: spec.ref.tag: must be a string; is \"6.1\" without quotes",
                     "a.yaml:9:12: spec.suspend: must be true or false; is \"true\"",
                     "a.yaml:10:11: spec.ignore: must be a string; is a list",
                     "a.yaml:11:18: spec.layerSelector: must be a mapping; is \"all\"",
                     "a.yaml:12:13: spec.insecure: must be true or false; is \"1\" without "
                     "quotes"}));
}

TEST(Manifest, PlainScalarsHaveTheTypesOfYaml11) {
  for (const std::string_view text : {"1", "0x1F", "0o17", "0b1", "1_000", "-1", "+1.5", ".5", "1.",
                                      "1e3", "6.10", ".inf", "-.Inf", ".NaN", "on", "No", "y"}) {
    EXPECT_EQ(ErrorsOf(WithSpec(fmt::format("  ref:\n    tag: {}\n", text))),
              Strings{fmt::format(
                  "a.yaml:9:10: spec.ref.tag: must be a string; is \"{}\" without quotes", text)});
  }
  for (const std::string_view text : {"6.1.8", "v1", "1e", "0x", "0xg", "1-2", ".", "+", "latest",
                                      "one", "yess", "2026-01-01", "!!str 6.1", "! 6.1", "'6.1'"}) {
    EXPECT_NE(SpecOf(fmt::format("  ref:\n    tag: {}\n", text)).ref.tag, "") << text;
  }
}

TEST(Manifest, NullCountsAsAbsent) {
  const Configuration configuration =
      Parse(WithSpec("  ref:\n  timeout: null\n  ignore: ~\n  verify: Null\n"));
  ASSERT_EQ(Errors(configuration), Strings{});
  const OciRepository& repository = configuration.repositories.begin()->second;
  EXPECT_EQ(repository.spec.timeout, seconds(60));
  EXPECT_EQ(repository.spec.ignore, std::nullopt);
  EXPECT_EQ(repository.spec_as_written.size(), 2u);
}

TEST(Manifest, AnEmptyIgnoreIsNotAnAbsentOne) { EXPECT_EQ(SpecOf("  ignore: ''\n").ignore, ""); }

TEST(Manifest, AnEmptyLayerSelectorIsNotAnAbsentOne) {
  EXPECT_EQ(SpecOf("  layerSelector: {}\n").layer_selector, LayerSelector{});
  EXPECT_EQ(SpecOf("  layerSelector: {mediaType: ''}\n").layer_selector, LayerSelector{});
  EXPECT_EQ(SpecOf("").layer_selector, std::nullopt);
}

TEST(Manifest, EnumsAreChecked) {
  EXPECT_EQ(ErrorsOf(WithSpec("  provider: foo\n  layerSelector: {operation: move}\n")),
            (Strings{"a.yaml:8:13: spec.provider: must be one of generic, aws, azure, gcp; is "
                     "\"foo\"",
                     "a.yaml:9:30: spec.layerSelector.operation: must be one of extract, copy; is "
                     "\"move\""}));
}

TEST(Manifest, OnlyTheSchemeOfAUrlIsChecked) {
  EXPECT_EQ(SpecOf("").url, "oci://registry.example.com/podinfo");
  const auto with_url = [](std::string_view url) {
    return fmt::format(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {{name: a}}\n"
        "spec:\n  interval: 5m\n  url: {}\n",
        url);
  };
  EXPECT_EQ(ErrorsOf(with_url("oci://UPPER/Case:tag")), Strings{});
  EXPECT_EQ(ErrorsOf(with_url("https://registry.example.com/a")),
            Strings{"a.yaml:6:8: spec.url: must start with oci://; is "
                    "\"https://registry.example.com/a\""});
  EXPECT_EQ(ErrorsOf(with_url("OCI://registry.example.com/a")).size(), 1u);
  EXPECT_EQ(ErrorsOf(with_url("\"oci://a\\nb\"")),
            Strings{"a.yaml:6:8: spec.url: must be one line; is \"oci://a\\nb\""});
}

TEST(Manifest, DurationsAreChecked) {
  const auto error = [](std::string_view line) {
    const Strings errors = ErrorsOf(WithSpec(line));
    return errors.size() == 1 ? errors[0] : fmt::format("{} errors", errors.size());
  };
  EXPECT_EQ(error("  interval: \"5\"\n"),
            "a.yaml:7:13: spec.interval: \"5\" is not a duration such as 5m or 1h30m");
  EXPECT_EQ(error("  interval: 5\n"),
            "a.yaml:7:13: spec.interval: \"5\" is not a duration such as 5m or 1h30m");
  EXPECT_EQ(error("  interval: -1s\n"),
            "a.yaml:7:13: spec.interval: \"-1s\" is not a duration such as 5m or 1h30m");
  EXPECT_EQ(error("  interval: 1e9h\n"),
            "a.yaml:7:13: spec.interval: \"1e9h\" is not a duration such as 5m or 1h30m");
  EXPECT_EQ(error("  interval: 9999999h\n"),
            "a.yaml:7:13: spec.interval: \"9999999h\" is too long a duration");
  EXPECT_EQ(error("  interval: 0s\n"),
            "a.yaml:7:13: spec.interval: must be longer than 0s; is \"0s\"");
  EXPECT_EQ(error("  interval: {}\n"),
            "a.yaml:7:13: spec.interval: must be a string; is a mapping");
  EXPECT_EQ(error("  timeout: 1h\n"),
            "a.yaml:8:12: spec.timeout: \"1h\" is not a duration such as 30s or 5m (hours are not "
            "taken)");
}

TEST(Manifest, LongValuesAreCutInMessages) {
  const Strings errors =
      ErrorsOf(WithSpec("  interval: \"" + std::string(1'000'000, '5') + "\"\n"));
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_LT(errors[0].size(), 200u);
}

TEST(Manifest, NamesAreChecked) {
  const auto errors = [](std::string_view metadata) {
    return ErrorsOf(
        fmt::format("apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {}\n"
                    "spec: {{url: 'oci://a/b', interval: 5m}}\n",
                    metadata));
  };
  for (const std::string_view name : {"..", ".", "a/b", "", "Upper", "dot.", "-a"}) {
    EXPECT_EQ(errors(fmt::format("{{name: '{}'}}", name)),
              Strings{fmt::format("a.yaml:3:18: metadata.name: \"{}\" is not a DNS-1123 subdomain: "
                                  "lower-case letters, digits, '-' and '.', at most 253 characters",
                                  name)});
  }
  EXPECT_EQ(errors(fmt::format("{{name: {}}}", std::string(254, 'a'))).size(), 1u);
  EXPECT_EQ(errors(fmt::format("{{name: {}}}", std::string(253, 'a'))), Strings{});
  EXPECT_EQ(errors("{name: a, namespace: a.b}"),
            Strings{"a.yaml:3:32: metadata.namespace: \"a.b\" is not a DNS-1123 label: lower-case "
                    "letters, digits and '-', at most 63 characters"});
  EXPECT_EQ(errors("{name: 7}"),
            Strings{"a.yaml:3:18: metadata.name: must be a string; is \"7\" without quotes"});
  EXPECT_EQ(errors("{name: a, annotations: {b: 7}}"),
            Strings{"a.yaml:3:38: metadata.annotations.\"b\": must be a string; is \"7\" without "
                    "quotes"});
}

TEST(Manifest, WhatIsNotBuiltYetIsRefused) {
  EXPECT_EQ(ErrorsOf(WithSpec("  secretRef: {name: s}\n"
                              "  serviceAccountName: sa\n"
                              "  certSecretRef: {name: s}\n"
                              "  proxySecretRef: {name: s}\n"
                              "  verify: {provider: cosign}\n"
                              "  provider: aws\n")),
            (Strings{"a.yaml:8:3: spec.secretRef: not supported yet",
                     "a.yaml:9:3: spec.serviceAccountName: not supported yet",
                     "a.yaml:10:3: spec.certSecretRef: not supported yet",
                     "a.yaml:11:3: spec.proxySecretRef: not supported yet",
                     "a.yaml:12:3: spec.verify: not supported yet",
                     "a.yaml:13:13: spec.provider: \"aws\" is not supported yet, only \"generic\" "
                     "is"}));
}

TEST(Manifest, WhatIsNotBuiltYetIsStillValidated) {
  EXPECT_EQ(ErrorsOf(WithSpec("  secretRef: {}\n"
                              "  certSecretRef: {name: '', key: k}\n"
                              "  verify:\n"
                              "    provider: gpg\n"
                              "    matchOIDCIdentity:\n"
                              "    - issuer: i\n"
                              "    - text\n"
                              "    trustedRootSecretRef: {name: r}\n")),
            (Strings{"a.yaml:8:3: spec.secretRef: not supported yet",
                     "a.yaml:8:14: spec.secretRef.name: required",
                     "a.yaml:9:3: spec.certSecretRef: not supported yet",
                     "a.yaml:9:25: spec.certSecretRef.name: must not be empty",
                     "a.yaml:9:29: unknown field spec.certSecretRef.key",
                     "a.yaml:10:3: spec.verify: not supported yet",
                     "a.yaml:11:15: spec.verify.provider: must be one of cosign, notation; is "
                     "\"gpg\"",
                     "a.yaml:13:7: spec.verify.matchOIDCIdentity[0].subject: required",
                     "a.yaml:14:7: spec.verify.matchOIDCIdentity[1]: must be a mapping; is "
                     "\"text\""}));
}

TEST(Manifest, DuplicateKeysAreErrors) {
  EXPECT_EQ(ErrorsOf(WithSpec("  url: oci://x/y\n")), Strings{"a.yaml:8:3: duplicate key \"url\""});
  EXPECT_EQ(ErrorsOf(WithSpec("  ref: {tag: a, \"tag\": b}\n")),
            Strings{"a.yaml:8:17: duplicate key \"tag\""});
  EXPECT_EQ(ErrorsOf(WithSpec("metadata: {name: other}\n")),
            Strings{"a.yaml:8:1: duplicate key \"metadata\""});
}

TEST(Manifest, WhatHasNoMeaningInJsonIsAnError) {
  EXPECT_EQ(ErrorsOf(WithSpec("  ? [a]\n  : b\n")), Strings{"a.yaml:8:5: a key must be a string"});
  EXPECT_EQ(ErrorsOf(WithSpec("  ref: !secret {tag: a}\n")),
            Strings{"a.yaml:8:8: the tag \"!secret\" is not supported here"});
  EXPECT_EQ(ErrorsOf(WithSpec("  ignore: !!binary aGk=\n")),
            Strings{"a.yaml:8:11: the tag \"tag:yaml.org,2002:binary\" is not supported here"});
  EXPECT_EQ(ErrorsOf(WithSpec("  <<: {suspend: true}\n")),
            Strings{"a.yaml:8:3: merge keys (<<) are not supported"});
}

TEST(Manifest, TheFirstOfDuplicateObjectsWins) {
  Configuration configuration;
  ParseManifests("a.yaml", WithSpec("  ref: {tag: first}\n"), &configuration);
  ParseManifests("b.yaml", "---\n" + WithSpec("  ref: {tag: second}\n"), &configuration);
  EXPECT_EQ(Errors(configuration),
            Strings{"b.yaml:2:1: duplicate of default/podinfo at a.yaml:1:1"});
  EXPECT_EQ(configuration.errors[0].object, (ObjectKey{"default", "podinfo"}));
  EXPECT_EQ(configuration.repositories.at({"default", "podinfo"}).spec.ref.tag, "first");
}

TEST(Manifest, AFaultyManifestKeepsItsNameFromADuplicate) {
  Configuration configuration;
  ParseManifests("a.yaml", WithSpec("  foo: 1\n"), &configuration);
  ParseManifests("b.yaml", WithSpec(""), &configuration);
  EXPECT_EQ(Errors(configuration),
            (Strings{"a.yaml:8:3: unknown field spec.foo",
                     "b.yaml:1:1: duplicate of default/podinfo at a.yaml:8:3"}));
  EXPECT_TRUE(configuration.repositories.empty());
}

TEST(Manifest, TheSameNameInAnotherNamespaceIsNoDuplicate) {
  const Configuration configuration =
      Parse(WithSpec("") +
            "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\n"
            "metadata: {name: podinfo, namespace: other}\n"
            "spec: {url: 'oci://a/b', interval: 5m}\n");
  EXPECT_EQ(Errors(configuration), Strings{});
  EXPECT_EQ(configuration.repositories.size(), 2u);
}

TEST(Manifest, ErrorsTellWhichObjectTheyAreAbout) {
  EXPECT_EQ(Parse(WithSpec("  foo: 1\n")).errors.at(0).object, (ObjectKey{"default", "podinfo"}));
  EXPECT_EQ(Parse("apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\n"
                  "metadata: {name: '..'}\nspec: {}\n")
                .errors.at(0)
                .object,
            std::nullopt);
}

TEST(Manifest, ASyntaxErrorLeavesTheDocumentsBeforeIt) {
  const Configuration configuration = Parse(WithSpec("") +
                                            "---\n"
                                            "apiVersion: source.toolkit.fluxcd.io/v1\n"
                                            "kind: OCIRepository\n"
                                            "metadata: {name: broken}\n"
                                            "spec: {url: [\n"
                                            "---\n" +
                                            WithSpec(""));
  EXPECT_EQ(Errors(configuration), Strings{"a.yaml:13:1: invalid YAML: end of sequence flow not "
                                           "found"});
  EXPECT_EQ(configuration.errors.at(0).object, (ObjectKey{"default", "broken"}));
  EXPECT_EQ(configuration.repositories.size(), 1u);
}

TEST(Manifest, SyntaxErrorsQuoteNoHalfCharacters) {
  EXPECT_EQ(ErrorsOf("a: \"\\\u00e4\"\n"),
            Strings{"a.yaml:1:7: invalid YAML: unknown escape character: ?"});
}

TEST(Manifest, AStrayCommaIsAnErrorAndNoEndlessStream) {
  EXPECT_EQ(ErrorsOf("---\n,\n"), Strings{"a.yaml:2:1: invalid YAML: unexpected text"});
}

TEST(Manifest, AStrayBracketIsAnError) {
  EXPECT_EQ(ErrorsOf(WithSpec("") + "}\n"), Strings{"a.yaml:8:1: invalid YAML: illegal flow end"});
}

TEST(Manifest, AnUnfinishedNameNamesNoObject) {
  const Configuration configuration = Parse(
      "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\n"
      "metadata:\n  name: a\n  namespace: b: c\n");
  ASSERT_EQ(configuration.errors.size(), 1u);
  EXPECT_EQ(configuration.errors[0].object, std::nullopt);
}

TEST(Manifest, TextThatIsNotUtf8IsRefused) {
  EXPECT_EQ(ErrorsOf(WithSpec("  ignore: \xFF\n")),
            Strings{"a.yaml:8:11: the file is not valid UTF-8"});
  EXPECT_EQ(ErrorsOf("a: \x04\n"),
            Strings{"a.yaml:1:4: the control character U+0004 is not allowed"});
  EXPECT_EQ(SpecOf("  ignore: \xC3\xA4\n").ignore, "\xC3\xA4");
}

TEST(Manifest, ManyErrorsOfOneManifestAreCut) {
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += fmt::format("  x{}: 1\n", i);
  const Strings errors = ErrorsOf(WithSpec(lines));
  ASSERT_EQ(errors.size(), 20u);
  EXPECT_EQ(errors.back(),
            "a.yaml:27:3: too many errors in this manifest, the others are not shown");
}

TEST(HostileManifest, AliasesAreCountedAsOftenAsTheyAreUsed) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    text += fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i,
                        i - 1);
  }
  EXPECT_EQ(
      ErrorsOf(text),
      Strings{"a.yaml:6:15: more than 100000 values in one document, aliases counted as often "
              "as they are used"});
}

TEST(HostileManifest, AliasesThatContainThemselvesAreRefused) {
  EXPECT_EQ(ErrorsOf("a: &a [*a]\n"),
            Strings{"a.yaml:1:8: an alias refers to a value that it is itself a part of"});
}

TEST(HostileManifest, AliasesAddUpInDepth) {
  std::string text = "a0: &a0 [x]\n";
  for (int i = 1; i < 100; ++i) text += fmt::format("a{0}: &a{0} [*a{1}]\n", i, i - 1);
  EXPECT_EQ(ErrorsOf(text), Strings{"a.yaml:63:12: nested deeper than 64 levels"});
}

TEST(HostileManifest, DeepNestingIsRefused) {
  EXPECT_EQ(ErrorsOf(std::string(100'000, '[')),
            Strings{"a.yaml:1:201: more than 200 brackets are open"});
  EXPECT_EQ(ErrorsOf(std::string(100, '[')).size(), 1u);
  std::string dashes;
  for (int i = 0; i < 100'000; ++i) dashes += "- ";
  EXPECT_EQ(ErrorsOf(dashes + "x"), Strings{"a.yaml:1:129: nested deeper than 64 levels"});
  std::string indented;
  for (size_t i = 0; i < 100; ++i) indented += std::string(i, ' ') + "a:\n";
  EXPECT_EQ(ErrorsOf(indented), Strings{"a.yaml:64:64: nested deeper than 64 levels"});
}

TEST(HostileManifest, BracketsAreCountedAnewInEachDocument) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "---\napiVersion: v1\nkind: ConfigMap\nx: 'a [ b'\n";
  EXPECT_EQ(ErrorsOf(text), Strings{});
}

TEST(HostileManifest, TooManyValuesAreRefused) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "- x\n";
  EXPECT_EQ(ErrorsOf(text),
            Strings{"a.yaml:100000:3: more than 100000 values in one document, aliases counted as "
                    "often as they are used"});
}

TEST(HostileManifest, TooLargeATextIsRefused) {
  EXPECT_EQ(ErrorsOf(std::string(kMaxManifestFileSize + 1, '#')),
            Strings{"a.yaml: larger than 4194304 bytes"});
}

TEST(Diagnostic, PartsOfAPositionThatAreMissingAreLeftOut) {
  EXPECT_EQ((Diagnostic{{"a", 0, 0}, "m", {}}).ToString(), "a: m");
  EXPECT_EQ((Diagnostic{{"a", 3, 0}, "m", {}}).ToString(), "a:3: m");
  EXPECT_EQ((Diagnostic{{"a", 3, 4}, "m", {}}).ToString(), "a:3:4: m");
}

}  // namespace
}  // namespace ocirepofs
