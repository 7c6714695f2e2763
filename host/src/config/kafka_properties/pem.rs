//! Brings PEM text from a properties file into the form that OpenSSL reads.

/// Characters of base64 on a line.
const LINE_CHARS: usize = 64;
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The blocks of `text`, with each marker on a line of its own. `None` if the text has no whole block.
///
/// Java takes PEM in one long line, with spaces or a literal `\n` in place of the line ends. OpenSSL does not.
pub(super) fn normalised(text: &str) -> Option<String> {
    let text = text.replace("\\n", "\n");
    let mut rest = text.as_str();
    let mut blocks = String::new();
    while let Some(start) = rest.find(BEGIN) {
        let block = &rest[start + BEGIN.len()..];
        let (label, block) = block.split_once(DASHES)?;
        let (body, after) = block.split_once(&format!("{END}{label}{DASHES}"))?;
        blocks.push_str(&format!(
            "{BEGIN}{label}{DASHES}\n{}{END}{label}{DASHES}\n",
            lines(body)
        ));
        rest = after;
    }
    (!blocks.is_empty()).then_some(blocks)
}

/// The base64 of a block, cut into lines.
fn lines(body: &str) -> String {
    // Old encrypted keys have header lines (`Proc-Type: …`), whose line ends have a meaning.
    if body.contains(':') {
        return format!("{}\n", body.trim());
    }
    // A backslash is left from a continued line of the properties file.
    let base64: Vec<char> = body
        .chars()
        .filter(|char| !char.is_whitespace() && *char != '\\')
        .collect();
    base64
        .chunks(LINE_CHARS)
        .flat_map(|line| line.iter().copied().chain(['\n']))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::normalised;

    const TWO: &str = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n\
                       -----BEGIN CERTIFICATE-----\nREVG\n-----END CERTIFICATE-----\n";

    #[test]
    fn a_chain_survives_every_way_of_writing_it_on_one_line() {
        for text in [
            TWO.to_owned(),
            TWO.replace('\n', " "),
            TWO.replace('\n', ""),
            TWO.replace('\n', "\\n"),
            TWO.replace('\n', "\\\n"),
            TWO.replace('\n', "\r\n"),
            format!("subject=me\n{TWO}"),
        ] {
            assert_eq!(normalised(&text).as_deref(), Some(TWO), "{text:?}");
        }
    }

    #[test]
    fn long_lines_are_cut_where_openssl_wants_them() {
        let text = format!("-----BEGIN X-----{}-----END X-----", "A".repeat(130));
        let longest = normalised(&text).and_then(|pem| pem.lines().map(str::len).max());
        assert_eq!(longest, Some(64));
    }

    #[test]
    fn the_header_of_an_encrypted_key_keeps_its_lines() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,Y\n\nQUJD\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(normalised(key).as_deref(), Some(key));
    }

    #[test]
    fn half_a_block_is_no_key() {
        for text in [
            "",
            "QUJD",
            "-----BEGIN X-----QUJD",
            "-----BEGIN X-----QUJD-----END Y-----",
            "-----BEGIN X",
        ] {
            assert_eq!(normalised(text), None, "{text}");
        }
    }
}
