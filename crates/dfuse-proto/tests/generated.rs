//! The code in `src/generated` and `descriptors.bin` are what the schemas in `proto` say. `DFUSE_UPDATE_DOCS=1` writes them anew.
//!
//! They are checked in so that a build needs neither a protobuf compiler nor a build script.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use prost::Message;
use protox::Compiler;

/// Schemas of services and what their requests carry. Blocks have a codec of their own in `dfuse-antelope`.
const SERVICES: [&str; 10] = [
    "dfuse/blocks/v1/abi_dumps.proto",
    "dfuse/blocks/v1/lost_blocks.proto",
    "dfuse/eosio/v1/graphql.proto",
    "dfuse/firehose/v1/transforms.proto",
    "dfuse/graphql/v1/graphql.proto",
    "sf/bstream/v1/blockstream.proto",
    "sf/firehose/v1/firehose.proto",
    "sf/firehose/v2/firehose.proto",
    "sf/graphql/v1/graphql.proto",
    "sf/headinfo/v1/headinfo.proto",
];
/// Of what is in blocks: clients find it by reflection.
const BLOCKS: &str = "sf/antelope/type/v1/type.proto";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn compiler(files: &[&str]) -> Compiler {
    let mut compiler = Compiler::new([here("proto"), here("../dfuse-antelope/proto")]).unwrap();
    compiler.include_imports(true).open_files(files).unwrap();
    compiler
}

fn descriptors() -> Vec<u8> {
    compiler(&[SERVICES.as_slice(), &[BLOCKS]].concat()).file_descriptor_set().encode_to_vec()
}

/// Everything that belongs into `src/generated`, by name.
fn generated() -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .build_transport(false)
        .extern_path(".google.protobuf.Any", "crate::Any")
        .bytes(".sf.bstream.v1")
        .out_dir(folder.path())
        .compile_fds(compiler(&SERVICES).include_source_info(true).file_descriptor_set())
        .unwrap();
    let mut files: BTreeMap<_, _> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect();
    files.retain(|name, _| !name.starts_with("google."));
    files
}

#[test]
fn the_code_is_that_of_the_schemas() {
    let folder = here("src/generated");
    let wanted = generated();
    if std::env::var_os("DFUSE_UPDATE_DOCS").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, content) in &wanted {
            fs::write(folder.join(name), content).unwrap();
        }
        fs::write(here("descriptors.bin"), descriptors()).unwrap();
    }
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), wanted.len(), "{names:?}");
    let advice = "is not of the schemas: DFUSE_UPDATE_DOCS=1 cargo test -p dfuse-proto";
    for (name, content) in wanted {
        let written = fs::read(folder.join(&name)).unwrap_or_default();
        assert!(written == content, "{name} {advice}");
    }
    assert!(fs::read(here("descriptors.bin")).unwrap_or_default() == descriptors(), "descriptors.bin {advice}");
}
