//! Advice for a user whose file is a core module instead of a component: how to make a component in the language that the
//! module was written in.
//!
//! Only headers are read: the bounds of sections, names of imports and exports, and what compilers write about themselves.
//! Reading stops at anything too long or broken, and the advice follows from what was read until then.

use wasmparser::{Chunk, CustomSectionReader, KnownCustom, Parser, Payload};

/// The first bytes of a core module: the magic number, and a version that components do not have.
pub(crate) const BEGINNING: &[u8] = b"\0asm\x01\0\0\0";

/// At most this many sections are read, and this many entries of a section. Real modules have dozens and hundreds.
const MAX_ENTRIES: usize = 10_000;

/// The language or tool that a module was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    RustForWasi,
    RustForBrowsers,
    Rust,
    TinyGo,
    Go,
    AssemblyScript,
    Emscripten,
    Swift,
    C,
    Unknown,
}

/// What was found in a module that tells where it comes from.
#[derive(Debug, Default)]
struct Signs {
    /// The module names the world that it is for, so only the last step to a component is missing.
    describes_itself: bool,
    wasi: bool,
    browser: bool,
    /// Imports that Go has when it is compiled for JavaScript.
    go_imports: bool,
    emscripten: bool,
    /// The import `abort` of `env`, or what AssemblyScript's runtime exports.
    assembly_script: bool,
    rust: bool,
    tiny_go: bool,
    go: bool,
    swift: bool,
    c: bool,
}

/// The error for a core module: that it is one, what it was made with, and how to make a component instead.
pub(crate) fn advice(module: &[u8]) -> String {
    let seen = look(module);
    let (made_with, cure) = seen.origin().advice();
    let described = match seen.describes_itself {
        true => "; it describes its interface already, only the step to a component is missing",
        false => "",
    };
    format!("it is a core wasm module{made_with}, expected a component; {cure}{described}")
}

fn look(module: &[u8]) -> Signs {
    let mut seen = Signs::default();
    let mut parser = Parser::new(0);
    let mut rest = module;
    for _ in 0..MAX_ENTRIES {
        let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) else {
            break;
        };
        rest = rest.get(consumed..).unwrap_or_default();
        match payload {
            // The parser would report each function; nothing of their code is needed.
            Payload::CodeSectionStart { size, .. } => {
                parser.skip_section();
                rest = rest.get(size as usize..).unwrap_or_default();
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports().take(MAX_ENTRIES).map_while(Result::ok) {
                    seen.import(import.module, import.name);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports.into_iter().take(MAX_ENTRIES).map_while(Result::ok) {
                    seen.assembly_script |= ["__rtti_base", "__pin"].contains(&export.name);
                }
            }
            Payload::CustomSection(section) => seen.custom(&section),
            Payload::End(_) => break,
            _ => {}
        }
    }
    seen
}

impl Signs {
    fn import(&mut self, module: &str, name: &str) {
        match (module, name) {
            ("wasi_snapshot_preview1" | "wasi_unstable", _) => self.wasi = true,
            ("wbg" | "__wbindgen_placeholder__", _) => self.browser = true,
            ("gojs" | "go", _) => self.go_imports = true,
            ("env", "abort") => self.assembly_script = true,
            ("env", name) if name.starts_with("emscripten_") || name.starts_with("__syscall") => self.emscripten = true,
            _ => {}
        }
    }

    fn custom(&mut self, section: &CustomSectionReader<'_>) {
        self.describes_itself |= section.name().starts_with("component-type");
        self.go |= section.name() == "go:buildid" || section.name() == "go.buildid";
        let KnownCustom::Producers(fields) = section.as_known() else {
            return;
        };
        for field in fields.into_iter().take(MAX_ENTRIES).map_while(Result::ok) {
            for value in field.values.into_iter().take(MAX_ENTRIES).map_while(Result::ok) {
                match value.name {
                    "TinyGo" => self.tiny_go = true,
                    "Rust" | "rustc" => self.rust = true,
                    "Go" | "Go cmd/compile" => self.go = true,
                    "Swift" => self.swift = true,
                    "wasm-bindgen" => self.browser = true,
                    name if name == "clang" || name.starts_with("C11") || name.starts_with("C99") => self.c = true,
                    name if name.starts_with("C_plus_plus") || name.starts_with("C17") => self.c = true,
                    _ => {}
                }
            }
        }
    }

