#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fetch/auth/challenge.h"
#include "fetch/auth/token_cache.h"
#include "fetch/http/origin.h"
#include "fetch/http/redirect.h"
#include "fetch/http/transport.h"

namespace ocirepofs {

/// The Bearer challenge among the WWW-Authenticate headers of a 401 answer.
std::optional<Challenge> FindBearerChallenge(const HttpResponse& response);

/// What to ask a token for: the scopes are the repository's pull scope first unless the challenge
/// names it, the challenge's, and those of the last token, without duplicates. Fails when the
/// challenge has no realm or one that may not be asked.
Result<TokenKey> MakeTokenKey(const TokenHolder& holder, const Challenge& challenge,
                              const std::optional<TokenKey>& last, const ReachPolicy& policy);

/// Asks the realm: a GET with the service and the scopes added to the realm's own query.
Result<Token> FetchToken(Exchange& exchange, const TokenKey& key, const Clock& clock);

}  // namespace ocirepofs
