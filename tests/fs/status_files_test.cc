#include "fs/status_files.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace ocirepofs {
namespace {

const ObjectKey kKey{"default", "site"};
const ObjectKey kOther{"default", "other"};

std::function<std::string()> Text(std::string text) {
  return [text = std::move(text)] { return text; };
}

std::shared_ptr<const void> Source() { return std::make_shared<int>(0); }

TEST(StatusFiles, ATextIsRenderedOnceASource) {
  StatusFiles files;
  const auto source = Source();
  int rendered = 0;
  const auto render = [&rendered] {
    ++rendered;
    return std::string("text");
  };
  const auto first = files.Open(kKey, source, render);
  const auto second = files.Open(kKey, source, render);
  EXPECT_EQ(rendered, 1);
  EXPECT_EQ(first.node, second.node);
  EXPECT_EQ(*first.text, "text");
  files.Open(kKey, Source(), render);
  EXPECT_EQ(rendered, 2);
}

TEST(StatusFiles, WithoutASourceEachOpeningRenders) {
  StatusFiles files;
  int rendered = 0;
  const auto render = [&rendered] { return std::to_string(rendered++); };
  const auto first = files.Open(kKey, nullptr, render);
  const auto second = files.Open(kKey, nullptr, render);
  EXPECT_EQ(*first.text, "0");
  EXPECT_EQ(*second.text, "1");
  EXPECT_NE(first.node, second.node);
}

TEST(StatusFiles, TheSameTextStaysTheSameFile) {
  StatusFiles files;
  const auto first = files.Open(kKey, Source(), Text("same"));
  const auto second = files.Open(kKey, Source(), Text("same"));
  EXPECT_EQ(first.node, second.node);
  EXPECT_EQ(first.text, second.text);
  EXPECT_EQ(first.changed.tv_sec, second.changed.tv_sec);
  EXPECT_EQ(first.changed.tv_nsec, second.changed.tv_nsec);
}

TEST(StatusFiles, NumbersHaveTheBitAndAreNotUsedAgain) {
  StatusFiles files;
  const auto first = files.Open(kKey, nullptr, Text("a"));
  const auto second = files.Open(kKey, nullptr, Text("b"));
  const auto third = files.Open(kKey, nullptr, Text("a"));
  const auto other = files.Open(kOther, nullptr, Text("a"));
  const std::vector<StatusFiles::Node> nodes = {first.node, second.node, third.node, other.node};
  for (size_t i = 0; i < nodes.size(); ++i) {
    EXPECT_NE(nodes[i] & StatusFiles::kBit, 0u);
    for (size_t j = 0; j < i; ++j) EXPECT_NE(nodes[i], nodes[j]);
  }
}

TEST(StatusFiles, AnOldVersionIsReadableWhileItIsCounted) {
  StatusFiles files;
  const auto old = files.Open(kKey, nullptr, Text("old"));
  files.Open(kKey, nullptr, Text("old"));
  files.Open(kKey, nullptr, Text("new"));
  files.Forget(old.node, 1);
  ASSERT_TRUE(files.Find(old.node).has_value());
  EXPECT_EQ(*files.Find(old.node)->text, "old");
  files.Forget(old.node, 1);
  EXPECT_FALSE(files.Find(old.node).has_value());
  EXPECT_EQ(*old.text, "old") << "a reply that is under way keeps its text";
}

TEST(StatusFiles, TheCurrentVersionStaysUncounted) {
  StatusFiles files;
  const auto source = Source();
  const auto file = files.Open(kKey, source, Text("text"));
  files.Forget(file.node, 1);
  EXPECT_TRUE(files.Find(file.node).has_value());
  EXPECT_EQ(files.Open(kKey, source, Text("not rendered")).node, file.node);
  files.Forget(file.node, 1);
  files.Open(kKey, nullptr, Text("new"));
  EXPECT_FALSE(files.Find(file.node).has_value());
}

TEST(StatusFiles, DroppingLeavesWhatIsCounted) {
  StatusFiles files;
  const auto file = files.Open(kKey, nullptr, Text("text"));
  const auto other = files.Open(kOther, nullptr, Text("text"));
  files.Drop(kKey);
  files.Drop(kKey);
  EXPECT_TRUE(files.Find(file.node).has_value());
  files.Forget(file.node, 1);
  EXPECT_FALSE(files.Find(file.node).has_value());
  EXPECT_TRUE(files.Find(other.node).has_value());
  EXPECT_NE(files.Open(kKey, nullptr, Text("text")).node, file.node);
}

TEST(StatusFiles, ForgettingUnknownsAndTooMuchDoesNoHarm) {
  StatusFiles files;
  const auto file = files.Open(kKey, nullptr, Text("text"));
  files.Forget(0, 1);
  files.Forget(StatusFiles::kBit | 99, UINT64_MAX);
  files.Forget(file.node, UINT64_MAX);
  EXPECT_TRUE(files.Find(file.node).has_value());
  files.Drop(kKey);
  EXPECT_FALSE(files.Find(file.node).has_value());
}

TEST(StatusFiles, ARendererThatThrowsLeavesTheFormerVersion) {
  StatusFiles files;
  const auto broken = []() -> std::string { throw std::bad_alloc(); };
  EXPECT_THROW(files.Open(kKey, nullptr, broken), std::bad_alloc);
  const auto file = files.Open(kKey, nullptr, Text("text"));
  EXPECT_THROW(files.Open(kKey, nullptr, broken), std::bad_alloc);
  EXPECT_EQ(files.Open(kKey, nullptr, Text("text")).node, file.node);
}

TEST(StatusFiles, DroppingAfterARendererThrewDoesNoHarm) {
  StatusFiles files;
  EXPECT_THROW(files.Open(kKey, nullptr, []() -> std::string { throw std::bad_alloc(); }),
               std::bad_alloc);
  files.Drop(kKey);
  EXPECT_EQ(*files.Open(kKey, nullptr, Text("text")).text, "text");
}

TEST(StatusFiles, ThreadsSeeWholeVersions) {
  StatusFiles files;
  std::atomic<int> wrong = 0;
  const auto work = [&files, &wrong](int thread) {
    for (int i = 0; i < 500; ++i) {
      const ObjectKey& key = i % 2 == 0 ? kKey : kOther;
      const std::string text(static_cast<size_t>(i % 7), static_cast<char>('a' + thread));
      const auto file = files.Open(key, nullptr, Text(text));
      const auto found = files.Find(file.node);
      if (!found || *found->text != *file.text) ++wrong;
      if (i % 50 == 0) files.Drop(key);
      files.Forget(file.node, 1);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace ocirepofs
