// The contract that the account eosio has while protocol features are activated on a chain that has no other: its one action, activate,
// takes the digest of a feature. The node must have activated PREACTIVATE_FEATURE.
//
// build.sh compiles it.

typedef unsigned int u32;
typedef unsigned long long u64;

#define HOST(name) __attribute__((import_module("env"), import_name(#name))) extern

HOST(require_auth) void require_auth(u64 account);
HOST(read_action_data) u32 read_action_data(void *data, u32 size);
HOST(preactivate_feature) void preactivate_feature(const void *digest);

#define ACTIVATE 0x3232ed9b2a000000ull // the name "activate"

static u64 digest[4];

__attribute__((export_name("apply"))) void apply(u64 receiver, u64 code, u64 action) {
    if (code != receiver || action != ACTIVATE) return;
    require_auth(receiver);
    read_action_data(digest, sizeof digest);
    preactivate_feature(digest);
}
