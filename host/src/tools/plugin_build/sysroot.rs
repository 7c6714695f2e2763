//! Finds the C library for WebAssembly. Distributions and SDKs agree neither on its folder nor on the target's name.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Two names of the same target. The second one came when there was more than one WASI.
const TARGETS: [&str; 2] = ["wasm32-wasi", "wasm32-wasip1"];

/// Where a WASI SDK is installed, as its own page says.
const SDKS: [&str; 2] = ["/opt/wasi-sdk", "/usr/local/wasi-sdk"];

/// The folder of the C library within a WASI SDK.
const IN_SDK: &str = "share/wasi-sysroot";

/// Where the C library is on Debian and Ubuntu; Arch; Fedora; where it was built by hand; and with Homebrew on macOS
/// and on Linux.
const FOLDERS: [&str; 6] = [
    "/usr",
    "/usr/share/wasi-sysroot",
    "/usr/wasm32-wasi",
    "/usr/local/share/wasi-sysroot",
    "/opt/homebrew/share/wasi-sysroot",
    "/home/linuxbrew/.linuxbrew/share/wasi-sysroot",
];

/// The compilers and C libraries to choose among.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchPaths {
    pub(super) clangs: Vec<OsString>,
    pub(super) sysroots: Vec<PathBuf>,
    /// The option or variable that names the only C library to use, if one does.
    pub(super) named: Option<&'static str>,
    /// The only SDK to use, if one is named.
    pub(super) sdk: Option<PathBuf>,
}

/// A C library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sysroot {
    pub(super) folder: PathBuf,
    /// The target's name in this library, one of [`TARGETS`].
    pub(super) target: &'static str,
}

impl SearchPaths {
    /// `option` is `--sysroot`, which wins over the environment. A named SDK gives both compiler and library.
    pub(super) fn of(option: Option<&Path>, environment: impl Fn(&str) -> Option<OsString>, clangs: &[&str]) -> Self {
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        let sdk = variable("WASI_SDK_PATH").map(PathBuf::from);
        let clangs = match &sdk {
            Some(sdk) => vec![clang_of(sdk)],
            None => {
                let of_sdks = SDKS.iter().map(|sdk| clang_of(Path::new(sdk)));
                clangs.iter().map(OsString::from).chain(of_sdks).collect()
            }
        };
        let named = option
            .map(|folder| ("--sysroot", folder.to_owned()))
            .or_else(|| variable("WASI_SYSROOT").map(|folder| ("WASI_SYSROOT", folder.into())))
            .or_else(|| sdk.as_ref().map(|sdk| ("WASI_SDK_PATH", sdk.join(IN_SDK))));
        let (named, sysroots) = match named {
            Some((name, folder)) => (Some(name), vec![folder]),
            None => {
                let of_sdks = SDKS.iter().map(|sdk| Path::new(sdk).join(IN_SDK));
                (None, FOLDERS.iter().map(PathBuf::from).chain(of_sdks).collect())
            }
        };
        Self {
            clangs,
            sysroots,
            named,
            sdk,
        }
    }

    /// The C libraries that exist.
    pub(super) fn found(&self) -> Vec<Sysroot> {
        let here = |folder: &PathBuf| {
            let folder = folder.clone();
            TARGETS.iter().map(move |target| Sysroot {
                folder: folder.clone(),
                target,
            })
        };
        self.sysroots
            .iter()
            .flat_map(here)
            .filter(|sysroot| sysroot.headers().join("stdlib.h").is_file())
            .collect()
    }

    /// Where the C library was looked for, in words.
    pub(super) fn looked_at(&self) -> String {
        let folders: Vec<String> = self
            .sysroots
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        format!("{} of {}", looked_for(), folders.join(", "))
    }
}

impl Sysroot {
    pub(super) fn headers(&self) -> PathBuf {
        self.folder.join("include").join(self.target)
    }
}

/// The files by which a folder with a C library is known, in words.
pub(super) fn looked_for() -> String {
    let [older, newer] = TARGETS.map(|target| format!("include/{target}/stdlib.h"));
    format!("{older} or {newer}")
}

fn clang_of(sdk: &Path) -> OsString {
    sdk.join("bin/clang").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(option: Option<&str>, environment: &[(&str, &str)]) -> SearchPaths {
        let variable = |name: &str| {
            environment
                .iter()
                .find(|(given, _)| *given == name)
                .map(|(_, value)| value.into())
        };
        SearchPaths::of(option.map(Path::new), variable, &["clang-19"])
    }

    #[test]
    fn what_is_named_is_the_only_one_and_the_option_wins() {
        let everywhere = places(None, &[("WASI_SYSROOT", ""), ("WASI_SDK_PATH", "")]);
        assert_eq!(everywhere, places(None, &[]));
        assert_eq!(
            everywhere.clangs,
            ["clang-19", "/opt/wasi-sdk/bin/clang", "/usr/local/wasi-sdk/bin/clang"]
        );
        assert!(everywhere.sysroots.contains(&PathBuf::from("/usr/share/wasi-sysroot")));
        assert!(
            everywhere
                .sysroots
                .contains(&PathBuf::from("/opt/wasi-sdk/share/wasi-sysroot"))
        );

        let sdk = places(None, &[("WASI_SDK_PATH", "/sdk")]);
        assert_eq!(sdk.clangs, ["/sdk/bin/clang"]);
        assert_eq!(
            (sdk.named, sdk.sysroots),
            (Some("WASI_SDK_PATH"), vec!["/sdk/share/wasi-sysroot".into()])
        );

        let both = [("WASI_SDK_PATH", "/sdk"), ("WASI_SYSROOT", "/root")];
        let named = places(None, &both);
        assert_eq!(
            (named.named, named.sysroots),
            (Some("WASI_SYSROOT"), vec!["/root".into()])
        );
        let option = places(Some("/mine"), &both);
        assert_eq!(
            (option.named, option.sysroots),
            (Some("--sysroot"), vec!["/mine".into()])
        );
    }
}