    /// Rust comes first: a Rust module contains C more often than a C module contains Rust. TinyGo comes before Go and C,
    /// because its modules name those too.
    fn origin(&self) -> Origin {
        match self {
            Self {
                rust: true,
                browser: true,
                ..
            } => Origin::RustForBrowsers,
            Self {
                rust: true, wasi: true, ..
            } => Origin::RustForWasi,
            Self { rust: true, .. } => Origin::Rust,
            Self { tiny_go: true, .. } => Origin::TinyGo,
            Self { go: true, .. } | Self { go_imports: true, .. } => Origin::Go,
            Self { swift: true, .. } => Origin::Swift,
            Self { emscripten: true, .. } => Origin::Emscripten,
            Self { c: true, .. } => Origin::C,
            Self { browser: true, .. } => Origin::RustForBrowsers,
            Self {
                assembly_script: true, ..
            } => Origin::AssemblyScript,
            _ => Origin::Unknown,
        }
    }
}

impl Origin {
    /// Two parts of the message: what the module was made with, and what to do instead.
    fn advice(self) -> (&'static str, &'static str) {
        match self {
            Self::Rust => (
                " made by Rust",
                "run `pointsman plugin build` in the crate's folder: it compiles the crate, which uses pointsman-plugin, and makes \
                 the component",
            ),
            Self::RustForWasi => (
                " made by Rust for wasm32-wasip1",
                "a plugin gets no WASI: run `pointsman plugin build` in the crate's folder, which compiles it for \
                 wasm32-unknown-unknown and makes the component",
            ),
            Self::RustForBrowsers => (
                " made by wasm-bindgen for JavaScript",
                "a plugin is a crate on pointsman-plugin without wasm-bindgen: run `pointsman plugin build` in its folder, or begin \
                 one with `pointsman plugin new NAME --lang rust`",
            ),
            Self::TinyGo => (
                " made by TinyGo",
                "build it for the target wasip2 and the world of the host's wit folder (`tinygo build -target=wasip2 \
                 -wit-package wit -wit-world plugin`), and stub WASI out, because a plugin gets none",
            ),
            Self::Go => (
                " made by Go",
                "run `pointsman plugin build` in the folder of its go.mod: it compiles the package for WASI with \
                 -buildmode=c-shared, and makes the component with a stand-in for the system",
            ),
            Self::AssemblyScript => (
                " made by AssemblyScript",
                "AssemblyScript cannot make components; the nearest language is JavaScript: `pointsman plugin new NAME --lang js`",
            ),
            Self::Emscripten => (
                " made by Emscripten",
                "compile the C with clang and wasi-libc instead: run `pointsman plugin build` in the folder of the .c files, which \
                 does that and makes the component",
            ),
            Self::Swift => (
                " made by Swift",
                "run `wasm-tools component embed` with the world `plugin` of the host's wit folder, then `wasm-tools component new`; \
                 its WASI imports must be stubbed out",
            ),
            Self::C => (
                " made by clang",
                "run `pointsman plugin build` in the folder of the .c files and of the bindings of wit-bindgen; for a module from \
                 another build, run `wasm-tools component embed --world plugin wit`, then `wasm-tools component new`",
            ),
            Self::Unknown => (
                "",
                "build it with `pointsman plugin build`, or make a component of it with `wasm-tools component embed --world plugin \
                 wit` and `wasm-tools component new`",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn string(text: &str) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(text.len()).expect("short")];
        bytes.extend(text.as_bytes());
        bytes
    }

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![id];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(content);
        bytes
    }

    /// A section `producers` that names these languages.
    fn producers(languages: &[&str]) -> Vec<u8> {
        let mut content = string("producers");
        content.push(1);
        content.extend(string("language"));
        content.push(languages.len() as u8);
        for language in languages {
            content.extend(string(language));
            content.extend(string("1"));
        }
        section(0, &content)
    }

