//! The Rust code of the proto file.

use std::path::{Path, PathBuf};

/// Where the committed code is.
pub fn committed_at() -> PathBuf {
    proto_folder().join("foretaste.v1.rs")
}

/// The code as it follows from the proto file.
pub fn generated() -> String {
    let files = protox::compile(["foretaste/v1/foretaste.proto"], [proto_folder()]);
    let files = files.expect("a valid proto file");
    let folder = tempfile::tempdir().expect("folder");
    tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".")
        .out_dir(folder.path())
        .compile_fds(files)
        .expect("code");
    fs_err::read_to_string(folder.path().join("foretaste.v1.rs")).expect("code")
}

fn proto_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("proto")
}
