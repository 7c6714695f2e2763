//! Cuts lines that have come into parts that are small enough.

use bytes::Bytes;

use super::window::WINDOW;

/// Whole lines, in parts whose records fit the window and a request.
pub(super) fn parts(lines: &Bytes, max_records: usize) -> impl Iterator<Item = Bytes> + use<> {
    let most = max_records.min(WINDOW / 2);
    let mut rest = lines.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = rest.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
        let end = ends.map(|(at, _)| at + 1).nth(most - 1).unwrap_or(rest.len());
        Some(rest.split_to(end))
    })
}

/// Cuts lines into two parts, near the middle of their bytes.
pub(super) fn halves(lines: &Bytes) -> (Bytes, Bytes) {
    let middle = lines.len() / 2;
    let before = lines[..middle].iter().rposition(|&byte| byte == b'\n');
    let after = lines[middle..]
        .iter()
        .position(|&byte| byte == b'\n')
        .map(|at| middle + at);
    let end = before.or(after).map_or(lines.len(), |at| at + 1);
    (lines.slice(..end), lines.slice(end..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_has_more_records_than_window_and_limit_allow_and_no_line_is_cut() {
        let lines: String = (0..WINDOW * 2 + 7).map(|number| format!("{number}\n")).collect();
        let lines = Bytes::from(lines + "last");
        for max_records in [1, 2, 499, 10_000] {
            let parts: Vec<Bytes> = parts(&lines, max_records).collect();
            assert_eq!(parts.concat(), lines);
            for (index, part) in parts.iter().enumerate() {
                assert!(part.iter().filter(|&&byte| byte == b'\n').count() <= max_records.min(WINDOW / 2));
                assert!(part.ends_with(b"\n") || index == parts.len() - 1);
            }
        }
    }

    #[test]
    fn halves_are_both_smaller_where_there_are_two_lines() {
        for lines in ["a\nb", "a\nbbbbbbbbbbbb\n", "aaaaaaaaaaaaa\nb\n", "a\nb\nc\n"] {
            let lines = Bytes::copy_from_slice(lines.as_bytes());
            let (first, second) = halves(&lines);
            assert!(first.ends_with(b"\n") && !second.is_empty(), "{first:?} {second:?}");
            assert_eq!([first, second].concat(), lines);
        }
    }
}
