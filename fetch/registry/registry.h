#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <vector>

#include "conf/clock.h"
#include "conf/digest.h"
#include "conf/reference.h"
#include "fetch/http/transport.h"
#include "fetch/registry/oci_manifest.h"
#include "fetch/registry/registry_channel.h"

namespace ocirepofs {

/// How one repository is reached.
struct RegistryAccess {
  Repository repository;
  bool insecure = false;
  std::chrono::nanoseconds timeout = std::chrono::seconds(60);
};

/// The pull side of the OCI distribution specification: manifests, blobs and tags, with token
/// authentication and redirects followed by our own rules (no credential beyond the registry's own
/// origin, no https to http, at most ten hops, no private address behind a public one).
/// Passing failures are tried again twice within one call, after 500 ms and 1.5 s; a 429 is not.
/// Any thread. The transport and the clock outlive it.
class RegistryClient {
 public:
  /// Tests bring a `sleeper` of their own for the pauses between tries.
  RegistryClient(Transport* transport, const Clock* clock, Sleeper sleeper = nullptr);

  /// What the tag points at: HEAD, and GET where HEAD does not answer it.
  Result<Digest> ResolveTag(const RegistryAccess& access, const std::string& tag,
                            const std::stop_token& stop);

  /// The manifest with that digest. The body's own digest is compared before anything is parsed.
  Result<OciManifest> FetchManifest(const RegistryAccess& access, const Digest& digest,
                                    const std::stop_token& stop);

  /// Streams a blob into `sink`. Fails with kMismatch unless exactly descriptor.size bytes with
  /// descriptor.digest went through; the sink has then seen bytes that must not be used.
  Result<void> FetchBlob(const RegistryAccess& access, const Descriptor& descriptor,
                         const BodySink& sink, const std::stop_token& stop);

  /// All tags, over all pages.
  Result<std::vector<std::string>> ListTags(const RegistryAccess& access,
                                            const std::stop_token& stop);

 private:
  RegistryChannel channel_;
};

}  // namespace ocirepofs
