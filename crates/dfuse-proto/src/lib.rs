//! Messages and services of gRPC, as the schemas in `proto` have them.
//!
//! The code in `src/generated` is made of the schemas by a test, which also compares it, so that a build needs no protobuf
//! compiler. Blocks are not decoded here: they pass as [`Any`], and `dfuse-antelope` has their codec.
//!
//! | module | what |
//! |---|---|
//! | [`dfuse`] | GraphQL, under its current name and an older one; what machines hand to each other; filters of Firehose |
//! | [`sf`] | Firehose in both versions, its live feed of blocks, the end of the chain, and a later name of GraphQL |

use bytes::Bytes;

/// `google.protobuf.Any`: a message and its type. The message is shared, not copied, until it is written.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Any {
    /// `type.googleapis.com/` and the full name of the message.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// A block of the live feed as block files have it: its bytes in `sf.bstream.v1.Block`. Older servers leave out the number of the
/// parent, which is always the one before.
pub fn envelope(mut block: sf::bstream::v1::Block) -> Bytes {
    if block.parent_num == 0 {
        block.parent_num = block.number.saturating_sub(1);
    }
    prost::Message::encode_to_vec(&block).into()
}

/// Descriptors of all schemas, those of blocks among them: an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!("../descriptors.bin");

/// The schemas `dfuse.*`.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub mod dfuse {
    pub mod blocks {
        pub mod v1 {
            include!("generated/dfuse.blocks.v1.rs");
        }
    }
    pub mod graphql {
        pub mod v1 {
            include!("generated/dfuse.graphql.v1.rs");
        }
    }
    pub mod eosio {
        pub mod v1 {
            include!("generated/dfuse.eosio.v1.rs");
        }
    }
    pub mod firehose {
        pub mod v1 {
            include!("generated/dfuse.firehose.v1.rs");
        }
    }
}

/// The schemas `sf.*`.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub mod sf {
    pub mod bstream {
        pub mod v1 {
            include!("generated/sf.bstream.v1.rs");
        }
    }
    pub mod firehose {
        pub mod v1 {
            include!("generated/sf.firehose.v1.rs");
        }
        pub mod v2 {
            include!("generated/sf.firehose.v2.rs");
        }
    }
    pub mod graphql {
        pub mod v1 {
            include!("generated/sf.graphql.v1.rs");
        }
    }
    pub mod headinfo {
        pub mod v1 {
            include!("generated/sf.headinfo.v1.rs");
        }
    }
}
