//! The text of a document: its size, its tokens, and how deep its brackets nest.

use async_graphql::Pos;

use crate::config::GraphqlLimits;
use crate::graphql::guard::Flaw;

/// How deep brackets of any kind may nest: parsing takes a part of the stack for each.
const MAX_NESTING: u32 = 100;
/// Bytes of one name or number: what looks for similar names takes time for each.
const MAX_WORD: usize = 1_000;

/// Refuses text that nests too deep for a recursive parser, or is too long for it.
///
/// # Errors
/// The first place that is beyond a limit.
pub fn check(query: &str, limits: &GraphqlLimits) -> Result<(), Flaw> {
    let bytes = query.as_bytes();
    if bytes.len() > limits.bytes {
        let (length, most) = (bytes.len(), limits.bytes);
        let message = format!("The document has {length} bytes, and the limit is {most}: give values as variables");
        return Err(Flaw::over("bytes", most, message, None));
    }
    let (mut at, mut depth, mut tokens) = (0, 0u32, 0);
    while let Some(byte) = bytes.get(at) {
        let start = at;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += bytes[at..].iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count();
                continue;
            }
            b'"' if bytes[at..].starts_with(b"\"\"\"") => at = after_block(bytes, at + 3),
            b'"' => at = after_string(bytes, at + 1),
            b'{' | b'[' | b'(' => {
                (depth, at) = (depth + 1, at + 1);
                if depth > MAX_NESTING {
                    let message = format!("The document nests deeper than {MAX_NESTING} brackets");
                    return Err(Flaw::over("nesting", MAX_NESTING, message, Some(place(query, start))));
                }
            }
            b'}' | b']' | b')' => (depth, at) = (depth.saturating_sub(1), at + 1),
            b'.' if bytes[at..].starts_with(b"...") => at += 3,
            _ => {
                let number = byte.is_ascii_digit() || *byte == b'-';
                let more = bytes[at + 1..].iter().take_while(|byte| {
                    byte.is_ascii_alphanumeric()
                        || **byte == b'_'
                        || !byte.is_ascii()
                        || (number && matches!(byte, b'.' | b'-' | b'+'))
                });
                let word = byte.is_ascii_alphabetic() || *byte == b'_' || !byte.is_ascii() || number;
                at += 1 + if word { more.count() } else { 0 };
                if at - start > MAX_WORD {
                    let message = format!("A name or a number of the document is longer than {MAX_WORD} bytes");
                    return Err(Flaw::over("word", MAX_WORD, message, Some(place(query, start))));
                }
            }
        }
        tokens += 1;
        if tokens > limits.tokens {
            let most = limits.tokens;
            let message = format!("The document has more than {most} tokens: give values as variables");
            return Err(Flaw::over("tokens", most, message, Some(place(query, start))));
        }
    }
    Ok(())
}

fn after_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            b'\n' | b'\r' => return at,
            _ => at += 1,
        }
    }
    at
}

fn after_block(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        if bytes[at..].starts_with(b"\\\"\"\"") {
            at += 4;
        } else if bytes[at..].starts_with(b"\"\"\"") {
            return at + 3;
        } else {
            at += 1;
        }
    }
    at
}

/// The line and the column of a byte.
fn place(query: &str, at: usize) -> Pos {
    let before = String::from_utf8_lossy(&query.as_bytes()[..at]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    Pos { line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(query: &str) -> Option<(&'static str, Option<Pos>)> {
        let limits = GraphqlLimits::default();
        check(query, &limits).err().map(|flaw| (flaw.over.expect("it is over a limit").of, flaw.at))
    }

    fn at(line: usize, column: usize) -> Option<Pos> {
        Some(Pos { line, column })
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_nest() {
        let quoted = format!("{{ a(b: \"{0}\\\"{0}\", c: \"\"\"{0}\\\"\"\"{0}\"\"\") }} # {0}", "{".repeat(200));
        assert_eq!(flaw(&quoted), None);
        assert_eq!(flaw(&"{a".repeat(10_000)), Some(("nesting", at(1, 201))));
        assert_eq!(flaw(&format!("{{a(b:\n{}", "[".repeat(10_000))), Some(("nesting", at(2, 99))));
    }

    #[test]
    fn long_names_are_refused_and_long_strings_and_comments_are_not() {
        let long = "y".repeat(1001);
        assert_eq!(flaw(&format!("{{ {long} }}")), Some(("word", at(1, 3))));
        assert_eq!(flaw(&format!("{{ {} }}", "é".repeat(501))), Some(("word", at(1, 3))));
        assert_eq!(flaw(&format!("{{ a(b: \"{long}\") {} }} # {long}", "y".repeat(1000))), None);
    }

    #[test]
    fn tokens_are_those_of_the_grammar() {
        for (query, tokens) in [
            ("", 0),
            (" ,\n\r\t# nothing", 0),
            ("query Q($a: [ID!]! = [1, -2.5e-3]) @x { a: b(c: $a) ...F }", 32),
            ("{a...f}", 5),
            ("{ a(b: \"1 2 3\\\" 4\" c: \"\"\"1 2\n3\"\"\") }", 11),
        ] {
            let limits = GraphqlLimits { tokens, ..GraphqlLimits::default() };
            assert_eq!(check(query, &limits), Ok(()), "{query}");
            if tokens > 0 {
                let limits = GraphqlLimits { tokens: tokens - 1, ..GraphqlLimits::default() };
                assert!(check(query, &limits).is_err(), "{query}");
            }
        }
        let last = GraphqlLimits { tokens: 3, ..GraphqlLimits::default() };
        assert_eq!(check("{ \"ö\"\n é }", &last).unwrap_err().at, at(2, 4));
    }
}
