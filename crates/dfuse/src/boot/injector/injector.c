// The contract that `migration.inject` sets while it writes the rows of another contract: rows and secondary keys, exactly as given.
//
// Only the account itself can call it. What is there already is replaced, so that a transaction may come again. Actions of others are
// ignored: on the account eosio, every new account and every block calls this code, too.
//
// build.sh compiles it. injector.abi says what the data of its two actions are.

typedef unsigned char u8;
typedef int i32;
typedef unsigned int u32;
typedef unsigned long long u64;

#define HOST(name) __attribute__((import_module("env"), import_name(#name))) extern

HOST(require_auth) void require_auth(u64 account);
HOST(eosio_assert) void eosio_assert(u32 is_true, const char *message);
HOST(action_data_size) u32 action_data_size(void);
HOST(read_action_data) u32 read_action_data(void *data, u32 size);

HOST(db_find_i64) i32 db_find_i64(u64 code, u64 scope, u64 table, u64 key);
HOST(db_store_i64) i32 db_store_i64(u64 scope, u64 table, u64 payer, u64 key, const void *data, u32 size);
HOST(db_update_i64) void db_update_i64(i32 row, u64 payer, const void *data, u32 size);

// The functions of an index over keys of fixed size.
#define INDEX(name)                                                                                                       \
    HOST(db_##name##_find_primary)                                                                                        \
    i32 db_##name##_find_primary(u64 code, u64 scope, u64 table, void *secondary, u64 key);                               \
    HOST(db_##name##_store) i32 db_##name##_store(u64 scope, u64 table, u64 payer, u64 key, const void *secondary);       \
    HOST(db_##name##_update) void db_##name##_update(i32 row, u64 payer, const void *secondary);

INDEX(idx64)
INDEX(idx128)
INDEX(idx_double)
INDEX(idx_long_double)

// That over 256 bits also takes how many halves there are.
HOST(db_idx256_find_primary)
i32 db_idx256_find_primary(u64 code, u64 scope, u64 table, void *secondary, u32 halves, u64 key);
HOST(db_idx256_store)
i32 db_idx256_store(u64 scope, u64 table, u64 payer, u64 key, const void *secondary, u32 halves);
HOST(db_idx256_update) void db_idx256_update(i32 row, u64 payer, const void *secondary, u32 halves);

#define ROWS 0xbd39800000000000ull // the name "rows"
#define INDEX_ 0x74d2ae8000000000ull // the name "index"

// More than the data of an action may have on any chain.
#define MAX_DATA (1u << 20)
static u8 data[MAX_DATA];
static u32 size, at;

// A secondary key where the host wants it, and one that it writes.
static u64 key[4], old_key[4];

static const u8 *take(u32 length) {
    eosio_assert(length <= size - at, "the data of the action end too early");
    const u8 *taken = data + at;
    at += length;
    return taken;
}

static u64 number(void) {
    const u8 *bytes = take(8);
    u64 value = 0;
    for (u32 i = 0; i < 8; i++) value |= (u64)bytes[i] << (8 * i);
    return value;
}

// A number of the form varuint32.
static u32 length(void) {
    u32 value = 0;
    for (u32 shift = 0; shift < 35; shift += 7) {
        u8 byte = *take(1);
        value |= (u32)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    eosio_assert(0, "a length that is too long");
    return 0;
}

static void row(u64 receiver, u64 table) {
    u64 scope = number(), payer = number(), primary = number();
    u32 bytes = length();
    const u8 *value = take(bytes);
    i32 found = db_find_i64(receiver, scope, table, primary);
    if (found >= 0)
        db_update_i64(found, payer, value, bytes);
    else
        db_store_i64(scope, table, payer, primary, value, bytes);
}

#define PUT(name)                                                                                                         \
    {                                                                                                                     \
        i32 found = db_##name##_find_primary(receiver, scope, table, old_key, primary);                                   \
        if (found >= 0)                                                                                                   \
            db_##name##_update(found, payer, key);                                                                        \
        else                                                                                                              \
            db_##name##_store(scope, table, payer, primary, key);                                                         \
        break;                                                                                                            \
    }

static void entry(u64 receiver, u64 table) {
    u64 scope = number(), payer = number(), primary = number();
    u8 kind = *take(1);
    u32 numbers = kind == 2 ? 4 : kind == 1 || kind == 4 ? 2 : 1;
    for (u32 i = 0; i < numbers; i++) key[i] = number();
    switch (kind) {
    case 0: PUT(idx64)
    case 1: PUT(idx128)
    case 2: {
        i32 found = db_idx256_find_primary(receiver, scope, table, old_key, 2, primary);
        if (found >= 0)
            db_idx256_update(found, payer, key, 2);
        else
            db_idx256_store(scope, table, payer, primary, key, 2);
        break;
    }
    case 3: PUT(idx_double)
    case 4: PUT(idx_long_double)
    default: eosio_assert(0, "there is no such kind of index");
    }
}

__attribute__((export_name("apply"))) void apply(u64 receiver, u64 code, u64 action) {
    if (code != receiver || (action != ROWS && action != INDEX_)) return;
    require_auth(receiver);
    size = action_data_size();
    eosio_assert(size <= MAX_DATA, "the data of the action are too long");
    read_action_data(data, size);
    at = 0;
    u64 table = number();
    for (u32 left = length(); left > 0; left--) {
        if (action == ROWS)
            row(receiver, table);
        else
            entry(receiver, table);
    }
    eosio_assert(at == size, "there is more data than the action takes");
}
