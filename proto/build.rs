//! Makes Rust code of the .proto files beside this one.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

/// The files, below this folder.
const FILES: [&str; 1] = ["pointsman/v1/ingest.proto"];
/// Those of other projects, which clients have already.
const FOREIGN: [&str; 1] = ["dapr/proto/runtime/v1/dapr.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=pointsman");
    println!("cargo:rerun-if-changed=dapr");
    let files = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.binpb"), files.encode_to_vec())?;
    // Keys and values are slices of the message that they came in.
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    let foreign = protox::compile(FOREIGN, ["."])?;
    prost_build::Config::new().bytes(["."]).compile_fds(foreign)?;
    Ok(())
}