    /// A module that imports these functions, with more sections after the imports.
    fn module(imports: &[(&str, &str)], more: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = BEGINNING.to_vec();
        bytes.extend(section(1, &[1, 0x60, 0, 0]));
        let mut content = vec![imports.len() as u8];
        for (module, name) in imports {
            content.extend(string(module));
            content.extend(string(name));
            content.extend([0, 0]);
        }
        bytes.extend(section(2, &content));
        bytes.extend(more.concat());
        bytes
    }

    const WASI: (&str, &str) = ("wasi_snapshot_preview1", "fd_write");

    #[test]
    fn each_language_is_told_its_own_way_to_a_component() {
        let exports = section(7, &[&[1][..], &string("__rtti_base"), &[0, 0]].concat());
        for (bytes, made_with, cure) in [
            (
                module(&[WASI], &[producers(&["Rust"])]),
                "by Rust for wasm32-wasip1",
                "wasm32-unknown-unknown",
            ),
            (
                module(&[], &[producers(&["Rust", "C11"])]),
                "by Rust,",
                "`pointsman plugin build`",
            ),
            (
                module(&[("wbg", "x")], &[producers(&["Rust"])]),
                "by wasm-bindgen",
                "pointsman-plugin",
            ),
            (module(&[WASI], &[producers(&["Go"])]), "by Go,", "go.mod"),
            (module(&[("gojs", "x")], &[]), "by Go,", "c-shared"),
            (module(&[WASI], &[producers(&["C99", "TinyGo"])]), "by TinyGo", "wasip2"),
            (
                module(&[WASI], &[producers(&["C11"])]),
                "by clang",
                "bindings of wit-bindgen",
            ),
            (
                module(&[], &[producers(&["C_plus_plus_14"])]),
                "by clang",
                "component embed",
            ),
            (
                module(&[("env", "emscripten_resize_heap")], &[producers(&["C11"])]),
                "by Emscripten",
                "wasi-libc",
            ),
            (module(&[("env", "abort")], &[]), "by AssemblyScript", "--lang js"),
            (module(&[], &[exports]), "by AssemblyScript", "--lang js"),
            (module(&[], &[producers(&["Swift"])]), "by Swift", "stubbed out"),
            (
                BEGINNING.to_vec(),
                "module, expected",
                "build it with `pointsman plugin build`",
            ),
        ] {
            let advice = advice(&bytes);
            assert!(advice.starts_with("it is a core wasm module"), "{advice}");
            assert!(
                advice.contains(made_with) && advice.contains(cure),
                "{made_with}: {advice}"
            );
            assert!(advice.contains(", expected a component; "), "{advice}");
        }
        let described = section(0, &string("component-type:plugin"));
        let advice = advice(&module(&[], &[producers(&["Rust"]), described]));
        assert!(advice.ends_with("only the step to a component is missing"), "{advice}");
    }

    #[test]
    fn a_module_that_is_cut_short_or_has_millions_of_empty_parts_is_read_quickly_and_never_panics() {
        let whole = module(
            &[WASI, ("env", "abort")],
            &[producers(&["Rust"]), section(0, &string("name"))],
        );
        for end in 0..whole.len() {
            advice(&whole[..end]);
            let mut broken = whole.clone();
            for byte in [0, 0x7f, 0x80, 0xff] {
                broken[end] = byte;
                advice(&broken);
            }
        }
        let begun = Instant::now();
        // Ten million sections, ten million imports.
        let empty = section(0, &string("")).repeat(10_000_000);
        advice(&module(&[], &[empty]));
        let mut imports = vec![0x80, 0xad, 0xe2, 0x04];
        imports.extend([0, 0, 0, 0].repeat(10_000_000));
        advice(&[BEGINNING.to_vec(), section(1, &[1, 0x60, 0, 0]), section(2, &imports)].concat());
        // The most functions that a module may have.
        let million = [0xc0, 0x84, 0x3d];
        let functions = section(3, &[&million[..], &vec![0; 1_000_000]].concat());
        let code = section(10, &[&million[..], &[2, 0, 0x0b].repeat(1_000_000)].concat());
        let advice = advice(&module(&[], &[functions, code, producers(&["Rust"])]));
        assert!(
            advice.contains("by Rust"),
            "sections after the code are read too: {advice}"
        );
        // Most of the time goes into making the test data; the reading takes milliseconds.
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}
