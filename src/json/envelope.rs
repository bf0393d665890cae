//! What can still be told of a message whose text is no JSON in places: the strings of its own members.

use crate::json::Build;
use crate::json::Literals;
use crate::json::Reader;
use crate::json::Tree;

/// The strings under `names` in an object whose other members may hold anything, JSON or not, as long as quotes and
/// brackets show where they end. Nothing when they do not, or when the text is no object.
#[must_use]
pub fn strings_of<const N: usize>(text: &[u8], names: [&str; N]) -> Option<[Option<String>; N]> {
    let mut reader = Reader { text, at: 0, literals: Literals::Strict, builder: &Tree };
    let mut found = [const { None }; N];
    reader.space();
    if reader.peek() != Some(b'{') {
        return None;
    }
    loop {
        reader.at += 1;
        reader.space();
        let key = if reader.peek() == Some(b'"') { reader.string().ok()? } else { return None };
        reader.space();
        if reader.peek() != Some(b':') {
            return None;
        }
        reader.at += 1;
        reader.space();
        let wanted = names.iter().position(|name| *name == key);
        let value = if wanted.is_some() && reader.peek() == Some(b'"') {
            Some(reader.string().ok()?)
        } else {
            reader.pass_over()?;
            None
        };
        if let Some(place) = wanted {
            found[place] = value;
        }
        reader.space();
        match reader.peek()? {
            b',' => {}
            b'}' => {
                reader.at += 1;
                reader.space();
                return (reader.at == text.len()).then_some(found);
            }
            _ => return None,
        }
    }
}

impl<B: Build> Reader<'_, B> {
    /// Goes to the comma or the bracket behind a value, whatever it is.
    fn pass_over(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    while self.peek()? != b'"' {
                        self.at += if self.peek() == Some(b'\\') { 2 } else { 1 };
                    }
                }
                b'{' | b'[' => depth += 1,
                b',' | b'}' | b']' if depth == 0 => return Some(()),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_beside_what_is_no_json() {
        let deep = format!(r#"{{"p":{}1{},"id":"1"}}"#, "[".repeat(1000), "]".repeat(1000));
        for (text, id) in [
            (r#"{"id":"1","p":{"a":NaN,"id":"2"}}"#, Some(Some("1"))),
            (r#" {"p":"\ud800 \" }","id":"\u0031"} "#, Some(Some("1"))),
            (r#"{"p":[{"x":"]}"}],"id":"0","id":"1"}"#, Some(Some("1"))),
            (r#"{"id":"0","id":1}"#, Some(None)),
            (r#"{"p":nul l}"#, Some(None)),
            (&deep, Some(Some("1"))),
            (r#"{"id":"1","p":[}"#, None),
            (r#"{"id":"1","p":"}"#, None),
            (r#"{"id":"1"}}"#, None),
            (r#"{"id":"\ud800"}"#, None),
            (r#"["id","1"]"#, None),
            ("{}", None),
            ("{", None),
            ("", None),
        ] {
            let found = strings_of(text.as_bytes(), ["id"]);
            assert_eq!(found.as_ref().map(|[id]| id.as_deref()), id, "{text}");
        }
    }
}
