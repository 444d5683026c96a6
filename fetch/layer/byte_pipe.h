#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "conf/error.h"

namespace ocirepofs {

/// Gives one piece of a stream after the other; an empty piece is the end. A piece lives until the
/// next call.
using ByteSource = std::function<Result<std::span<const std::byte>>()>;

/// Carries bytes from one thread to another, a bounded number at a time, so that a layer is
/// downloaded and unpacked at once.
class BytePipe {
 public:
  explicit BytePipe(size_t capacity) : capacity_(capacity) {}

  /// Writer's side. Waits while the pipe is full. Fails with what the reader gave up with.
  Result<void> Write(std::span<const std::byte> data);
  /// The stream is complete; with an error it broke off, and the reader is told why.
  void CloseWriter(std::optional<Error> error);

  /// Reader's side.
  Result<std::span<const std::byte>> Read();
  /// The reader wants no more; with an error, because of it.
  void CloseReader(std::optional<Error> error);

 private:
  const size_t capacity_;
  std::vector<std::byte> current_;  // the reader's
  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  std::deque<std::vector<std::byte>> pieces_;
  std::vector<std::vector<std::byte>> spare_;  // read pieces, to be filled again
  size_t held_ = 0;
  bool writer_closed_ = false;
  bool reader_closed_ = false;
  std::optional<Error> writer_error_;
  std::optional<Error> reader_error_;
};

}  // namespace ocirepofs
