//! What the compiling child and its parent agree on.

/// The hidden subcommand that the child starts with: it compiles.
pub const SUBCOMMAND: &str = "compile-component";
/// The hidden subcommand that the child goes on with: it loads and links the code.
pub const LOOK_OVER: &str = "look-over-component";
/// The running program itself. Its path would not do: an upgrade may have put another program there.
pub(super) const OWN_PROGRAM: &str = "/proc/self/exe";
/// The prefix of the line of the child's report that holds the survey. After this line the child loads and links the code.
pub(super) const SURVEY: &str = "survey ";
/// The parent keeps at most this much of the child's report, bytes.
pub(super) const SAID_BYTES: u64 = 4_096;
/// The child's exit code when it could not write the code: `EX_IOERR` of `sysexits.h`.
pub const NO_ROOM: u8 = 74;
