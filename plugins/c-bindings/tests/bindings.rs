//! The C example has its bindings checked in, so that nobody needs wit-bindgen to build it. To generate them again
//! after a change of the interface or of wit-bindgen: `UPDATE_BINDINGS=1 cargo test -p c-bindings`.

use std::path::Path;
use std::{env, fs};

use anyhow::Context as _;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

#[test]
fn the_bindings_of_the_c_example_are_those_of_the_interface() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(root.join("wit"))?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    let options = wit_bindgen_c::Opts {
        // `pointsman plugin build` adds the description of the interface.
        no_object_file: true,
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;

    for (name, expected) in files.iter() {
        let file = root.join("examples/write-a-plugin/c").join(name);
        if env::var_os("UPDATE_BINDINGS").is_some() {
            fs::write(&file, expected)?;
        }
        let found = fs::read(&file).with_context(|| file.display().to_string())?;
        assert!(
            found == expected,
            "{} is not what wit-bindgen makes of wit/; UPDATE_BINDINGS=1 cargo test -p c-bindings",
            file.display()
        );
    }
    Ok(())
}
