#include "server/commands/features.h"

#define FEATURE(bit, object, of_client, of_clients) extern const struct feature feature_##object;
#include "server/clients/features.def"
#undef FEATURE

feature_table all_features = {
#define FEATURE(bit, object, of_client, of_clients) [FEATURE_BIT_##bit] = &feature_##object,
#include "server/clients/features.def"
#undef FEATURE
};
