#include "conf/manifest/reload.h"

#include <algorithm>
#include <tuple>

namespace ocirepofs {

Configuration CarryOver(const Configuration& last, Configuration* next) {
  Configuration kept = *next;
  for (const auto& [key, repository] : last.repositories) {
    if (next->repositories.contains(key)) continue;
    const auto error = std::find_if(next->errors.begin(), next->errors.end(),
                                    [&repository](const Diagnostic& diagnostic) {
                                      return diagnostic.position.file == repository.position.file;
                                    });
    if (error == next->errors.end()) continue;
    kept.repositories.emplace(key, repository);
    const bool told = std::any_of(next->errors.begin(), next->errors.end(),
                                  [&key](const Diagnostic& other) { return other.object == key; });
    if (told) continue;
    Diagnostic carried = *error;
    carried.object = key;
    next->errors.push_back(std::move(carried));
  }
  return kept;
}

void RefuseNameClashes(Configuration* configuration) {
  std::vector<const OciRepository*> in_order;
  for (const auto& [key, repository] : configuration->repositories) in_order.push_back(&repository);
  std::sort(in_order.begin(), in_order.end(), [](const OciRepository* a, const OciRepository* b) {
    return std::tie(a->position.file, a->position.line, a->key) <
           std::tie(b->position.file, b->position.line, b->key);
  });
  std::map<std::string, const OciRepository*> taken;
  std::vector<ObjectKey> refused;
  for (const OciRepository* repository : in_order) {
    const auto [other, is_new] = taken.try_emplace(repository->key.name, repository);
    if (is_new) continue;
    const Position& first = other->second->position;
    configuration->errors.push_back(
        {.position = repository->position,
         .message = fmt::format("{} and {} ({}:{}) both want the directory {}: mount with -o "
                                "layout=namespaced, or rename one",
                                repository->key.ToString(), other->second->key.ToString(),
                                first.file, first.line, repository->key.name),
         .object = std::nullopt});
    refused.push_back(repository->key);
  }
  for (const ObjectKey& key : refused) configuration->repositories.erase(key);
}

}  // namespace ocirepofs
