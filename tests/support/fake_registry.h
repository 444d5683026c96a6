#pragma once

#include <map>
#include <string>
#include <vector>

#include "conf/digest.h"
#include "tests/support/fake_transport.h"

namespace ocirepofs {

/// A registry with one repository, oci://r.example/app, whose answers it scripts into a
/// FakeTransport as things are pushed.
class FakeRegistry {
 public:
  static constexpr const char* kLayerType = "application/vnd.cncf.flux.content.v1.tar+gzip";

  struct Layer {
    std::string bytes;
    std::string media_type = kLayerType;
    std::map<std::string, std::string> annotations = {};
  };

  explicit FakeRegistry(FakeTransport* net);

  /// Pushes an artifact and points the tag at it; an empty tag points none.
  Digest Push(const std::string& tag, const std::vector<Layer>& layers,
              const std::map<std::string, std::string>& annotations = {});
  Digest Push(const std::string& tag, const std::string& layer) {
    return Push(tag, std::vector<Layer>{{.bytes = layer}});
  }
  /// Pushes any manifest or index.
  Digest PushManifest(const std::string& tag, const std::string& body,
                      const std::string& media_type);
  /// A child of an index, for PushManifest.
  struct Child {
    Digest digest;
    std::string platform;  // "linux/amd64", or empty for none
  };
  Digest PushIndex(const std::string& tag, const std::vector<Child>& children);

  void Tag(const std::string& tag, const Digest& digest);
  /// Neither HEAD nor GET finds the tag any more.
  void Untag(const std::string& tag);
  /// Every request about the tag meets that.
  void Break(const std::string& tag, const FakeTransport::Answer& answer);
  void BreakBlob(const Digest& digest, const FakeTransport::Answer& answer);
  void BreakManifest(const Digest& digest, const FakeTransport::Answer& answer);

  static std::string Head(const std::string& tag);
  static std::string Get(const std::string& reference);
  static std::string Blob(const std::string& bytes);
  static std::string Tags();

  /// What was asked since the last call.
  std::vector<std::string> TakeLog();

 private:
  struct Manifest {
    std::string body;
    std::string media_type;
  };
  void Serve(const std::string& tag);
  void ServeTags();

  FakeTransport* const net_;
  std::map<Digest, Manifest> manifests_;
  std::map<std::string, Digest> tags_;
  size_t taken_ = 0;
};

}  // namespace ocirepofs
