//! Cutting a text into chunks.
//!
//! Paragraphs are gathered up to about [`TARGET`] characters; a heading stays with
//! what follows it; a paragraph that is too long by itself is cut between
//! sentences, then between words, and only then inside a word. Nothing but white
//! space is lost, and a change in one place leaves the chunks far from it alone
//! wherever headings or paragraph ends give it a chance to.

/// How many characters a chunk should have; none has more than twice as many and two.
pub const TARGET: usize = 800;

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines starting with `#` are headings, fences hold code.
    Markdown,
    /// Paragraphs only.
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heading,
    Prose,
    Code,
}

/// Where a text may be cut, best first.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Lines,
    Sentences,
    Words,
    Characters,
}

/// The chunks of a text, in reading order; none is empty.
#[must_use]
pub fn chunks(text: &str, format: Format) -> Vec<String> {
    let mut chunks = Vec::new();
    let mut open = String::new();
    let mut only_headings = true;
    for (kind, block) in blocks(text, format) {
        let pieces = match kind {
            Kind::Heading | Kind::Prose => cut(&block, Cut::Sentences),
            Kind::Code => cut(&block, Cut::Lines),
        };
        for piece in pieces {
            let (have, more) = (open.chars().count(), piece.chars().count());
            // A heading begins a chunk, unless what is open would stay a scrap.
            let breaks = match kind {
                Kind::Heading => !only_headings && have > TARGET / 4,
                Kind::Prose | Kind::Code => !only_headings && have + 2 + more > TARGET,
            };
            if breaks || have + more > 2 * TARGET {
                chunks.push(std::mem::take(&mut open));
                only_headings = true;
            }
            if !open.is_empty() {
                open.push_str("\n\n");
            }
            open.push_str(&piece);
            only_headings = only_headings && kind == Kind::Heading;
        }
    }
    chunks.push(open);
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

/// The text of the first heading of a Markdown text, if it has one.
#[must_use]
pub fn title(text: &str) -> Option<String> {
    let heading = blocks(text, Format::Markdown).into_iter().find(|(kind, _)| *kind == Kind::Heading);
    heading
        .map(|(_, line)| line.trim_start_matches('#').trim_end_matches('#').trim().to_owned())
        .filter(|title| !title.is_empty())
}

/// Headings, paragraphs and fenced code, trimmed.
fn blocks(text: &str, format: Format) -> Vec<(Kind, String)> {
    let mut blocks = Vec::new();
    let mut open = String::new();
    let mut fence: Option<&str> = None;
    let mut close = |kind: Kind, open: &mut String| {
        let block = std::mem::take(open);
        if !block.trim().is_empty() {
            blocks.push((kind, block.trim_matches('\n').trim_end().to_owned()));
        }
    };
    for line in text.trim_start_matches('\u{feff}').lines() {
        let bare = line.trim();
        if let Some(mark) = fence {
            open.push_str(line);
            open.push('\n');
            if bare.starts_with(mark) && bare.chars().all(|c| mark.starts_with(c)) {
                close(Kind::Code, &mut open);
                fence = None;
            }
        } else if format == Format::Markdown && (bare.starts_with("```") || bare.starts_with("~~~")) {
            close(Kind::Prose, &mut open);
            fence = Some(&bare[..3]);
            open.push_str(line);
            open.push('\n');
        } else if bare.is_empty() {
            close(Kind::Prose, &mut open);
        } else if format == Format::Markdown && is_heading(line) {
            close(Kind::Prose, &mut open);
            open.push_str(bare);
            close(Kind::Heading, &mut open);
        } else {
            open.push_str(line);
            open.push('\n');
        }
    }
    close(if fence.is_some() { Kind::Code } else { Kind::Prose }, &mut open);
    blocks
}

fn is_heading(line: &str) -> bool {
    let rest = line.trim_start_matches('#');
    let marks = line.len() - rest.len();
    (1..=6).contains(&marks) && (rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// Pieces of at most [`TARGET`] characters, as few as cutting at the best places gives.
fn cut(text: &str, by: Cut) -> Vec<String> {
    if text.chars().count() <= TARGET {
        return vec![text.to_owned()];
    }
    let finer = match by {
        Cut::Lines | Cut::Sentences => Cut::Words,
        Cut::Words | Cut::Characters => Cut::Characters,
    };
    let mut pieces: Vec<String> = Vec::new();
    let mut open = String::new();
    for atom in atoms(text, by) {
        if open.chars().count() + atom.trim_end().chars().count() > TARGET {
            pieces.push(std::mem::take(&mut open));
        }
        if atom.trim_end().chars().count() > TARGET {
            pieces.extend(cut(atom.trim(), finer));
        } else {
            open.push_str(atom);
        }
    }
    pieces.push(open);
    pieces.into_iter().map(|piece| piece.trim().to_owned()).filter(|piece| !piece.is_empty()).collect()
}

/// The parts between which a text may be cut, each with the white space behind it.
fn atoms(text: &str, by: Cut) -> Vec<&str> {
    let mut atoms = Vec::new();
    let mut start = 0;
    let mut before = ' ';
    let mut before_that = ' ';
    for (at, c) in text.char_indices() {
        let here = match by {
            Cut::Lines => before == '\n',
            Cut::Words => before.is_whitespace() && !c.is_whitespace(),
            Cut::Sentences => {
                let ended = before.is_whitespace() && !c.is_whitespace() && ends_sentence(before_that);
                ended || matches!(before, '。' | '！' | '？')
            }
            Cut::Characters => true,
        };
        if here && at > start {
            atoms.push(&text[start..at]);
            start = at;
        }
        if !c.is_whitespace() || !before.is_whitespace() {
            before_that = before;
        }
        before = c;
    }
    atoms.push(&text[start..]);
    atoms
}

fn ends_sentence(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '"' | '”' | '»')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_stays_with_its_paragraph() {
        let long = "Word and word. ".repeat(40);
        let text = format!("# One\n\n{long}\n\n## Two\n\n{long}\n\nThree\n");
        let made = chunks(&text, Format::Markdown);
        assert_eq!(made.len(), 2);
        assert!(made[0].starts_with("# One\n\nWord") && made[1].starts_with("## Two\n\nWord"));
        assert!(made[1].ends_with("\n\nThree"));
        assert_eq!(chunks(&text, Format::Plain).len(), 2);
    }

    #[test]
    fn a_long_paragraph_is_cut_between_sentences() {
        let text = "This sentence has thirty letters! ".repeat(60);
        let made = chunks(&text, Format::Plain);
        assert_eq!(made.len(), 3);
        assert!(made.iter().all(|chunk| chunk.ends_with('!') && chunk.len() <= TARGET));
    }

    #[test]
    fn code_between_fences_is_one_block() {
        let text = "Before\n\n```sh\n# no heading\n\nls\n```\nAfter";
        assert_eq!(chunks(text, Format::Markdown), ["Before\n\n```sh\n# no heading\n\nls\n```\n\nAfter"]);
        assert_eq!(title("```\n# no\n```\n\n#nor this\n\n## Yes ##\n"), Some("Yes".to_owned()));
    }

    #[test]
    fn nothing_makes_no_chunk() {
        for text in ["", "\n \n\t\n", "\u{feff}"] {
            assert_eq!(chunks(text, Format::Markdown), [""; 0]);
        }
        assert_eq!(chunks("a\r\n\r\nb\r\n", Format::Plain), ["a\n\nb"]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_white_space_is_lost_and_no_chunk_is_too_long(
            text in "([a-zé。 .!?#`\n]{0,80}|[a-z]{900}|(ab\\. ){0,500}|\n\n|```\n){0,12}",
            markdown: bool,
        ) {
            let format = if markdown { Format::Markdown } else { Format::Plain };
            let made = chunks(&text, format);
            let solid = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            proptest::prop_assert_eq!(solid(&made.concat()), solid(&text));
            for chunk in &made {
                let length = chunk.chars().count();
                proptest::prop_assert!(length > 0 && length <= 2 * TARGET + 2, "{}", length);
            }
        }
    }
}
