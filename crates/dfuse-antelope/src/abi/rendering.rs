/// How values look in JSON.
///
/// Common to all: keys in the order of declaration, those of a struct's base first; 64-bit integers beyond 2^32 - 1 either
/// way as decimal strings; bytes and digests as lower-case hex; float128 as `0x` and its bytes in hex; `<`, `>` and `&` are
/// not escaped; the half second of a block time is shown; a variant is `["type", value]` with the name that the ABI gives
/// the alternative; an absent optional value is `null`, unless it is a field. A symbol or asset that nodeos refuses to read
/// is an error: letters other than `A-Z`, more than 18 decimals, an amount over 2^62 - 1. A symbol without letters has a
/// text, since contracts store one where they have no token yet.
///
/// | | `Nodeos` | `Fit` | `Plain` |
/// |---|---|---|---|
/// | bool | number, the byte as it is | same | `true`, `false` |
/// | int128, uint128 | decimal string | same | string, `0x` and the 16 bytes in hex |
/// | float32, float64 | string, 17 decimals | same | number, shortest |
/// | not finite | `"inf"`, `"-inf"`, `"nan"`, `"-nan"` | same, but `"+Inf"`, `"-Inf"`, `"NaN"` for float32 and no `"-nan"` | `"inf"`, `"-inf"`, `"nan"` |
/// | time_point | three decimals | same | no trailing zeros |
/// | block_timestamp_type | three decimals | `.500` or nothing | same |
/// | field that is absent | `null` | `null` | no key |
/// | struct without a value | error | `{}` | `{}` |
/// | string that is not UTF-8 | bytes left out | U+FFFD for each byte | same |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendering {
    /// As nodeos renders action data and table rows.
    Nodeos,
    /// As eos-go renders when told to fit nodeos, which the Firehose family uses for the JSON in blocks; but for variants and
    /// for bytes out of range, of which eos-go loses the type or makes text that means nothing.
    Fit,
    /// As eos-go renders by default, which dfuse uses for the table rows of its state API; with the same exceptions, and
    /// absent items of arrays, which eos-go drops.
    Plain,
}
