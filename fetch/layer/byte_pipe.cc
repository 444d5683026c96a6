#include "fetch/layer/byte_pipe.h"

namespace ocirepofs {

Result<void> BytePipe::Write(std::span<const std::byte> data) {
  if (data.empty()) return {};
  std::vector<std::byte> piece;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return held_ < capacity_ || reader_closed_; });
    if (reader_error_) return tl::unexpected(*reader_error_);
    if (reader_closed_) return {};
    if (!spare_.empty()) {
      piece = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  piece.assign(data.begin(), data.end());
  const std::lock_guard lock(mutex_);
  held_ += piece.size();
  pieces_.push_back(std::move(piece));
  changed_.notify_all();
  return {};
}

void BytePipe::CloseWriter(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  writer_closed_ = true;
  writer_error_ = std::move(error);
  changed_.notify_all();
}

Result<std::span<const std::byte>> BytePipe::Read() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !pieces_.empty() || writer_closed_; });
  if (writer_error_) return tl::unexpected(*writer_error_);
  if (pieces_.empty()) return std::span<const std::byte>();
  if (current_.capacity() > 0) spare_.push_back(std::move(current_));
  current_ = std::move(pieces_.front());
  pieces_.pop_front();
  held_ -= current_.size();
  changed_.notify_all();
  return std::span<const std::byte>(current_);
}

void BytePipe::CloseReader(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  reader_closed_ = true;
  reader_error_ = std::move(error);
  pieces_.clear();
  changed_.notify_all();
}

}  // namespace ocirepofs
