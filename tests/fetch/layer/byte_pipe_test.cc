#include "fetch/layer/byte_pipe.h"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <thread>

namespace ocirepofs {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(BytePipe, CarriesBytesInOrderAndThenEnds) {
  BytePipe pipe(100);
  ASSERT_TRUE(pipe.Write(Bytes("one")));
  ASSERT_TRUE(pipe.Write(Bytes("")));
  ASSERT_TRUE(pipe.Write(Bytes("two")));
  pipe.CloseWriter(std::nullopt);
  EXPECT_EQ(Text(pipe.Read().value()), "one");
  EXPECT_EQ(Text(pipe.Read().value()), "two");
  EXPECT_EQ(Text(pipe.Read().value()), "");
  EXPECT_EQ(Text(pipe.Read().value()), "");
}

TEST(BytePipe, APieceMayBeLargerThanThePipe) {
  BytePipe pipe(4);
  ASSERT_TRUE(pipe.Write(Bytes("larger than four")));
  EXPECT_EQ(Text(pipe.Read().value()), "larger than four");
}

TEST(BytePipe, TheReaderIsToldWhyTheStreamBrokeOff) {
  BytePipe pipe(100);
  pipe.CloseWriter(Error{ErrorCode::kUnavailable, "connection reset"});
  const auto read = pipe.Read();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(read.error().message, "connection reset");
}

TEST(BytePipe, TheWriterIsToldWhyTheReaderGaveUp) {
  BytePipe pipe(100);
  pipe.CloseReader(Error{ErrorCode::kMalformed, "tar error"});
  const auto written = pipe.Write(Bytes("x"));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().message, "tar error");
}

TEST(BytePipe, WhatAReaderThatIsDoneLeavesIsDropped) {
  BytePipe pipe(2);
  ASSERT_TRUE(pipe.Write(Bytes("xx")));
  pipe.CloseReader(std::nullopt);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(pipe.Write(Bytes("more than fits")));
}

TEST(BytePipe, AFullPipeHoldsTheWriterUntilSomethingIsRead) {
  BytePipe pipe(3);
  ASSERT_TRUE(pipe.Write(Bytes("abc")));
  std::future<bool> second =
      std::async(std::launch::async, [&pipe] { return pipe.Write(Bytes("d")).has_value(); });
  EXPECT_EQ(Text(pipe.Read().value()), "abc");
  ASSERT_EQ(second.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(second.get());
  EXPECT_EQ(Text(pipe.Read().value()), "d");
}

TEST(BytePipe, AReaderThatGivesUpFreesAWaitingWriter) {
  BytePipe pipe(1);
  ASSERT_TRUE(pipe.Write(Bytes("x")));
  std::future<Result<void>> second =
      std::async(std::launch::async, [&pipe] { return pipe.Write(Bytes("y")); });
  pipe.CloseReader(Error{ErrorCode::kLimitExceeded, "too much"});
  ASSERT_EQ(second.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(second.get().error().message, "too much");
}

TEST(BytePipe, AWaitingReaderSeesTheWriterFail) {
  BytePipe pipe(1);
  auto read = std::async(std::launch::async, [&pipe] { return pipe.Read().has_value(); });
  pipe.CloseWriter(Error{ErrorCode::kCancelled, "stopped"});
  ASSERT_EQ(read.wait_for(kPatience), std::future_status::ready);
  EXPECT_FALSE(read.get());
}

TEST(BytePipe, AMegabyteGoesThroughASmallPipe) {
  BytePipe pipe(1000);
  std::string sent;
  for (int i = 0; sent.size() < 1'000'000; ++i) sent += std::to_string(i);
  std::thread writer([&] {
    for (size_t at = 0; at < sent.size(); at += 777) {
      ASSERT_TRUE(pipe.Write(Bytes(std::string_view(sent).substr(at, 777))));
    }
    pipe.CloseWriter(std::nullopt);
  });
  std::string received;
  for (;;) {
    const auto piece = pipe.Read();
    ASSERT_TRUE(piece);
    if (piece->empty()) break;
    received += Text(*piece);
  }
  writer.join();
  EXPECT_EQ(received, sent);
}

}  // namespace
}  // namespace ocirepofs
